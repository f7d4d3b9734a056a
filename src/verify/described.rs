//! The network and the losses that a dump's metadata describe.

use std::collections::HashMap;
use std::f32::consts::TAU;

use serde::de::DeserializeOwned;

use crate::data::Skeleton;
use crate::models::{Body, Cpn, Depth, Ditn, Head, Hourglass, HrNet, InputNormalization, ModelConfig, ResNet, Rsn};
use crate::nn::WeightInit;
use crate::ops::loss::LossKind;
use crate::train::objective::Objective;

/// Options of a dump by name, each a JSON value.
type Metadata = HashMap<String, String>;

/// One of the dump's options.
pub(super) fn option<T: DeserializeOwned>(metadata: &Metadata, name: &str) -> Result<T, String> {
    let text = metadata.get(name).ok_or_else(|| format!("its metadata lacks '{name}'"))?;
    serde_json::from_str(text).map_err(|error| format!("its metadata '{name}' = {text}: {error}"))
}

/// The network.
pub(super) fn model(metadata: &Metadata) -> Result<ModelConfig, String> {
    let name = option::<String>(metadata, "model")?;
    let (body, head) = match name.as_str() {
        "hrnet" => (hrnet(metadata)?, Head::Convolution),
        "resnet" | "ipr" => (Body::ResNet(resnet(metadata)?), Head::Convolution),
        "ditn" => (hrnet(metadata)?, ditn(metadata)?),
        "ditn-resnet" => (Body::ResNet(resnet(metadata)?), ditn(metadata)?),
        "hourglass" => (Body::Hourglass(hourglass(metadata)?), Head::Convolution),
        "cpn" => {
            let (resnet, channels) = (resnet(metadata)?, option(metadata, "channels")?);
            (Body::Cpn(Cpn { resnet, channels }), Head::Convolution)
        }
        "rsn" => (Body::Rsn(rsn(metadata)?), Head::Convolution),
        other => {
            let known = "hrnet, resnet, ditn, ditn-resnet, hourglass, cpn, rsn, ipr";
            return Err(format!("its network '{other}' is not one of: {known}"));
        }
    };
    let skeleton: String = option(metadata, "skeleton")?;
    let skeleton = Skeleton::by_name(&skeleton).ok_or_else(|| format!("its skeleton '{skeleton}' is unknown"))?.clone();
    // The picture of a dump is normalised already.
    let (normalization, body_weights) = (InputNormalization::default(), WeightInit::default());
    Ok(ModelConfig {
        skeleton,
        body,
        head,
        integral: name == "ipr",
        normalization,
        body_weights,
        frozen_backbone: false,
    })
}

fn hrnet(metadata: &Metadata) -> Result<Body, String> {
    Ok(Body::HrNet(HrNet {
        width: option(metadata, "width")?,
        stem: option(metadata, "stem")?,
        blocks: option(metadata, "blocks")?,
        modules: option(metadata, "modules")?,
    }))
}

fn resnet(metadata: &Metadata) -> Result<ResNet, String> {
    // Dumps of tools/ditn_torch.py say their ResNet's stem so, where it is not that of all; in the others it is the only one.
    let stem = match (metadata.contains_key("resnet_stem"), metadata.contains_key("terms")) {
        (true, _) => option(metadata, "resnet_stem")?,
        (false, true) => option(metadata, "stem")?,
        (false, false) => ResNet::STEM,
    };
    if let Some(layers) = layers(metadata)? {
        return Ok(ResNet { layers, stem });
    }
    let depth = option(metadata, "depth")?;
    let depth = Depth::of_layers(depth).ok_or_else(|| format!("its depth {depth} is not 50, 101 or 152"))?;
    Ok(ResNet { layers: depth.bottlenecks(), stem })
}

/// Blocks of each of four resolutions, where a dump names them.
fn layers(metadata: &Metadata) -> Result<Option<[usize; 4]>, String> {
    if metadata.contains_key("layers") { option(metadata, "layers") } else { Ok(None) }
}

fn ditn(metadata: &Metadata) -> Result<Head, String> {
    let on = |name| Ok::<bool, String>(!option::<bool>(metadata, name)?);
    Ok(Head::Ditn(Ditn {
        transfer: on("no_transfer")?,
        channel_attention: on("no_cab")?,
        spatial_attention: on("no_sab")?,
    }))
}

fn hourglass(metadata: &Metadata) -> Result<Hourglass, String> {
    Ok(Hourglass {
        stacks: option(metadata, "stacks")?,
        residuals: option(metadata, "blocks")?,
        channels: option(metadata, "channels")?,
        stem: option(metadata, "stem")?,
        levels: option(metadata, "levels")?,
        paper_stem: option(metadata, "paper_stem")?,
    })
}

fn rsn(metadata: &Metadata) -> Result<Rsn, String> {
    Ok(Rsn {
        stages: option(metadata, "stacks")?,
        layers: layers(metadata)?.unwrap_or(Rsn::FIFTY.layers),
        stem: option(metadata, "stem")?,
        channels: option(metadata, "channels")?,
        expand: option(metadata, "expand")?,
    })
}

/// The kind of the loss between coordinates.
pub(super) const COORDINATES: &str = "coordinates-l1";

/// What is minimised. Dumps of tools/zoo_dump.py list the kind and factor of each map's loss, the decoded one's last.
pub(super) fn objective(metadata: &Metadata) -> Result<Objective, String> {
    let none = Objective {
        loss: LossKind::Mse,
        joint_weight: 0.0,
        coarse_loss: LossKind::Mse,
        coarse_weight: 0.0,
        bone_loss: LossKind::Mse,
        bone_weight: 0.0,
        coordinate_weight: 0.0,
        softmax_factor: 1.0,
    };
    if !metadata.contains_key("terms") {
        return Ok(Objective {
            loss: loss(&option::<String>(metadata, "loss")?)?,
            joint_weight: 1.0,
            bone_loss: loss(&option::<String>(metadata, "bone_loss")?)?,
            bone_weight: option(metadata, "bone_weight")?,
            ..none
        });
    }
    let terms: Vec<(String, f32)> = option(metadata, "terms")?;
    let Some(((kind, weight), (coarse, coarse_weight))) = terms.last().zip(terms.first()) else {
        return Err("its metadata 'terms' name no loss".into());
    };
    if coarse == COORDINATES {
        // The maps, where they count too, come second, with targets of deviation 1.
        let of_maps = terms.get(1).map(|(kind, weight)| Ok::<_, String>((loss(kind)?, *weight))).transpose()?;
        let (loss, joint_weight) = of_maps.unwrap_or((LossKind::Mse, 0.0));
        return Ok(Objective { loss, joint_weight, coordinate_weight: *coarse_weight, softmax_factor: TAU, ..none });
    }
    Ok(Objective {
        loss: loss(kind)?,
        joint_weight: *weight,
        coarse_loss: loss(coarse)?,
        coarse_weight: *coarse_weight,
        ..none
    })
}

/// A loss by its name in dumps.
pub(super) fn loss(name: &str) -> Result<LossKind, String> {
    Ok(match name {
        "focal-l2" => LossKind::FocalL2,
        "focal-l2-printed" => LossKind::FocalL2Printed,
        "mse" => LossKind::Mse,
        "ohkm" => LossKind::Ohkm { hardest: 8 },
        "smooth-l1" => LossKind::SmoothL1,
        other => return Err(format!("its loss '{other}' is unknown")),
    })
}
