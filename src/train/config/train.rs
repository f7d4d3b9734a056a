//! `[train]`: how long, and in what portions.

use serde::{Deserialize, Serialize};

use super::data::DataConfig;
use crate::data::{DataKind, InvalidValue, Size};
use crate::models::NetworkConfig;
use crate::train::step::Precision;

/// What of the network is not trained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Freeze {
    /// Everything is trained.
    #[default]
    #[serde(rename = "none")]
    Nothing,
    /// The backbone, which makes features of the picture, stays as it is.
    Backbone,
}

/// `[train]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainConfig {
    /// Height and width of the crop in pixels, multiples of 32, for a hourglass of 4 levels of 64; heat maps have a quarter of each.
    pub size: Size,
    /// Pictures that the network sees at a time; with `accumulate` 1 and one process those of a step.
    pub batch: usize,
    /// Batches a step of each process, one after the other, each normalised by its own statistics: more pictures a step than the
    /// device's memory holds. The step is that of the mean of their losses, and counts as one everywhere.
    pub accumulate: usize,
    /// With several processes, whether batch normalisation uses the statistics of the batches that they compute at the same time
    /// instead of each its own: for batches of few pictures. It costs an exchange a layer.
    pub sync_batch_norm: bool,
    /// Passes; the log has a line for each.
    pub epochs: usize,
    /// Pictures a pass; 0 means each training person once. The remainder of a division by a step's is left out.
    pub pictures_per_epoch: usize,
    /// How feature maps and their gradients are stored in training: "f32", or "f16" with a loss scale for half the memory
    /// and traffic. Evaluations store them as float32.
    pub precision: Precision,
    /// "backbone": HRNet, the ResNet under transposed convolutions or a pyramid, or RSN but for its heads stays as `model.init`
    /// gives it, and the rest
    /// is trained: the way to learn from a few hundred pictures, and a step takes less time and memory. Its batch
    /// normalisations use their running statistics. "none": everything is trained.
    pub freeze: Freeze,
}

impl Default for TrainConfig {
    fn default() -> Self {
        let (precision, freeze) = (Precision::F32, Freeze::Nothing);
        Self {
            size: Size::new(256, 256),
            batch: 32,
            accumulate: 1,
            sync_batch_norm: false,
            epochs: 210,
            pictures_per_epoch: 0,
            precision,
            freeze,
        }
    }
}

impl TrainConfig {
    /// Pictures a step of so many processes.
    pub fn pictures_per_step(&self, ranks: usize) -> usize {
        self.batch.saturating_mul(self.accumulate).saturating_mul(ranks)
    }

    /// Checks the values, some of which depend on the people and the network.
    ///
    /// # Errors
    /// The first value that breaks a rule.
    pub fn check(&self, data: &DataConfig, model: &NetworkConfig) -> Result<(), InvalidValue> {
        let rule = InvalidValue::unless;
        let Self { size, batch, accumulate, epochs, pictures_per_epoch, freeze, .. } = self;
        let extents = size.extents();
        rule(size.is_multiple_of(32), "size", &extents, "must be height and width in multiples of 32")?;
        let suits = size.is_multiple_of(model.input_multiple() as u32);
        rule(
            suits,
            "size",
            &extents,
            "must be in multiples of 4 times 2 to the power of model.levels for an hourglass",
        )?;
        let suits = !model.has_parameter_adapter() || size.shorter() >= 64;
        rule(suits, "size", &extents, "must be at least 64 each way for DITN's parameter adapter")?;
        rule(*batch >= 1, "batch", batch, "must be at least 1")?;
        rule(*accumulate >= 1, "accumulate", accumulate, "must be at least 1")?;
        rule(*epochs >= 1, "epochs", epochs, "must be at least 1")?;
        let frozen = *freeze == Freeze::Nothing || model.has_backbone();
        rule(frozen, "freeze", &"backbone", "is for networks with a backbone; an hourglass has none")?;
        let starts_somewhere = *freeze == Freeze::Nothing || model.init.is_some();
        rule(
            starts_somewhere,
            "freeze",
            &"backbone",
            "needs model.init, or what is frozen would stay as random as it starts",
        )?;
        let (limited, key) = (*pictures_per_epoch > 0, "pictures_per_epoch");
        let endless = data.kind == DataKind::Synthetic && data.people == 0;
        rule(limited || !endless, key, pictures_per_epoch, "must be set, as synthetic people are endless")?;
        let fills = *pictures_per_epoch >= self.pictures_per_step(1);
        rule(!limited || fills, key, pictures_per_epoch, "must be at least train.batch times train.accumulate")
    }
}
