//! Switches of the environment.

use std::env;

/// Whether an environment variable is 1.
pub(super) fn is_set(variable: &str) -> bool {
    env::var_os(variable).is_some_and(|value| value == "1")
}
