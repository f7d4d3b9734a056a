//! Reading the files of data sets, with errors that say which file, which record and what is wrong.

use super::DataError;
use serde::de::DeserializeOwned;
use std::path::Path;

/// The whole of a file. `advice` says what to do where it is missing.
///
/// # Errors
/// Where it is missing or cannot be read.
pub fn read(path: &Path, advice: &str) -> Result<Vec<u8>, DataError> {
    std::fs::read(path).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => DataError::Missing { path: path.to_path_buf(), advice: advice.to_string() },
        _ => DataError::Read { path: path.to_path_buf(), source },
    })
}

/// The JSON document of a file. `advice` says what to do where it is missing.
///
/// # Errors
/// Where it is missing or cannot be read, and where a value is not what `T` expects: the message names the value's
/// place, such as `annotations[12].bbox`.
pub fn read_json<T: DeserializeOwned>(path: &Path, advice: &str) -> Result<T, DataError> {
    let bytes = read(path, advice)?;
    let wrong = |problem: String| DataError::Annotation { path: path.to_path_buf(), problem };
    let mut parser = serde_json::Deserializer::from_slice(&bytes);
    let value = serde_path_to_error::deserialize(&mut parser).map_err(|error| {
        let place = error.path().to_string();
        let problem = error.into_inner();
        wrong(if place == "." { problem.to_string() } else { format!("{place}: {problem}") })
    })?;
    parser.end().map_err(|error| wrong(error.to_string()))?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_value_is_named_by_its_place_and_line() {
        let path = std::env::temp_dir().join(format!("ditn-files-{}.json", std::process::id()));
        let message = |text: &str| {
            std::fs::write(&path, text).expect("the temporary folder is writable");
            read_json::<Vec<Vec<f32>>>(&path, "").expect_err("it is wrong").to_string()
        };
        let wrong = message("[[1, 2],\n [3, \"4\"]]");
        assert!(wrong.contains("[1][1]: invalid type: string \"4\", expected f32 at line 2"), "{wrong}");
        assert!(message("[[1]").contains("EOF"));
        assert!(message("[[1]] 2").contains("trailing"));
        std::fs::remove_file(&path).ok();
        let missing = read_json::<f32>(&path, "look elsewhere").expect_err("it is gone").to_string();
        assert!(missing.contains("not found; look elsewhere"), "{missing}");
    }
}
