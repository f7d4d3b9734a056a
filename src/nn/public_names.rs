//! Networks whose public code gives other names to the same graph, and how these become the names that are used here.
//!
//! Here networks are named as most of their checkpoints are: hourglasses as in bearpaw's code, residual steps networks as in
//! MMPose, integral pose regression as SimpleBaseline.

use std::collections::BTreeMap;

/// Names and shapes of a file's tensors.
type Shapes<'a> = BTreeMap<&'a str, &'a [usize]>;

/// What a tensor of a file becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Renamed {
    /// Its name in the file.
    pub original: String,
    /// Its name here.
    pub name: String,
    /// The tensor of the file that is to be subtracted from it.
    pub less: Option<String>,
}

/// Whose code names a network so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublicNames {
    /// Stacked hourglasses of princeton-vl's code, with the paper's stem.
    Princeton,
    /// Residual steps networks of their authors' code, which reads pictures with blue first.
    RsnAuthors,
    /// Integral pose regression of its authors' code.
    IprAuthors,
}

/// A way of naming: the name that it alone has, which shows what stands in front of all, and what becomes of the others.
struct Way {
    of: PublicNames,
    mark: &'static str,
    rename: fn(&Shapes<'_>) -> Vec<Renamed>,
}

const WAYS: [Way; 3] = [
    Way { of: PublicNames::Princeton, mark: "pre.0.conv.weight", rename: princeton },
    Way {
        of: PublicNames::RsnAuthors,
        mark: "stage0.downsample.layer1.0.conv_bn_relu1.conv.weight",
        rename: rsn_authors,
    },
    Way { of: PublicNames::IprAuthors, mark: "head.features.0.weight", rename: ipr_authors },
];

/// What the tensors of a file become, where their names are of another way; the others stay as they are. Tensors that such a
/// network holds and never uses are left out.
pub(super) fn renamed(shapes: &Shapes<'_>) -> Option<(PublicNames, Vec<Renamed>)> {
    let marked = WAYS.iter().find_map(|way| {
        let is_start = |start: &&str| start.is_empty() || start.ends_with('.');
        let prefix = shapes.keys().find_map(|name| name.strip_suffix(way.mark).filter(is_start))?;
        Some((way, prefix.to_owned()))
    });
    let (way, prefix) = marked?;
    let inside: Shapes<'_> =
        shapes.iter().filter_map(|(name, shape)| Some((name.strip_prefix(prefix.as_str())?, *shape))).collect();
    let whole = |name: &str| format!("{prefix}{name}");
    let mut all: Vec<Renamed> = (way.rename)(&inside)
        .into_iter()
        .map(|Renamed { original, name, less }| Renamed {
            original: whole(&original),
            name: whole(&name),
            less: less.as_deref().map(whole),
        })
        .collect();
    let outside = shapes.keys().filter(|name| !name.starts_with(prefix.as_str()));
    all.extend(outside.map(|name| Renamed { original: (*name).to_owned(), name: (*name).to_owned(), less: None }));
    Some((way.of, all))
}

/// Each tensor under the name that `rename` gives it.
fn each(shapes: &Shapes<'_>, rename: impl Fn(&str) -> String) -> Vec<Renamed> {
    shapes.keys().map(|name| Renamed { original: (*name).to_owned(), name: rename(name), less: None }).collect()
}

/// Stacked hourglasses of princeton-vl's code. Their residuals hold a `skip_layer` that only those use whose width changes.
fn princeton(shapes: &Shapes<'_>) -> Vec<Renamed> {
    // The lowest residual is `low2` of the lowest hourglass.
    let depth = shapes.keys().map(|name| name.matches("low2.").count()).max().unwrap_or(0);
    let mut all = each(shapes, |name| princeton_name(name, depth).unwrap_or_else(|| name.to_owned()));
    all.retain(|Renamed { original, name, .. }| {
        let skip = name.contains(".downsample.0.").then(|| original.rsplit_once('.')).flatten();
        let weight = skip.and_then(|(layer, _)| shapes.get(format!("{layer}.weight").as_str()));
        weight.is_none_or(|shape| shape.first() != shape.get(1))
    });
    all
}

fn princeton_name(name: &str, depth: usize) -> Option<String> {
    let parts: Vec<&str> = name.split('.').collect();
    let (start, rest): (String, &[&str]) = match parts.as_slice() {
        ["pre", "0", "conv", rest @ ..] => ("conv1".into(), rest),
        ["pre", "0", "bn", rest @ ..] => ("bn1".into(), rest),
        ["pre", "1", rest @ ..] => ("layer1.0".into(), rest),
        ["pre", "3", rest @ ..] => ("layer2.0".into(), rest),
        ["pre", "4", rest @ ..] => ("layer3.0".into(), rest),
        ["features", stack, "0", rest @ ..] => (format!("res.{stack}.0"), rest),
        ["features", stack, "1", "conv", rest @ ..] => (format!("fc.{stack}.0"), rest),
        ["features", stack, "1", "bn", rest @ ..] => (format!("fc.{stack}.1"), rest),
        ["outs", stack, "conv", rest @ ..] => (format!("score.{stack}"), rest),
        ["merge_features", stack, "conv", "conv", rest @ ..] => (format!("fc_.{stack}"), rest),
        ["merge_preds", stack, "conv", "conv", rest @ ..] => (format!("score_.{stack}"), rest),
        ["hgs", stack, "0", inside @ ..] => {
            let inner = inside.iter().take_while(|part| **part == "low2").count();
            let place = inside.get(inner).and_then(|part| match *part {
                "up1" => Some(0),
                "low1" => Some(1),
                "low3" => Some(2),
                _ => None,
            });
            match place {
                Some(place) => {
                    let level = depth.checked_sub(1 + inner)?;
                    (format!("hg.{stack}.hg.{level}.{place}.0"), &inside[inner + 1..])
                }
                None => (format!("hg.{stack}.hg.0.3.0"), &inside[inner..]),
            }
        }
        _ => return None,
    };
    let rest = match rest {
        [layer @ ("conv1" | "conv2" | "conv3"), "conv", kind] => format!("{layer}.{kind}"),
        ["skip_layer", "conv", kind] => format!("downsample.0.{kind}"),
        rest => rest.join("."),
    };
    Some(format!("{start}.{rest}"))
}

/// Residual steps networks of their authors' code. Its convolutions have biases in front of normalisations, which only move
/// their running means.
fn rsn_authors(shapes: &Shapes<'_>) -> Vec<Renamed> {
    let mut all = each(shapes, |name| rsn_name(name).unwrap_or_else(|| name.to_owned()));
    all.retain(|it| !it.original.ends_with(".conv.bias"));
    for it in &mut all {
        let bias = it.original.strip_suffix(".bn.running_mean").map(|unit| format!("{unit}.conv.bias"));
        it.less = bias.filter(|bias| shapes.contains_key(bias.as_str()));
    }
    all
}

fn rsn_name(name: &str) -> Option<String> {
    if let Some(rest) = name.strip_prefix("top.conv.") {
        return Some(format!("backbone.top.top.0.{rest}"));
    }
    let (stage, rest) = name.strip_prefix("stage")?.split_once('.')?;
    if let ["upsample", unit, layer, rest @ ..] = rest.split('.').collect::<Vec<_>>().as_slice()
        && let (Some(unit), Some(layer)) = (unit.strip_prefix("up"), layer.strip_prefix("res_conv"))
    {
        let map = 4 * stage.parse::<usize>().ok()? + unit.parse::<usize>().ok()?.checked_sub(1)?;
        let layer = layer.parse::<usize>().ok()?.checked_sub(1)?;
        return Some(format!("head.predict_layers.{map}.conv_layers.{layer}.{}", rest.join(".")));
    }
    let rest = rest.split('.').map(|part| match part {
        "conv_bn_relu3" => "conv_bn3",
        "u_skip" => "in_skip",
        "skip1" => "out_skip1",
        "skip2" => "out_skip2",
        part => part,
    });
    Some(format!("backbone.multi_stage_rsn.{stage}.{}", rest.collect::<Vec<_>>().join(".")))
}

/// Integral pose regression of its authors' code: a ResNet, and a head that numbers its layers through.
fn ipr_authors(shapes: &Shapes<'_>) -> Vec<Renamed> {
    each(shapes, |name| {
        let inside = name.strip_prefix("backbone.").or_else(|| name.strip_prefix("head.")).unwrap_or(name);
        match (inside.strip_prefix("features.9."), inside.strip_prefix("features.")) {
            (Some(rest), _) => format!("final_layer.{rest}"),
            (None, Some(rest)) => format!("deconv_layers.{rest}"),
            (None, None) => inside.to_owned(),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(file: &[(&str, &[usize])]) -> BTreeMap<String, (String, Option<String>)> {
        let (_, renamed) = renamed(&file.iter().copied().collect()).expect("a way of naming");
        renamed.into_iter().map(|it| (it.original, (it.name, it.less))).collect()
    }

    #[test]
    fn hourglasses_of_princeton_have_their_levels_counted_and_their_unused_layers_left_out() {
        let (wide, square): (&[usize], &[usize]) = (&[128, 64, 1, 1], &[256, 256, 1, 1]);
        let file = [
            ("model.module.pre.0.conv.weight", wide),
            ("model.module.pre.1.conv1.conv.weight", wide),
            ("model.module.pre.1.skip_layer.conv.weight", wide),
            ("model.module.pre.1.skip_layer.conv.bias", &[128]),
            ("model.module.hgs.1.0.up1.skip_layer.conv.weight", square),
            ("model.module.hgs.1.0.up1.skip_layer.conv.bias", &[256]),
            ("model.module.hgs.1.0.low1.bn2.bias", &[256]),
            ("model.module.hgs.1.0.low2.low3.conv2.conv.bias", &[256]),
            ("model.module.hgs.1.0.low2.low2.conv1.conv.weight", square),
            ("model.module.features.0.1.bn.bias", &[256]),
            ("model.module.merge_preds.0.conv.conv.weight", wide),
            ("optimizer.state.0", wide),
        ];
        let names = names(&file);
        let name = |inside: &str| names.get(&format!("model.module.{inside}")).map(|(name, _)| name.as_str());
        assert_eq!(name("pre.1.conv1.conv.weight"), Some("model.module.layer1.0.conv1.weight"));
        assert_eq!(name("pre.1.skip_layer.conv.bias"), Some("model.module.layer1.0.downsample.0.bias"));
        assert_eq!(name("hgs.1.0.up1.skip_layer.conv.weight"), None);
        assert_eq!(name("hgs.1.0.up1.skip_layer.conv.bias"), None);
        assert_eq!(name("hgs.1.0.low1.bn2.bias"), Some("model.module.hg.1.hg.1.1.0.bn2.bias"));
        assert_eq!(name("hgs.1.0.low2.low3.conv2.conv.bias"), Some("model.module.hg.1.hg.0.2.0.conv2.bias"));
        assert_eq!(name("hgs.1.0.low2.low2.conv1.conv.weight"), Some("model.module.hg.1.hg.0.3.0.conv1.weight"));
        assert_eq!(name("features.0.1.bn.bias"), Some("model.module.fc.0.1.bias"));
        assert_eq!(name("merge_preds.0.conv.conv.weight"), Some("model.module.score_.0.weight"));
        assert_eq!(names["optimizer.state.0"].0, "optimizer.state.0");
    }

    #[test]
    fn biases_of_the_residual_steps_network_go_into_the_means_behind_them() {
        let file: [(&str, &[usize]); 6] = [
            ("stage0.downsample.layer1.0.conv_bn_relu1.conv.weight", &[104, 64, 1, 1]),
            ("stage0.downsample.layer1.0.conv_bn_relu1.conv.bias", &[104]),
            ("stage0.downsample.layer1.0.conv_bn_relu1.bn.running_mean", &[104]),
            ("stage1.upsample.up4.res_conv2.bn.weight", &[17]),
            ("stage1.upsample.up2.u_skip.conv.weight", &[256, 64, 1, 1]),
            ("top.conv.bn.running_mean", &[64]),
        ];
        let names = names(&file);
        let mean = &names["stage0.downsample.layer1.0.conv_bn_relu1.bn.running_mean"];
        assert_eq!(mean.0, "backbone.multi_stage_rsn.0.downsample.layer1.0.conv_bn_relu1.bn.running_mean");
        assert_eq!(mean.1.as_deref(), Some("stage0.downsample.layer1.0.conv_bn_relu1.conv.bias"));
        assert!(!names.contains_key("stage0.downsample.layer1.0.conv_bn_relu1.conv.bias"));
        let name = |original: &str| names[original].0.as_str();
        assert_eq!(name("stage1.upsample.up4.res_conv2.bn.weight"), "head.predict_layers.7.conv_layers.1.bn.weight");
        let skip = "backbone.multi_stage_rsn.1.upsample.up2.in_skip.conv.weight";
        assert_eq!(name("stage1.upsample.up2.u_skip.conv.weight"), skip);
        assert_eq!(names["top.conv.bn.running_mean"], ("backbone.top.top.0.bn.running_mean".to_owned(), None));
    }

    #[test]
    fn layers_of_integral_regression_are_numbered_through_and_other_files_stay_as_they_are() {
        let file: [(&str, &[usize]); 3] = [
            ("network.head.features.0.weight", &[2048, 256, 4, 4]),
            ("network.head.features.9.bias", &[16]),
            ("network.backbone.layer1.0.bn1.bias", &[64]),
        ];
        let names = names(&file);
        assert_eq!(names["network.head.features.0.weight"].0, "network.deconv_layers.0.weight");
        assert_eq!(names["network.head.features.9.bias"].0, "network.final_layer.bias");
        assert_eq!(names["network.backbone.layer1.0.bn1.bias"].0, "network.layer1.0.bn1.bias");
        let other: [(&str, &[usize]); 2] = [("conv1.weight", &[64, 3, 7, 7]), ("compre.0.conv.weight", &[1])];
        assert_eq!(renamed(&other.into_iter().collect()), None);
    }
}
