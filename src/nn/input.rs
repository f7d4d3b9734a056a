//! The way from a batch on the host to a picture tensor on the device.

use super::Network;
use crate::ir::{ShapeError, ValueId};
use crate::ops::crop::{AffineCrop, Normalization};

/// The inputs that the host uploads for a batch of N pictures.
#[derive(Debug, Clone, Copy)]
pub struct PictureInputs {
    /// All pixels, one word each; grows with the pictures.
    pub pixels: ValueId,
    /// `[N, 4]`: first pixel, width, height, 0.
    pub pictures: ValueId,
    /// `[N, W + H, 2]`: where the picture is sampled; see [`lattice`](crate::ops::crop::lattice).
    pub lattice: ValueId,
}

impl Network {
    /// Adds the inputs of a batch and the crop: -> the inputs and the image `[N, 3, H, W]`, its colours normalised so.
    ///
    /// # Errors
    /// [`ShapeError`] for an empty batch or size.
    pub fn pictures(
        &mut self,
        batch: usize,
        size: [usize; 2],
        normalization: Normalization,
    ) -> Result<(PictureInputs, ValueId), ShapeError> {
        let [height, width] = size;
        let inputs = PictureInputs {
            pixels: self.graph.input("pixels", [batch * height * width]),
            pictures: self.graph.input("pictures", [batch, 4]),
            lattice: self.graph.input("lattice", [batch, width + height, 2]),
        };
        let from = [inputs.pixels, inputs.pictures, inputs.lattice];
        self.graph.enter("crop");
        let image = self.graph.apply_one(AffineCrop { height, width, normalization }, &from);
        self.graph.leave();
        Ok((inputs, image?))
    }
}
