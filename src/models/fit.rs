//! Whether what was loaded from a file makes the network that it was trained as: a file can have every tensor of a
//! network and be of a deeper one.

use super::found::Found;
use super::{Body, HrNet, ModelConfig};
use crate::nn::{Matching, says_average};

/// How many names a message quotes.
const QUOTED: usize = 3;

/// What is to be said of a file whose tensors were compared with a network.
#[derive(Debug, Default, PartialEq)]
pub struct Fit {
    /// Why the loaded tensors do not work as they did where they come from.
    pub wrong: Option<String>,
    /// What a user should know besides.
    pub remarks: Vec<String>,
    /// Which network the file is of by its names, where that is another one; begins with a semicolon.
    pub other: String,
}

impl Fit {
    /// Judges what `matching` says of a file and of the network `model`. Leftover heads and outputs that the network does
    /// not use are nothing to speak of; leftovers among the layers that were loaded, and bodies of other extents, are.
    pub fn new(model: &ModelConfig, matching: &Matching) -> Self {
        let other = Found::new(matching).map(|found| found.beside(model)).unwrap_or_default();
        let mut fit = Self { wrong: None, remarks: copies(matching), other };
        let other = &fit.other;
        let inner = inner_leftovers(model, matching);
        let reshaped: Vec<_> = matching.other_shape.iter().filter(|tensor| !is_head(&tensor.name)).collect();
        if let Some(first) = reshaped.first() {
            fit.wrong = Some(format!(
                "its body has other extents than the network's: {} {:?}, should be {:?}{}{other}",
                first.name,
                first.shape,
                first.expected,
                further(reshaped.len() - 1, "tensor"),
            ));
        } else if !inner.is_empty() {
            let names = inner.iter().take(QUOTED).cloned().collect::<Vec<_>>().join(", ");
            let rest = further(inner.len().saturating_sub(QUOTED), "tensor");
            let other = if other.is_empty() { "; no network here has such layers" } else { other };
            fit.wrong = Some(format!("it is of a deeper or another network, which has also {names}{rest}{other}"));
        } else if matching.missing.iter().any(|name| !is_head(name)) && !other.is_empty() {
            fit.remarks.push(format!("The file is of a smaller network{other}."));
        }
        fit
    }
}

/// What a user should know of further copies of the network in the file.
fn copies(matching: &Matching) -> Vec<String> {
    let Matching { prefix, average, copies, .. } = matching;
    let quoted = |copies: &[String]| copies.iter().map(|copy| format!("`{copy}`")).collect::<Vec<_>>().join(", ");
    match (average, copies.is_empty()) {
        (false, true) => Vec::new(),
        (true, true) => vec![format!("These weights (`{prefix}`) are an average over the training.")],
        (true, false) => vec![format!(
            "These weights (`{prefix}`) are the average over the training; the file also has {}: `ditn import --weights PREFIX` \
             takes that.",
            quoted(copies)
        )],
        (false, false) => {
            let averages: Vec<String> = copies.iter().filter(|copy| says_average(copy)).cloned().collect();
            let others: Vec<String> = copies.iter().filter(|copy| !says_average(copy)).cloned().collect();
            let mut said = Vec::new();
            if !averages.is_empty() {
                let averages = quoted(&averages);
                said.push(format!(
                    "The file also has an average over the training ({averages}): `ditn import --weights ema` takes it."
                ));
            }
            if !others.is_empty() {
                let others = quoted(&others);
                said.push(format!(
                    "The file also has the network under {others}: `ditn import --weights PREFIX` takes that."
                ));
            }
            said
        }
    }
}

fn further(count: usize, what: &str) -> String {
    match count {
        0 => String::new(),
        1 => format!(" and 1 more {what}"),
        count => format!(" and {count} more {what}s"),
    }
}

/// Whether a tensor is of a head, which differs with the joints.
fn is_head(name: &str) -> bool {
    let heads = ["final_layer", "joint_decoder", "bone_decoder", "transfer", "score_"];
    heads.contains(&name.split('.').next().unwrap_or_default()) || has_row_a_joint(name)
}

/// Whether the first extent of a tensor is the number of joints: those of last layers, with a map a joint.
pub fn has_row_a_joint(name: &str) -> bool {
    let parts: Vec<&str> = name.split('.').collect();
    match parts.as_slice() {
        ["final_layer", ..] | ["joint_decoder", "head", ..] | ["score", ..] => true,
        ["global_net", "predict", _, layer, ..] => ["3", "5"].contains(layer),
        ["refine_net", "final_predict", layer, _] => ["1", "2"].contains(layer),
        ["head", "predict_layers", _, "conv_layers", layer, ..] => *layer == "1",
        _ => false,
    }
}

