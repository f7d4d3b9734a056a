//! Values of a configuration that break a rule.

use std::fmt::Debug;

/// A value of the right type that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{key}` = {value}: {rule}")]
pub struct InvalidValue {
    /// The key, with the tables that it was checked in.
    pub key: String,
    /// The value.
    pub value: String,
    /// The rule that it breaks.
    pub rule: &'static str,
}

impl InvalidValue {
    /// An error unless the rule `holds`.
    ///
    /// # Errors
    /// The value with its key and the rule.
    pub fn unless(holds: bool, key: &str, value: &dyn Debug, rule: &'static str) -> Result<(), Self> {
        if holds { Ok(()) } else { Err(Self { key: key.to_owned(), value: format!("{value:?}"), rule }) }
    }

    /// The same of a key in a table.
    #[must_use]
    pub fn within(self, table: &str) -> Self {
        Self { key: format!("{table}.{}", self.key), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_key_value_and_rule() {
        assert_eq!(InvalidValue::unless(true, "batch", &4, "must be at least 1"), Ok(()));
        let error = InvalidValue::unless(false, "batch", &0, "must be at least 1").map_err(|e| e.within("train"));
        assert_eq!(error.unwrap_err().to_string(), "`train.batch` = 0: must be at least 1");
    }
}
