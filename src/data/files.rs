//! Reading the files of data sets, with errors that say which file, which record and what is wrong.

use super::DataError;
use serde::de::DeserializeOwned;
use std::borrow::Cow;
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
/// A byte order mark, text in UTF-16 and Python's `NaN` and `Infinity` (as `null`) are taken as well.
///
/// # Errors
/// Where it is missing or cannot be read, and where a value is not what `T` expects: the message names the value's
/// place, such as `annotations[12].bbox`.
pub fn read_json<T: DeserializeOwned>(path: &Path, advice: &str) -> Result<T, DataError> {
    let bytes = read(path, advice)?;
    let wrong = |problem: String| DataError::Annotation { path: path.to_path_buf(), problem };
    let bytes = json_text(&bytes);
    let mut parser = serde_json::Deserializer::from_slice(&bytes);
    let value = serde_path_to_error::deserialize(&mut parser).map_err(|error| {
        if let Some(other) = something_else(&bytes) {
            return wrong(format!("this is {other}, not JSON"));
        }
        let place = error.path().to_string();
        let problem = error.into_inner();
        wrong(if place == "." { problem.to_string() } else { format!("{place}: {problem}") })
    })?;
    parser.end().map_err(|error| wrong(error.to_string()))?;
    Ok(value)
}

/// What a file is that begins like something else than JSON.
fn something_else(bytes: &[u8]) -> Option<&'static str> {
    let begins = |with: &[u8]| bytes.trim_ascii_start().get(..with.len()).is_some_and(|b| b.eq_ignore_ascii_case(with));
    let known: [(&[u8], &str); 9] = [
        (b"version https://git-lfs", "a pointer of Git LFS (`git lfs pull` fetches the file that it stands for)"),
        (b"<", "a web page or XML"),
        (b"MATLAB", "a MATLAB file (.mat)"),
        (b"PK\x03\x04", "a zip file; unpack it"),
        (b"\x1f\x8b", "a gzip file; unpack it"),
        (b"\x89HDF", "an HDF5 file"),
        (b"\x93NUMPY", "a NumPy file (.npy)"),
        (b"\x80", "a Python pickle"),
        (b"\xff\xd8\xff", "a JPEG picture"),
    ];
    if bytes.is_empty() {
        return Some("an empty file");
    }
    known.into_iter().find(|(with, _)| begins(with)).map(|(_, what)| what)
}

/// The text in UTF-8 without byte order mark, each number that JSON has not as `null`.
fn json_text(bytes: &[u8]) -> Cow<'_, [u8]> {
    let wide = |of: fn([u8; 2]) -> u16| -> Cow<'_, [u8]> {
        let (units, _) = bytes[2..].as_chunks::<2>();
        let units: Vec<u16> = units.iter().map(|&unit| of(unit)).collect();
        Cow::Owned(String::from_utf16_lossy(&units).into_bytes())
    };
    let text = match bytes {
        [0xef, 0xbb, 0xbf, rest @ ..] => Cow::Borrowed(rest),
        [0xff, 0xfe, ..] => wide(u16::from_le_bytes),
        [0xfe, 0xff, ..] => wide(u16::from_be_bytes),
        _ => Cow::Borrowed(bytes),
    };
    let has = |word: &[u8]| text.windows(word.len()).any(|part| part == word);
    if has(b"NaN") || has(b"Infinity") { Cow::Owned(without_nan(&text)) } else { text }
}

/// `NaN`, `Infinity` and `-Infinity` outside of strings become `null`.
fn without_nan(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 64);
    let (mut rest, mut in_string) = (text, false);
    while let [first, after @ ..] = rest {
        let word = [&b"NaN"[..], b"-Infinity", b"Infinity"].into_iter().find(|word| rest.starts_with(word));
        if let Some(word) = word.filter(|_| !in_string) {
            out.extend(b"null");
            rest = &rest[word.len()..];
            continue;
        }
        out.push(*first);
        rest = after;
        match first {
            b'"' => in_string = !in_string,
            b'\\' if in_string => {
                if let [escaped, after @ ..] = rest {
                    out.push(*escaped);
                    rest = after;
                }
            }
            _ => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_taken_as_windows_and_python_write_it() {
        let text = r#"["NaN \" NaN", NaN, [-Infinity,Infinity], 1]"#;
        let expected = r#"["NaN \" NaN", null, [null,null], 1]"#;
        assert_eq!(json_text(text.as_bytes()), expected.as_bytes());
        assert_eq!(json_text(b"\xef\xbb\xbf{}"), &b"{}"[..]);
        for bytes_of in [u16::to_le_bytes, u16::to_be_bytes] {
            let wide: Vec<u8> = "\u{feff}[\"\u{e9}\"]".encode_utf16().flat_map(bytes_of).collect();
            assert_eq!(json_text(&wide), "[\"\u{e9}\"]".as_bytes());
        }
        assert_eq!(json_text(b"[1, \"\\\\\"]"), &b"[1, \"\\\\\"]"[..]);
    }

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
        assert!(message("").contains("an empty file"));
        assert!(message("\n<!DOCTYPE html>").contains("a web page"));
        assert!(message("MATLAB 5.0 MAT-file").contains("a MATLAB file"));
        std::fs::remove_file(&path).ok();
        let missing = read_json::<f32>(&path, "look elsewhere").expect_err("it is gone").to_string();
        assert!(missing.contains("not found; look elsewhere"), "{missing}");
    }
}
