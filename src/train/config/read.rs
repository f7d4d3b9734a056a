//! From TOML text and `--set` overrides to a [`Config`], with messages that name the key and the line.

use std::path::Path;

use serde::Deserialize;
use toml::de::{DeTable, DeValue};

use super::error::ConfigError;
use super::run::Config;

/// The configuration of `ditn train` without arguments.
const EMBEDDED: &str = include_str!("../../../datasets/synthetic/ditn_tiny.toml");

/// The embedded default: DITN on synthetic people, in minutes on two CPU cores.
///
/// # Errors
/// Never in a released build: a test reads it.
pub fn embedded() -> Result<Config, ConfigError> {
    from_text(EMBEDDED, "the embedded configuration")
}

/// Reads a configuration file; see [`from_text`]. A file of `[data]` that lies beside it is that file.
///
/// # Errors
/// [`ConfigError::Unreadable`], and those of [`from_text`].
pub fn from_file(path: &Path) -> Result<Config, ConfigError> {
    let text =
        std::fs::read_to_string(path).map_err(|error| ConfigError::Unreadable { path: path.to_owned(), error })?;
    let mut config = from_text(&text, &path.display().to_string())?;
    // A file lies where its configuration lies, if it does.
    let folder = path.parent().unwrap_or(Path::new(""));
    let data = &mut config.data;
    for file in [&mut data.annotations, &mut data.training, &mut data.evaluation, &mut data.pictures, &mut data.boxes] {
        if let Some(file) = file
            && folder.join(&*file).exists()
        {
            *file = folder.join(&*file);
        }
    }
    Ok(config)
}

/// Parses a configuration; `name` stands for the text in messages. The result still needs [`Config::validate`].
///
/// # Errors
/// Broken TOML, unknown keys and wrong types, each with its line.
pub fn from_text(text: &str, name: &str) -> Result<Config, ConfigError> {
    toml::from_str(text).map_err(|error| {
        let line = error.span().map_or(1, |span| line_of(text, span.start));
        let origin = format!("{name}, line {line}");
        match DeTable::parse(text) {
            Err(_) => ConfigError::Syntax { origin, message: error.message().to_owned() },
            Ok(table) => {
                let key = error.span().map_or_else(Vec::new, |span| key_at(table.get_ref(), span.start));
                explain(&error, origin, key)
            }
        }
    })
}

/// Applies `key=value` overrides in order. A key is dotted (`train.batch`); a value is TOML, and what is not TOML is
/// taken as a string, so that `--set model.kind=hrnet` needs no quotes.
///
/// # Errors
/// As [`from_text`], with the override in place of a line.
pub fn with_overrides(config: Config, overrides: &[String]) -> Result<Config, ConfigError> {
    overrides.iter().try_fold(config, |config, text| with_override(&config, text))
}

fn with_override(config: &Config, text: &str) -> Result<Config, ConfigError> {
    let not_an_assignment = || ConfigError::NotAnAssignment { text: text.to_owned() };
    let (key, value) = text.split_once('=').ok_or_else(not_an_assignment)?;
    let path: Vec<String> = key.trim().split('.').map(str::to_owned).collect();
    if path.iter().any(String::is_empty) {
        return Err(not_an_assignment());
    }
    let value = toml::from_str::<toml::Table>(&format!("value = {value}"))
        .ok()
        .and_then(|mut table| if table.len() == 1 { table.remove("value") } else { None })
        .unwrap_or_else(|| toml::Value::String(value.trim().to_owned()));

    let origin = format!("--set {text}");
    let failed = |error: toml::ser::Error| ConfigError::Syntax { origin: origin.clone(), message: error.to_string() };
    let mut table = toml::Table::try_from(config).map_err(failed)?;
    let (last, tables) = path.split_last().ok_or_else(not_an_assignment)?;
    let mut target = &mut table;
    for (depth, name) in tables.iter().enumerate() {
        let entry = target.entry(name.clone()).or_insert_with(|| toml::Value::Table(toml::Table::new()));
        target = entry.as_table_mut().ok_or_else(|| ConfigError::WrongType {
            origin: origin.clone(),
            key: path[..=depth].join("."),
            message: "is a value, not a table of keys".into(),
        })?;
    }
    target.insert(last.clone(), value);
    Config::deserialize(table).map_err(|error| explain(&error, origin, path))
}

/// Turns serde's words into a message of ours. `key` is the path of the offending key.
fn explain(error: &toml::de::Error, origin: String, mut key: Vec<String>) -> ConfigError {
    let message = error.message();
    let Some(rest) = message.strip_prefix("unknown field ") else {
        return ConfigError::WrongType { origin, key: key.join("."), message: message.to_owned() };
    };
    // serde writes: unknown field `a`, expected one of `b`, `c`
    let mut quoted = rest.split('`').skip(1).step_by(2);
    let unknown = quoted.next().unwrap_or_default().to_owned();
    let known: Vec<&str> = quoted.collect();
    // Cut what lies below the unknown key: an override may reach into a table that does not exist.
    match key.iter().position(|k| *k == unknown) {
        Some(at) => key.truncate(at + 1),
        None => key.push(unknown.clone()),
    }
    let nearest = known
        .iter()
        .map(|name| (strsim::jaro_winkler(name, &unknown), *name))
        .filter(|(similarity, _)| *similarity > 0.7)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name.to_owned());
    ConfigError::UnknownKey { origin, key: key.join("."), nearest, known: known.join(", ") }
}

