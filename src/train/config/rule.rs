//! The messages of values that break a rule.

use std::fmt::Debug;

/// `key = value: rule` unless it holds.
pub(super) fn rule(holds: bool, key: &str, value: &dyn Debug, rule: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(format!("{key} = {value:?}: {rule}")) }
}

pub(super) fn finite_positive(x: f64) -> bool {
    x.is_finite() && x > 0.0
}
