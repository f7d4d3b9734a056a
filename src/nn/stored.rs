//! Tensors as files store them, whatever the format: little-endian elements of one of safetensors' types.

use std::collections::BTreeMap;

use half::{bf16, f16, slice::HalfFloatSliceExt};
use safetensors::Dtype;

use crate::graph::Tensor;
use crate::ir::DType;

/// Named tensors of a network, and of its optimizer in a checkpoint of a run.
pub type State = BTreeMap<String, Tensor>;

/// A tensor of a file that is to be written.
pub(super) struct Stored {
    pub name: String,
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    pub bytes: Vec<u8>,
}

/// A number of a tensor that the type of the file's elements cannot hold.
#[derive(Debug, PartialEq)]
pub(super) struct TooLarge {
    pub name: String,
    pub number: f32,
}

/// The tensors of a state, rounded to `dtype`.
pub(super) fn tensors(state: &State, dtype: DType) -> Result<Vec<Stored>, TooLarge> {
    let stored = |(name, tensor): (&String, &Tensor)| {
        let bytes = encode(dtype, tensor).map_err(|number| TooLarge { name: name.clone(), number })?;
        let dtype = match dtype {
            DType::F32 => Dtype::F32,
            DType::F16 => Dtype::F16,
        };
        Ok(Stored { name: name.clone(), dtype, shape: tensor.shape.clone(), bytes })
    };
    state.iter().map(stored).collect()
}

/// What PyTorch's `load_state_dict` asks for besides the tensors of a network: batch normalisation counts the batches that
/// it has seen in `num_batches_tracked`, a 64-bit integer, for which `batches` stands.
pub(super) fn counters(network: &State, batches: u64) -> Vec<Stored> {
    let counted = network.keys().filter_map(|name| name.strip_suffix("running_mean"));
    let stored = |layer: &str| Stored {
        name: format!("{layer}num_batches_tracked"),
        dtype: Dtype::I64,
        shape: Vec::new(),
        bytes: batches.to_le_bytes().to_vec(),
    };
    counted.map(stored).collect()
}

/// Elements as float32, whatever kind of float they are; `None` for a type that is no float.
pub(super) fn decode(element: &str, bytes: &[u8]) -> Option<Vec<f32>> {
    Some(match element {
        "F32" => numbers(bytes, f32::from_le_bytes),
        "F64" => numbers(bytes, |word| f64::from_le_bytes(word) as f32),
        "F16" => numbers(bytes, |word| f16::from_le_bytes(word).to_f32()),
        "BF16" => numbers(bytes, |word| bf16::from_le_bytes(word).to_f32()),
        _ => return None,
    })
}

/// Numbers of N bytes each.
fn numbers<const N: usize>(bytes: &[u8], number: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    bytes.as_chunks::<N>().0.iter().map(|&word| number(word)).collect()
}

/// The elements of a tensor, rounded to `dtype`; where a finite one is too large for it, that one.
fn encode(dtype: DType, tensor: &Tensor) -> Result<Vec<u8>, f32> {
    match dtype {
        DType::F32 => Ok(tensor.data.iter().flat_map(|number| number.to_le_bytes()).collect()),
        DType::F16 => {
            let mut rounded = vec![f16::ZERO; tensor.data.len()];
            rounded.convert_from_f32_slice(&tensor.data);
            let mut pairs = tensor.data.iter().zip(&rounded);
            match pairs.find(|(number, rounded)| number.is_finite() && !rounded.is_finite()) {
                Some((&number, _)) => Err(number),
                None => Ok(rounded.into_iter().flat_map(f16::to_le_bytes).collect()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(data: &[f32]) -> Tensor {
        Tensor { shape: vec![data.len()], data: data.to_vec() }
    }

    #[test]
    fn numbers_come_back_rounded_to_their_type() {
        let numbers = tensor(&[0.1, -0.0, 65504.0, f32::INFINITY, 1e-8]);
        let back = |dtype, element| decode(element, &encode(dtype, &numbers).unwrap()).unwrap();
        assert_eq!(back(DType::F32, "F32"), numbers.data);
        let halves = back(DType::F16, "F16");
        assert_eq!(halves, [0.099_975_586, -0.0, 65504.0, f32::INFINITY, 0.0]);
        assert!(halves[1].is_sign_negative());
        assert_eq!(decode("I64", &[0; 8]), None);
    }

    #[test]
    fn a_number_beyond_the_range_of_16_bits_is_named() {
        assert_eq!(encode(DType::F16, &tensor(&[1.0, -7e4, 8e4])), Err(-7e4));
        assert!(encode(DType::F32, &tensor(&[7e4])).is_ok());
    }
}
