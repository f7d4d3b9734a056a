//! What convolution and batch normalisation do to their result in the same kernel.

/// y = \[relu\] (value \[+ residual\]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Epilogue {
    /// A residual is added.
    pub residual: bool,
    /// ReLU comes last.
    pub relu: bool,
}

impl Epilogue {
    /// Nothing follows.
    pub const NONE: Self = Self { residual: false, relu: false };

    /// The shaders' constants RESIDUAL and RELU.
    pub(super) fn constants(self) -> [(&'static str, f64); 2] {
        [("RESIDUAL", self.residual), ("RELU", self.relu)].map(|(name, value)| (name, f64::from(u8::from(value))))
    }

    /// Its part of [`Operator::attributes`](crate::ir::Operator::attributes), with a space before each word.
    pub(super) fn attributes(self) -> String {
        let flags = [(self.residual, " residual"), (self.relu, " relu")];
        flags.iter().filter(|(holds, _)| *holds).map(|(_, name)| *name).collect()
    }

    /// The float64 reference: `residual` is there where [`Epilogue::residual`] says so.
    pub(super) fn reference(self, mut values: Vec<f64>, residual: Option<&[f64]>) -> Vec<f64> {
        if let Some(residual) = residual {
            values.iter_mut().zip(residual).for_each(|(value, residual)| *value += residual);
        }
        if self.relu {
            values.iter_mut().for_each(|value| *value = value.max(0.0));
        }
        values
    }

    /// Operations an element.
    pub(super) fn operations(self) -> f64 {
        f64::from(u8::from(self.residual) + u8::from(self.relu))
    }
}