/// The line, from 1, that holds the byte at `offset`.
fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes()[..offset.min(text.len())].iter().filter(|&&byte| byte == b'\n').count() + 1
}

/// The path of the key whose name or value covers the byte at `offset`; shorter where only a table is known.
fn key_at(table: &DeTable<'_>, offset: usize) -> Vec<String> {
    for (name, value) in table.iter() {
        let (at_name, at_value) = (name.span().contains(&offset), value.span().contains(&offset));
        let below = match value.get_ref() {
            // A table's span may not cover keys written under a header elsewhere: always look inside.
            DeValue::Table(inner) => key_at(inner, offset),
            _ => Vec::new(),
        };
        if at_name || at_value || !below.is_empty() {
            let mut path = vec![name.get_ref().to_string()];
            path.extend(below);
            return path;
        }
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> String {
        match from_text(text, "run.toml") {
            Ok(config) => panic!("accepted: {config:?}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_embedded_configuration_is_valid() {
        embedded().unwrap().validate().unwrap();
    }

    #[test]
    fn an_empty_file_is_the_papers_run_except_that_synthetic_people_need_a_count() {
        let config = from_text("", "run.toml").unwrap();
        assert_eq!(config, Config::default());
        assert!(config.validate().unwrap_err().to_string().contains("train.pictures_per_epoch"));
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line_and_the_nearest_known_one() {
        let text = message("seed = 3\n[optimizer]\nlearning_rat = 0.1\n");
        assert!(text.contains("run.toml, line 3"), "{text}");
        assert!(text.contains("unknown key `optimizer.learning_rat`, did you mean `learning_rate`?"), "{text}");
    }

    #[test]
    fn an_unknown_key_like_no_other_lists_the_known_ones() {
        let text = message("[optimizer]\nzzz = 0.1\n");
        assert!(
            text.contains("unknown key `optimizer.zzz`; known here: kind, learning_rate, betas, epsilon"),
            "{text}"
        );
    }

    #[test]
    fn an_unknown_table_is_named() {
        let text = message("[optimiser]\nlearning_rate = 0.1\n");
        assert!(text.contains("line 1: unknown key `optimiser`, did you mean `optimizer`?"), "{text}");
    }

    #[test]
    fn a_wrong_type_is_named_with_key_line_and_expectation() {
        let text = message("[train]\nepochs = 3\nbatch = \"eight\"\n");
        assert!(text.contains("run.toml, line 3: `train.batch`"), "{text}");
        assert!(text.contains("invalid type: string \"eight\", expected usize"), "{text}");
        let text = message("[data.augmentation]\nscale = true\n");
        assert!(
            text.contains("line 2: `data.augmentation.scale`: invalid type: boolean `true`, expected f64"),
            "{text}"
        );
    }

    #[test]
    fn an_unknown_variant_lists_the_known_ones() {
        let text = message("[data]\nkind = \"mpi\"\n");
        assert!(
            text.contains("`data.kind`: unknown variant `mpi`, expected one of `synthetic`, `lsp`, `mpii`, `coco`"),
            "{text}"
        );
    }

    #[test]
    fn broken_toml_is_named_with_its_line() {
        assert!(message("seed = 3\nname = \n").contains("run.toml, line 2: not TOML"));
    }

    #[test]
    fn overrides_change_values_in_order_and_take_bare_words_as_strings() {
        let overrides = ["train.batch=4", "train.batch=6", "model.kind=hrnet", "train.size=[64, 96]", "name=a"];
        let config = with_overrides(Config::default(), &overrides.map(String::from)).unwrap();
        assert_eq!((config.train.batch, config.train.size), (6, crate::data::Size::new(64, 96)));
        assert_eq!((config.model.kind, config.name.as_str()), (crate::models::NetworkKind::Hrnet, "a"));
    }

    #[test]
    fn a_depth_without_a_network_is_refused() {
        let depth = |layers: &str| with_overrides(Config::default(), &[format!("model.depth={layers}")]);
        assert_eq!(usize::from(depth("101").unwrap().model.depth), 101);
        assert!(depth("51").unwrap_err().to_string().contains("51 is not one of 50, 101, 152"));
    }

    #[test]
    fn an_override_reaches_a_key_that_is_absent_by_default() {
        let config = with_overrides(Config::default(), &["data.root=/somewhere".into()]).unwrap();
        assert_eq!(config.data.root.as_deref(), Some(Path::new("/somewhere")));
    }

    #[test]
    fn a_wrong_override_is_quoted() {
        let refused = |text: &str| with_overrides(Config::default(), &[text.to_owned()]).unwrap_err().to_string();
        let text = refused("train.bach=4");
        assert!(text.contains("--set train.bach=4: unknown key `train.bach`, did you mean `batch`?"), "{text}");
        let text = refused("tran.batch=4");
        assert!(text.contains("unknown key `tran`, did you mean `train`?"), "{text}");
        let text = refused("train.batch=many");
        assert!(text.contains("--set train.batch=many: `train.batch`: invalid type: string \"many\""), "{text}");
        assert!(refused("train.batch.size=4").contains("`train.batch`: is a value"));
        assert!(refused("train.batch").contains("key=value"));
    }

    #[test]
    fn a_configuration_survives_being_written_and_read() {
        let config = embedded().unwrap();
        let text = toml::to_string(&config).unwrap();
        assert_eq!(from_text(&text, "written").unwrap(), config);
    }
}
