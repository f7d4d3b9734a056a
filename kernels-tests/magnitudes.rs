//! What rounding errors are judged against.

use ditn::ops;

#[test]
fn no_element_is_larger_than_its_magnitude() {
    for (seed, case) in ops::cases().iter().enumerate() {
        let exact = case.exact(&case.draw(seed as u64));
        let shapes: Vec<_> = case.inputs.iter().map(|(shape, _)| shape).collect();
        let inputs: Vec<&[f64]> = exact.iter().map(Vec::as_slice).collect();
        let outputs = case.operator.reference(&shapes, &inputs);
        let magnitudes = case.operator.magnitudes(&shapes, &inputs);
        let lengths = |outputs: &[Vec<f64>]| outputs.iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(lengths(&outputs), lengths(&magnitudes), "{}", case.describe());
        for (element, magnitude) in outputs.iter().flatten().zip(magnitudes.iter().flatten()) {
            let is_bounded = element.abs() <= magnitude * (1.0 + 1e-12);
            assert!(is_bounded && magnitude.is_finite(), "{}: {element} of magnitude {magnitude}", case.describe());
        }
    }
}
