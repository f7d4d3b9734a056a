//! The papers' networks as a configuration describes them.

use super::{Layers, NetworkConfig, NetworkKind};
use crate::data::skeleton::MPII;
use crate::models::{Body, Ditn, Head, HrNet, ModelConfig, ResNet};

impl NetworkConfig {
    /// One of [`crate::models::NAMES`]; `None` for another name.
    pub fn named(name: &str) -> Option<Self> {
        // Networks of one name differ in nothing but their heads' maps between skeletons.
        let model = ModelConfig::named(name, &MPII)?;
        let kind = match (model.body, model.head) {
            (Body::HrNet(_), Head::Convolution) => NetworkKind::Hrnet,
            (Body::HrNet(_), Head::Ditn(_)) => NetworkKind::Ditn,
            (Body::ResNet(_), Head::Convolution) => NetworkKind::Resnet,
            (Body::ResNet(_), Head::Ditn(_)) => NetworkKind::DitnResnet,
        };
        let mut network = Self { kind, weights: model.body_weights, ..Self::default() };
        match model.body {
            Body::HrNet(HrNet { width, stem, blocks, modules }) => {
                network = Self { width, stem, blocks, modules, ..network };
            }
            Body::ResNet(ResNet { depth, stem }) => network = Self { depth: Layers(depth), stem, ..network },
        }
        if let Head::Ditn(Ditn { transfer, channel_attention, spatial_attention }) = model.head {
            network = Self { transfer, channel_attention, spatial_attention, ..network };
        }
        Some(network)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::NAMES;
    use crate::train::Config;

    #[test]
    fn a_named_configuration_describes_the_network_of_that_name() {
        for name in NAMES {
            let model = NetworkConfig::named(name).expect("each of the names is known");
            let config = Config { model, ..Config::default() };
            assert_eq!(Some(config.model_config(&MPII)), ModelConfig::named(name, &MPII), "{name}");
        }
        assert_eq!(NetworkConfig::named("hrnet-w33"), None);
    }
}
