//! Elements of tensors as files store them: little-endian, by the names that safetensors gives their types.

use half::{bf16, f16, slice::HalfFloatSliceExt};

use crate::graph::Tensor;
use crate::ir::DType;

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
pub(super) fn encode(dtype: DType, tensor: &Tensor) -> Result<Vec<u8>, f32> {
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
