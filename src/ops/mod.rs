//! The operators: one file each, with shape rule, gradient rule, float64 reference, cost and the choice of kernels.
//! Layers and [`graph`](crate::graph) apply them; an operator says what to dispatch, as data, and never meets a device.
//!
//! The WGSL of operator `x` is in `shaders/x/`, its tests in `kernels-tests/x.rs`. [`cases`] lists every operator at
//! telling shapes; [`kernels`] lists every shader.

pub mod accumulate;
pub mod adam;
pub mod adamw;
pub mod add;
pub mod avg_pool;
pub mod batch_norm;
mod blur;
mod case;
pub mod concat;
pub mod conv2d;
pub mod coordinate_loss;
pub mod crop;
pub mod decode;
pub mod dynamic_conv;
mod epilogue;
pub mod expectation;
pub mod flip;
pub mod gate;
pub mod gather_channels;
pub mod global_average_pool;
pub mod linear;
pub mod loss;
pub mod loss_scale;
mod map_tile;
pub mod max_pool;
pub mod over_ranks;
pub mod relu;
pub mod reshape;
pub mod resize;
pub mod rmsprop;
pub mod scale;
pub mod sgd;
pub(crate) mod shaders;
pub mod softmax_cross_entropy;
mod table;
pub mod targets;
mod tolerances;
mod update;
pub mod upsample;
mod window;

pub use case::{Fill, OperatorCase};
pub use epilogue::Epilogue;
pub use table::{TableField, TableLayout};

use crate::ir::Kernel;

type Family = (fn() -> Vec<OperatorCase>, fn() -> Vec<&'static Kernel>);

/// The cases and kernels of each file, one line a file, in the order of their names.
const FAMILIES: &[Family] = &[
    (accumulate::cases, accumulate::kernels),
    (adam::cases, adam::kernels),
    (adamw::cases, adamw::kernels),
    (add::cases, add::kernels),
    (avg_pool::cases, avg_pool::kernels),
    (batch_norm::cases, batch_norm::kernels),
    (concat::cases, concat::kernels),
    (conv2d::cases, conv2d::kernels),
    (coordinate_loss::cases, coordinate_loss::kernels),
    (crop::cases, crop::kernels),
    (decode::cases, decode::kernels),
    (dynamic_conv::cases, dynamic_conv::kernels),
    (expectation::cases, expectation::kernels),
    (flip::cases, flip::kernels),
    (gate::cases, gate::kernels),
    (gather_channels::cases, gather_channels::kernels),
    (global_average_pool::cases, global_average_pool::kernels),
    (linear::cases, linear::kernels),
    (loss::cases, loss::kernels),
    (loss_scale::cases, loss_scale::kernels),
    (max_pool::cases, max_pool::kernels),
    (over_ranks::cases, over_ranks::kernels),
    (relu::cases, relu::kernels),
    (reshape::cases, reshape::kernels),
    (resize::cases, resize::kernels),
    (rmsprop::cases, rmsprop::kernels),
    (scale::cases, scale::kernels),
    (sgd::cases, sgd::kernels),
    (softmax_cross_entropy::cases, softmax_cross_entropy::kernels),
    (targets::cases, targets::kernels),
    (upsample::cases, upsample::kernels),
];

/// The tables of each file that has any.
const TABLES: &[&[TableLayout]] = &[
    adam::TABLES,
    adamw::TABLES,
    batch_norm::kernels::TABLES,
    batch_norm::running::TABLES,
    conv2d::TABLES,
    rmsprop::TABLES,
    sgd::TABLES,
];

/// Every operator at telling shapes.
pub fn cases() -> Vec<OperatorCase> {
    FAMILIES.iter().flat_map(|(cases, _)| cases()).collect()
}

/// Every kernel, in the order of their names.
pub fn kernels() -> Vec<&'static Kernel> {
    let mut kernels: Vec<_> = FAMILIES.iter().flat_map(|(_, kernels)| kernels()).collect();
    kernels.sort_by_key(|kernel| kernel.name);
    kernels
}

/// The structs that kernels read from buffers as the host lays them out, each once.
pub fn tables() -> Vec<TableLayout> {
    TABLES.concat()
}

/// Numbers as an attribute: `3,0,3`.
fn list(numbers: &[usize]) -> String {
    numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use std::any::{Any, TypeId};
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn names_tell_types_of_operators_apart_and_attributes_their_values() {
        let folders: Vec<_> = kernels().iter().map(|kernel| kernel.folder()).collect();
        let (mut types, mut values) = (HashMap::new(), HashMap::new());
        for OperatorCase { operator, .. } in cases() {
            let (name, debug) = (operator.name(), format!("{operator:?}"));
            let in_folder =
                |folder: &&str| name.strip_prefix(*folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('_'));
            assert!(folders.iter().any(in_folder), "{name} begins with no folder of shaders");
            let of_type: TypeId = (operator.as_ref() as &dyn Any).type_id();
            assert_eq!(*types.entry(name).or_insert(of_type), of_type, "two types are called {name}");
            let key = (name, operator.attributes());
            let known = values.entry(key.clone()).or_insert_with(|| debug.clone());
            assert_eq!(*known, debug, "two operators have the attributes {key:?}");
            assert!(!key.1.contains('[') && key.1.trim() == key.1 && !key.1.contains("  "), "{key:?}");
        }
        let distinct: HashMap<_, _> = values.iter().map(|(key, debug)| ((key.0, debug), key)).collect();
        assert_eq!(distinct.len(), values.len(), "one operator has two texts of attributes");
        assert!(types.len() > 40, "{} types of operators", types.len());
    }
}
