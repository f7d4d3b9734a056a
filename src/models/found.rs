//! Which network a file is of, by the names and shapes of its tensors.

use super::{Body, Cpn, Depth, Head, Hourglass, HrNet, ModelConfig, ResNet, Rsn};
use crate::nn::Matching;

/// The body that the names of a file describe.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Found {
    HrNet(HrNet),
    ResNet { stem: usize, layers: [usize; 4], bottlenecks: bool },
    Hourglass(Hourglass),
    Cpn(Cpn),
    Rsn(Rsn),
}

impl Found {
    /// The body of a file; `None` where its names are those of no body.
    pub(super) fn new(matching: &Matching) -> Option<Self> {
        let names = || {
            let reshaped = matching.other_shape.iter().map(|tensor| &tensor.name);
            matching.loaded.iter().chain(reshaped).chain(&matching.extra).map(String::as_str)
        };
        // One more than the largest number that follows `before` in a name.
        let count = |before: &str| {
            let numbers =
                names().filter_map(|name| name.strip_prefix(before)?.split('.').next()?.parse::<usize>().ok());
            numbers.max().map_or(0, |most| most.saturating_add(1))
        };
        let layers = |before: &str| [1, 2, 3, 4].map(|layer| count(&format!("{before}layer{layer}.")));
        if let Some(stem) = matching.channels_of("backbone.top.top.0.conv.weight") {
            let channels = matching.channels_of("backbone.multi_stage_rsn.0.upsample.up1.in_skip.conv.weight")?;
            let wide =
                matching.channels_of("backbone.multi_stage_rsn.0.downsample.layer1.0.conv_bn_relu1.conv.weight")?;
            let (stages, layers) =
                (count("backbone.multi_stage_rsn."), layers("backbone.multi_stage_rsn.0.downsample."));
            return Some(Self::Rsn(Rsn { stages, layers, stem, channels, expand: wide / 4 }));
        }
        if let Some(stem) = matching.channels_of("resnet.conv1.weight") {
            let channels = matching.channels_of("global_net.laterals.0.0.weight")?;
            return Some(Self::Cpn(Cpn { resnet: ResNet { layers: layers("resnet."), stem }, channels }));
        }
        let stem = matching.channels_of("conv1.weight")?;
        if count("hg.") > 0 {
            return Some(Self::Hourglass(Hourglass {
                stacks: count("hg."),
                residuals: count("hg.0.hg.0.0."),
                channels: matching.channels_of("fc.0.0.weight")?,
                stem,
                levels: count("hg.0.hg."),
                paper_stem: matching.channels_of("layer2.0.conv3.weight")? == 2 * stem,
            }));
        }
        if count("stage2.") > 0 {
            let width = matching.channels_of("transition1.0.0.weight")?;
            let modules = [count("stage2."), count("stage3."), count("stage4.")];
            return Some(Self::HrNet(HrNet { width, stem, blocks: count("stage2.0.branches.0."), modules }));
        }
        let layers = layers("");
        let bottlenecks = names().any(|name| name == "layer1.0.conv3.weight");
        (layers[1] > 0).then_some(Self::ResNet { stem, layers, bottlenecks })
    }

    /// What it is and which configuration is its, where that is not `model`'s; begins with a semicolon.
    pub(super) fn beside(&self, model: &ModelConfig) -> String {
        let ditn = matches!(model.head, Head::Ditn(_));
        let mut values = Values(Vec::new());
        match (self, model.body) {
            (Self::HrNet(found), Body::HrNet(body)) => {
                values.differ("width", found.width, body.width);
                values.differ("stem", found.stem, body.stem);
                values.differ("blocks", found.blocks, body.blocks);
                values.list("modules", &found.modules, &body.modules);
            }
            (Self::HrNet(found), _) => {
                let family = if ditn { "ditn" } else { "hrnet" };
                let width = if found.width == HrNet::W48.width { 48 } else { 32 };
                return format!("; it is an HRNet of width {}: --model {family}-w{width}", found.width);
            }
            (Self::ResNet { bottlenecks: false, layers, .. }, _) => {
                let layers = layers.map(|count| count.to_string()).join(", ");
                return format!("; it is a ResNet of basic blocks ({layers}, as ResNet-18 and -34), which is not here");
            }
            (Self::ResNet { stem, layers, .. }, Body::ResNet(body)) => {
                match Depth::of_bottlenecks(*layers).map(Depth::layers) {
                    _ if *layers == body.layers => {}
                    Some(depth) if ditn => values.0.push(format!("--set model.depth={depth}")),
                    Some(depth) => {
                        let family = if model.integral { "ipr" } else { "simplebaseline" };
                        values.0.push(format!("--model {family}-{depth}"));
                    }
                    None => values.list("layers", layers, &body.layers),
                }
                values.differ("stem", *stem, body.stem);
            }
            (Self::ResNet { layers, .. }, _) => {
                let depth = Depth::of_bottlenecks(*layers).map(Depth::layers);
                let family = if ditn { "ditn-resnet" } else { "simplebaseline-" };
                return match depth {
                    Some(depth) if !ditn || depth == 50 => format!("; it is a ResNet-{depth}: --model {family}{depth}"),
                    Some(depth) => format!("; it is a ResNet-{depth}: --model {family}50 --set model.depth={depth}"),
                    None => {
                        let layers = layers.map(|count| count.to_string()).join(",");
                        format!(
                            "; it is a ResNet of [{layers}] bottlenecks: --model {family}50 --set model.layers=[{layers}]"
                        )
                    }
                };
            }
            (Self::Hourglass(found), Body::Hourglass(body)) => {
                values.differ("stacks", found.stacks, body.stacks);
                values.differ("blocks", found.residuals, body.residuals);
                values.differ("channels", found.channels, body.channels);
                values.differ("stem", found.stem, body.stem);
                values.differ("levels", found.levels, body.levels);
                values.differ("paper_stem", found.paper_stem, body.paper_stem);
            }
            (Self::Hourglass(found), _) => {
                return format!("; it is a stacked hourglass of {}: --model hourglass-8", found.stacks);
            }
            (Self::Cpn(found), Body::Cpn(body)) => {
                values.list("layers", &found.resnet.layers, &body.resnet.layers);
                values.differ("stem", found.resnet.stem, body.resnet.stem);
                values.differ("channels", found.channels, body.channels);
            }
            (Self::Cpn(_), _) => return "; it is a cascaded pyramid network: --model cpn-50".to_string(),
            (Self::Rsn(found), Body::Rsn(body)) => {
                values.differ("stacks", found.stages, body.stages);
                values.list("layers", &found.layers, &body.layers);
                values.differ("stem", found.stem, body.stem);
                values.differ("channels", found.channels, body.channels);
                values.differ("expand", found.expand, body.expand);
            }
            (Self::Rsn(_), _) => return "; it is a residual steps network: --model rsn-50".to_string(),
        }
        if values.0.is_empty() { String::new() } else { format!("; {} would fit it", values.0.join(" ")) }
    }
}

/// The arguments by which one network's configuration becomes another's.
struct Values(Vec<String>);

impl Values {
    fn differ<T: PartialEq + ToString>(&mut self, key: &str, found: T, expected: T) {
        if found != expected {
            self.0.push(format!("--set model.{key}={}", found.to_string()));
        }
    }

    fn list(&mut self, key: &str, found: &[usize], expected: &[usize]) {
        let list =
            |counts: &[usize]| format!("[{}]", counts.iter().map(ToString::to_string).collect::<Vec<_>>().join(","));
        self.differ(key, list(found), list(expected));
    }
}
