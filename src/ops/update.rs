//! What the operators of optimizers have in common: they update a parameter and their state in place, element by element.

use crate::ir::Argument::Input;
use crate::ir::{Case, Dispatch, Kernel, Shape, ShapeError, Variant};

/// The hyper \[8\] with which every one of them changes nothing, whatever the gradient: see
/// [`UnscaledHyper`](super::loss_scale::UnscaledHyper).
pub(super) const NOTHING: [f32; 8] = [1.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0, 0.0];

/// That the gradient and the state have the parameter's shape, and that there are 8 hyper values.
pub(super) fn check(
    operator: &'static str,
    parameter: &Shape,
    others: &[(&Shape, &str)],
    hyper: &Shape,
) -> Result<Vec<Shape>, ShapeError> {
    for (shape, what) in others {
        ShapeError::unless(*shape == parameter, operator, || {
            format!("{what} {shape} does not match parameter {parameter}")
        })?;
    }
    ShapeError::unless(hyper.extents() == [8], operator, || format!("hyper {hyper} is not [8]"))?;
    Ok(Vec::new())
}

/// Four elements an invocation where their number allows it, and one. Every input is bound.
pub(super) fn variants(case: &Case, plain: &'static Kernel, vec4: &'static Kernel) -> Vec<Variant> {
    let bindings: Vec<_> = (0..case.inputs.len()).map(Input).collect();
    let elements = case.inputs[0].elements();
    let mut variants = Vec::new();
    if elements.is_multiple_of(4) {
        let update = Dispatch::per_invocation(vec4, elements / 4, Vec::new(), bindings.clone());
        variants.push(Variant::new("vec4", vec![update]));
    }
    variants.push(Variant::new("plain", vec![Dispatch::per_invocation(plain, elements, Vec::new(), bindings)]));
    variants
}
