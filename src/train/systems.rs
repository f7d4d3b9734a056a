//! The paper's comparisons with other systems (Tables 2, 3 and 4), as far as these can be trained: rows as changes of one
//! configuration of a DITN, under the same budget, schedule and optimizer. What a row changes is what makes its system: the
//! network, its losses and targets, how it is decoded. The recipes of the public code are in `datasets/`.

use super::ablation::{Row, Table};
use super::config::NetworkKind;

/// What a system is made of, whatever its size.
type Overrides = &'static [&'static str];

const HOURGLASS: Overrides =
    &["model.kind=hourglass", "model.stacks=8", "model.blocks=1", "model.weights=kaiming-uniform", "loss.joints=mse"];
const SMALL_HOURGLASS: Overrides = &["model.stacks=2", "model.channels=32", "model.stem=8", "model.levels=3"];
const CPN: Overrides = &[
    "model.kind=cpn",
    "model.depth=50",
    "model.weights=kaiming-normal",
    "loss.targets=blurred",
    "loss.joints=mse",
    "loss.coarse_weight=0.5",
    "evaluate.decode={ second-maximum = 21 }",
];
const CPN_OHKM: Overrides = &[
    "model.kind=cpn",
    "model.depth=50",
    "model.weights=kaiming-normal",
    "loss.targets=blurred",
    "loss.joints=ohkm",
    "loss.coarse_weight=0.5",
    "evaluate.decode={ second-maximum = 21 }",
];
const SMALL_CPN: Overrides =
    &["model.layers=[1, 1, 1, 1]", "model.stem=8", "model.channels=32", "evaluate.decode={ second-maximum = 5 }"];
const RSN: Overrides = &[
    "model.kind=rsn",
    "model.layers=[3, 4, 6, 3]",
    "model.weights=kaiming-normal",
    "loss.targets=blurred",
    "loss.joints=ohkm",
    "loss.coarse_weight=0.25",
    "evaluate.decode={ second-maximum = 5 }",
];
const SMALL_RSN: Overrides = &["model.layers=[1, 1, 1, 1]", "model.stem=16", "model.expand=8", "model.channels=32"];
const IPR: Overrides = &[
    "model.kind=resnet",
    "model.depth=101",
    "model.integral=true",
    "loss.joint_weight=0",
    "loss.joints=mse",
    "evaluate.decode=expectation",
];
const HRNET_W32: Overrides = &["model.kind=hrnet", "loss.joints=mse"];
const HRNET_W48: Overrides = &["model.kind=hrnet", "model.width=48", "loss.joints=mse"];
const RESNET_50: Overrides = &["model.kind=resnet", "model.depth=50", "loss.joints=mse"];
const RESNET_101: Overrides = &["model.kind=resnet", "model.depth=101", "loss.joints=mse"];
const RESNET_152: Overrides = &["model.kind=resnet", "model.depth=152", "loss.joints=mse"];
// With fewer channels than joints a head of one convolution cannot tell all joints apart.
const SMALL_HRNET: Overrides = &["model.width=16"];
const SMALLER_RESNET: Overrides = &["model.layers=[1, 1, 1, 1]", "model.stem=8"];
const SMALL_RESNET: Overrides = &["model.layers=[1, 2, 1, 1]", "model.stem=8"];
const LESS_SMALL_RESNET: Overrides = &["model.layers=[1, 2, 2, 1]", "model.stem=8"];

const fn row(folder: &'static str, name: &'static str, overrides: Overrides, small: Overrides, paper: f64) -> Row {
    Row { folder, name, overrides, small, paper }
}

const DITN: &[NetworkKind] = &[NetworkKind::Ditn];

/// Tables 2, 3 and 4 without the systems that cannot be trained here: see docs/systems.md.
#[rustfmt::skip]
pub static TABLES: [Table; 3] = [
    Table {
        name: "table2",
        title: "systems on MPII",
        paper: "each with its own recipe on MPII's validation people, 256x256",
        metric: "PCKh@0.5",
        networks: DITN,
        rows: &[
            row("ditn", "DITN on HRNet-W32", &[], &[], 90.8),
            row("hourglass_8", "stacked hourglass of 8", HOURGLASS, SMALL_HOURGLASS, 89.2),
            row("simplebaseline_152", "SimpleBaseline, ResNet-152", RESNET_152, LESS_SMALL_RESNET, 89.6),
            row("hrnet_w32", "HRNet-W32", HRNET_W32, SMALL_HRNET, 90.3),
        ],
    },
    Table {
        name: "table3",
        title: "systems on COCO, val2017",
        paper: "each with its own recipe on COCO's val2017, 256x192; bodies of ImageNet but for the hourglass",
        metric: "AP",
        networks: DITN,
        rows: &[
            row("ditn", "DITN on HRNet-W32", &[], &[], 75.0),
            row("hourglass_8", "stacked hourglass of 8", HOURGLASS, SMALL_HOURGLASS, 66.9),
            row("cpn_50", "CPN, ResNet-50", CPN, SMALL_CPN, 68.6),
            row("cpn_50_ohkm", "CPN, ResNet-50, OHKM", CPN_OHKM, SMALL_CPN, 69.4),
            row("simplebaseline_50", "SimpleBaseline, ResNet-50", RESNET_50, SMALLER_RESNET, 70.4),
            row("simplebaseline_101", "SimpleBaseline, ResNet-101", RESNET_101, SMALL_RESNET, 71.4),
            row("simplebaseline_152", "SimpleBaseline, ResNet-152", RESNET_152, LESS_SMALL_RESNET, 72.0),
            row("hrnet_w32", "HRNet-W32", HRNET_W32, SMALL_HRNET, 74.4),
            row("hrnet_w48", "HRNet-W48", HRNET_W48, &["model.width=24"], 75.1),
        ],
    },
    Table {
        name: "table4",
        title: "systems on COCO, test-dev2017",
        paper: "each with its own recipe on COCO's test-dev2017, 256x192 (IPR 256x256); here val2017, as test-dev's truth is not public",
        metric: "AP",
        networks: DITN,
        rows: &[
            row("ditn", "DITN on HRNet-W32", &[], &[], 73.9),
            row("cpn_50_ohkm", "CPN, ResNet-50, OHKM", CPN_OHKM, SMALL_CPN, 68.6),
            row("ipr_101", "integral regression, ResNet-101", IPR, SMALL_RESNET, 67.8),
            row("rsn_50", "RSN-50", RSN, SMALL_RSN, 72.5),
        ],
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::{NAMES, NetworkConfig};
    use crate::train::config::{self, Config, TrainConfig};

    #[test]
    fn every_row_is_a_valid_configuration_small_and_of_the_published_size() {
        let small = config::embedded().unwrap();
        let train = TrainConfig { pictures_per_epoch: 1000, ..TrainConfig::default() };
        let full = Config { model: NetworkConfig::default(), train, ..small.clone() };
        for table in &TABLES {
            for row in table.rows {
                let title = row.config(&full, 1).unwrap_or_else(|error| panic!("{}: {error}", row.name)).model.title();
                assert!(NAMES.contains(&title.as_str()), "{}: {title}", row.name);
                let config = row.config(&small, 1).unwrap_or_else(|error| panic!("{}: {error}", row.name));
                assert!(!NAMES.contains(&config.model.title().as_str()), "{}", row.name);
            }
        }
    }
}