/// Tensors that the file has in the midst of layers that were loaded, or of a head that was.
fn inner_leftovers(model: &ModelConfig, matching: &Matching) -> Vec<String> {
    let scope = |name: &str| name.split('.').next().unwrap_or_default().to_owned();
    let loaded: std::collections::HashSet<String> = matching.loaded.iter().map(|name| scope(name)).collect();
    let inner = matching.extra.iter().filter(|name| loaded.contains(&scope(name)) && !is_unused(model, name));
    let head = matching.head_prefix.as_deref().unwrap_or_default();
    inner.cloned().chain(matching.head_extra.iter().map(|name| format!("{head}{name}"))).collect()
}

/// Whether a tensor only serves the outputs of the lower resolutions of HRNet's last module, which classifiers have and
/// poses do not need.
fn is_unused(model: &ModelConfig, name: &str) -> bool {
    let Body::HrNet(HrNet { modules, .. }) = model.body else { return false };
    let last = format!("stage4.{}.fuse_layers.", modules[2].saturating_sub(1));
    name.strip_prefix(&last).is_some_and(|output| !output.starts_with("0."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Size;
    use crate::data::skeleton::COCO;
    use crate::nn::Shapes;

    fn shapes(name: &str) -> (ModelConfig, Shapes) {
        let model = ModelConfig::named(name, &COCO).expect("a name");
        let shapes = model.shapes(Size::new(64, 64)).expect("a size that suits");
        (model, shapes)
    }

    /// The tensors of one network given to another.
    fn fit(file: &Shapes, name: &str) -> Fit {
        let (model, network) = shapes(name);
        Fit::new(&model, &Matching::of_shapes(&network, file))
    }

    fn wrong(file: &Shapes, name: &str) -> String {
        fit(file, name).wrong.unwrap_or_else(|| panic!("nothing is wrong with {name}"))
    }

    #[test]
    fn a_deeper_or_wider_body_is_wrong_and_said_to_be_which() {
        let (_, deeper) = shapes("simplebaseline-101");
        let text = wrong(&deeper, "simplebaseline-50");
        assert!(text.contains("layer3.10.bn1.bias") && text.contains("--model simplebaseline-101"), "{text}");
        let (_, wider) = shapes("hrnet-w48");
        let text = wrong(&wider, "hrnet-w32");
        assert!(text.contains("[48, 256, 3, 3]") || text.contains("--set model.width=48"), "{text}");
        let (mut model, _) = shapes("hrnet-w32");
        model.body = Body::HrNet(HrNet { blocks: 5, modules: [1, 5, 3], ..HrNet::W32 });
        let text = wrong(&model.shapes(Size::new(64, 64)).expect("a size that suits"), "hrnet-w32");
        assert!(text.contains("--set model.blocks=5 --set model.modules=[1,5,3]"), "{text}");
        let text = wrong(&shapes("hrnet-w32").1, "simplebaseline-50");
        assert!(text.contains("it is an HRNet of width 32: --model hrnet-w32"), "{text}");
        let text = wrong(&shapes("simplebaseline-152").1, "hrnet-w32");
        assert!(text.contains("it is a ResNet-152: --model simplebaseline-152"), "{text}");
    }

    #[test]
    fn layers_in_the_midst_of_others_are_wrong() {
        let (_, mut file) = shapes("simplebaseline-50");
        file.insert("layer1.0.se.fc1.weight".into(), vec![4, 64, 1, 1]);
        let text = wrong(&file, "simplebaseline-50");
        assert!(text.contains("layer1.0.se.fc1.weight; no network here"), "{text}");
    }

    #[test]
    fn heads_and_outputs_of_classifiers_are_no_leftovers_to_speak_of() {
        let (_, mut file) = shapes("hrnet-w32");
        for (name, shape) in [
            ("classifier.weight", vec![1000, 2048]),
            ("incre_modules.0.0.conv1.weight", vec![32, 32, 1, 1]),
            ("final_layer.0.weight", vec![2048, 1024, 1, 1]),
            ("stage4.2.fuse_layers.1.0.0.0.weight", vec![64, 32, 3, 3]),
        ] {
            file.insert(name.into(), shape);
        }
        file.retain(|name, _| !["final_layer.weight", "final_layer.bias"].contains(&name.as_str()));
        assert_eq!(fit(&file, "hrnet-w32"), Fit::default());
        assert_eq!(fit(&file, "ditn-w32"), Fit::default());
        file.insert("final_layer.weight".into(), vec![5, 32, 1, 1]);
        assert_eq!(fit(&file, "hrnet-w32"), Fit::default(), "heads differ with the joints");
    }

    #[test]
    fn a_shallower_body_is_said() {
        let (_, file) = shapes("simplebaseline-50");
        let Fit { wrong, remarks, .. } = fit(&file, "simplebaseline-101");
        assert!(wrong.is_none() && remarks.concat().contains("--model simplebaseline-50"), "{remarks:?}");
    }
}
