//! What a file is, by its first bytes: weights that can be read, or something else, in words that help.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

/// How much of a file is looked at.
const START: u64 = 4096;

/// What was given as a file of weights.
#[derive(Debug, PartialEq)]
pub enum FileKind {
    /// Safetensors.
    Safetensors,
    /// What `torch.save` writes: a zip archive, a tar archive or pickles.
    PyTorch,
    /// Nothing that can be looked into and read again: a pipe or a device.
    Pipe,
    /// Something else: what it is and what to do, to follow "it is".
    Other(String),
}

/// Looks at the first bytes of a file.
///
/// # Errors
/// What the system says.
pub fn kind_of(path: &Path) -> io::Result<FileKind> {
    let metadata = std::fs::metadata(path)?;
    if metadata.is_dir() {
        return Ok(FileKind::Other(format!("a folder{}", checkpoint_inside(path))));
    }
    if !metadata.is_file() {
        return Ok(FileKind::Pipe);
    }
    let mut start = Vec::new();
    File::open(path)?.take(START).read_to_end(&mut start)?;
    // A safetensors file starts with the length of its JSON header; nothing else here has a `{` behind eight bytes.
    if start.get(8) == Some(&b'{') && start[..8] != *b"version " {
        return Ok(FileKind::Safetensors);
    }
    if start.starts_with(b"PK") {
        return Ok(archive(path));
    }
    let is_tar = start.get(257..262) == Some(b"ustar");
    let is_pickle = matches!(start[..], [0x80, 0..=5, ..]);
    if is_tar || is_pickle || starts_old_pickle(&start) {
        return Ok(FileKind::PyTorch);
    }
    Ok(FileKind::Other(other(path, &start)))
}

/// Where in a folder there is what was meant.
fn checkpoint_inside(folder: &Path) -> String {
    let names = ["best.safetensors", "last.safetensors", "model.safetensors", "pytorch_model.bin"];
    match names.iter().map(|name| folder.join(name)).find(|path| path.is_file()) {
        Some(path) => format!(": did you mean {}?", path.display()),
        None => String::new(),
    }
}

/// PyTorch's number in a pickle of protocol 0 or 1, which do not begin with a byte that says so.
fn starts_old_pickle(start: &[u8]) -> bool {
    start.starts_with(b"L119547037146038801333356") || start.starts_with(b"\x8a\x0a\x6c\xfc\x9c\x46")
}

/// A zip archive, which many formats are.
fn archive(path: &Path) -> FileKind {
    let cut = "a zip archive that is cut short or broken: copy or download it again";
    let Ok(file) = File::open(path) else { return FileKind::Other(cut.into()) };
    let Ok(archive) = zip::ZipArchive::new(BufReader::new(file)) else { return FileKind::Other(cut.into()) };
    let names: Vec<String> = archive.file_names().filter_map(|name| Some(name.ok()?.into_owned())).collect();
    let has = |end: &str| names.iter().any(|name| name.ends_with(end));
    let weights = [".pth", ".pt", ".tar", ".safetensors", ".ckpt", ".bin"];
    let inside = names.iter().find(|name| weights.iter().any(|end| name.ends_with(end)));
    if names.iter().any(|name| name == "data.pkl" || name.ends_with("/data.pkl")) {
        return FileKind::PyTorch;
    }
    FileKind::Other(if has("archive_format") || has("models/model.json") {
        "a program of torch.export; in Python, save the weights of its module: torch.save(program.state_dict, FILE)"
            .into()
    } else if has(".npy") {
        "an archive of NumPy arrays (.npz); weights come from PyTorch or as safetensors".into()
    } else if has("model.weights.h5") {
        "a Keras model; weights come from PyTorch or as safetensors".into()
    } else if let Some(inside) = inside {
        format!("a zip archive: unpack it and give {inside}")
    } else if names.is_empty() {
        "an empty zip archive".into()
    } else {
        let first: String = names[0].chars().take(60).collect();
        format!("a zip archive without weights of PyTorch in it (the first of its {} entries is {first})", names.len())
    })
}

/// Formats that begin with these bytes.
const BEGINNINGS: [(&[u8], &str); 23] = [
    (b"\x89HDF\r\n", "an HDF5 file, as Keras writes; weights come from PyTorch or as safetensors"),
    (b"\x93NUMPY", "a NumPy array; weights come from PyTorch or as safetensors"),
    (b"GGUF", "a GGUF file, for language models"),
    (b"MATLAB", "a MATLAB file; weights come from PyTorch or as safetensors"),
    (b"\x1f\x8b", "compressed by gzip: unpack it with `gunzip` (or `tar xzf`) first"),
    (b"BZh", "compressed by bzip2: unpack it first"),
    (b"\xfd7zXZ", "compressed by xz: unpack it with `unxz` first"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd: unpack it with `unzstd` first"),
    (b"7z\xbc\xaf", "a 7-Zip archive: unpack it first"),
    (b"Rar!", "a RAR archive: unpack it first"),
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"GIF8", "a GIF picture"),
    (b"II*\0", "a TIFF picture"),
    (b"MM\0*", "a TIFF picture"),
    (b"BM", "a BMP picture"),
    (b"RIFF", "a picture, sound or film (RIFF)"),
    (b"%PDF", "a PDF document"),
    (b"ftrt", "an engine of TensorRT; weights come from PyTorch or as safetensors"),
    (b"7767517", "a network of ncnn; weights come from PyTorch or as safetensors"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
    (b"SQLite", "a database"),
];

/// What a file that is neither safetensors nor PyTorch's is.
fn other(path: &Path, start: &[u8]) -> String {
    const AGAIN: &str = "the download did not give the file: open its link in a browser, or see what the page says";
    if start.is_empty() {
        return "empty: copy or download it again".into();
    }
    let is_text = start.iter().all(|&byte| byte >= b' ' || matches!(byte, b'\t' | b'\n' | b'\r' | 0x0c));
    // A text may begin with two letters by chance.
    let begins = |beginning: &[u8]| start.starts_with(beginning) && (beginning.len() > 3 || !is_text);
    if let Some((_, what)) = BEGINNINGS.iter().find(|(beginning, _)| begins(beginning)) {
        return (*what).to_owned();
    }
    if start.get(4..8) == Some(b"ftyp") {
        return "a film or picture (MP4, HEIF)".into();
    }
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase()).unwrap_or_default();
    let other_tool = match &*extension {
        "onnx" => Some("ONNX; `ditn export` writes that, but weights come from PyTorch or as safetensors"),
        "pb" | "tflite" => Some("a model of TensorFlow; weights come from PyTorch or as safetensors"),
        "caffemodel" => Some("a model of Caffe; weights come from PyTorch or as safetensors"),
        "mlmodel" => Some("a model of Core ML; weights come from PyTorch or as safetensors"),
        "weights" => {
            Some("weights of a detector of Darknet; weights of a pose network come from PyTorch or as safetensors")
        }
        "t7" => Some("a file of Torch 7; weights come from PyTorch or as safetensors"),
        _ => None,
    };
    // The text, where it is one; its end may have been cut through a character.
    let text = String::from_utf8_lossy(start);
    let text = text.trim_start_matches('\u{feff}').trim_start();
    if !is_text {
        // ONNX: version of the format, then the producer's name or the domain.
        let is_onnx = matches!(start, [0x08, 1..=30, 0x12 | 0x1a | 0x22 | 0x3a | 0x42, ..]);
        return match other_tool {
            Some(what) => what.to_owned(),
            None if start.get(4..8) == Some(b"TFL3") => {
                "a model of TensorFlow Lite; weights come from PyTorch or as safetensors".into()
            }
            None if is_onnx => {
                "ONNX, by its first bytes; `ditn export` writes that, but weights come from PyTorch or as safetensors"
                    .into()
            }
            None => "neither safetensors nor a file of PyTorch, by its first bytes".into(),
        };
    }
    let lower = text.to_lowercase();
    if lower.starts_with("<!doctype html") || lower.starts_with("<html") || lower.starts_with("<head") {
        let title =
            between(text, &lower, "<title>", "</title>").map(|title| format!(", \"{title}\"")).unwrap_or_default();
        return format!("a web page (HTML{title}): {AGAIN}");
    }
    if lower.starts_with("<?xml") || lower.starts_with("<error") {
        return match between(text, &lower, "<code>", "</code>") {
            Some(code) => format!("the error message of a server (XML, {code}): {AGAIN}"),
            None => "an XML text".into(),
        };
    }
    if text.starts_with("version https://git-lfs") || text.starts_with("version https://hawser") {
        let size = text.lines().find_map(|line| line.strip_prefix("size ")).unwrap_or("?");
        return format!("a Git LFS pointer to a file of {size} bytes, not the file: `git lfs pull` fetches it");
    }
    if text.starts_with("/annex/objects/") || text.contains(".git/annex/objects/") {
        return "a pointer of git-annex, not the file: `git annex get` fetches it".into();
    }
    if lower.starts_with('{') && lower.contains("\"weight_map\"") {
        return "the index of weights in several files: give the one that holds the network".into();
    }
    let first: String = text.lines().next().unwrap_or_default().chars().take(60).collect();
    match text.chars().next() {
        None => "blank: copy or download it again".into(),
        Some('{' | '[') => "a JSON text, not weights".into(),
        Some(_) => format!("a text that begins with \"{}\"", first.trim_end()),
    }
}

/// What stands between two words of a text, shortened, of which `lower` is the text in lower case.
fn between(text: &str, lower: &str, begin: &str, end: &str) -> Option<String> {
    // Lower case may be of another length outside ASCII; then nothing is quoted.
    if text.len() != lower.len() {
        return None;
    }
    let start = lower.find(begin)? + begin.len();
    let length = lower[start..].find(end)?;
    let words = text.get(start..start + length)?.split_whitespace().collect::<Vec<_>>().join(" ");
    Some(words.chars().take(80).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn kind(name: &str, bytes: &[u8]) -> String {
        static FILES: AtomicUsize = AtomicUsize::new(0);
        let (file, process) = (FILES.fetch_add(1, Ordering::Relaxed), std::process::id());
        let path = std::env::temp_dir().join(format!("ditn-kind-{process}-{file}-{name}"));
        std::fs::write(&path, bytes).unwrap();
        let kind = kind_of(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        match kind {
            FileKind::Other(what) => what,
            kind => format!("{kind:?}"),
        }
    }

    #[test]
    fn what_a_download_left_is_said() {
        let page = b"\n<!DOCTYPE html><html><head><title>Drive -\n Quota exceeded</title></head></html>";
        let denied = b"<?xml version=\"1.0\"?>\n<Error><Code>AccessDenied</Code></Error>";
        let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 114462464\n";
        assert!(kind("a.pth", page).contains("a web page (HTML, \"Drive - Quota exceeded\")"));
        assert!(kind("b.pth", denied).contains("the error message of a server (XML, AccessDenied)"));
        assert!(kind("c.pth", pointer).contains("a Git LFS pointer to a file of 114462464 bytes"));
        assert!(kind("d.pth", b"").starts_with("empty"));
        assert!(kind("e.pth", b"PK\x03\x04 and the rest is missing").contains("cut short"));
    }

    #[test]
    fn other_formats_are_said() {
        for (name, bytes, word) in [
            ("a.h5", b"\x89HDF\r\n\x1a\n and more".as_slice(), "HDF5"),
            ("a.npy", b"\x93NUMPY\x01\x00", "NumPy"),
            ("a.onnx", b"\x08\x08\x12\x07pytorch", "ONNX"),
            ("a.pth", b"\x08\x08\x12\x07pytorch", "ONNX"),
            ("a.tflite", b"\x1c\0\0\0TFL3", "TensorFlow"),
            ("yolov4.weights", b"\0\0\0\0\x02\0\0\0\x05\0\0\0", "a detector"),
            ("a.pth", b"\x1f\x8b\x08\0", "gunzip"),
            ("a.pth", b"\x89PNG\r\n", "a PNG picture"),
            ("a.json", b"{\"weight_map\": {}}", "several files"),
            ("a.json", b"[1, 2]", "a JSON text"),
            ("a.py", b"model = dict(type='TopDown')\n", "a text that begins with \"model = dict"),
            ("a.txt", b"BM or MZ may begin a text", "a text that begins"),
            ("a.bin", b"\x01\x02\x03", "neither safetensors nor a file of PyTorch"),
        ] {
            let kind = kind(name, bytes);
            assert!(kind.contains(word), "{name}: {kind}");
        }
        assert_eq!(kind("a.pth", b"\x80\x02}."), "PyTorch");
        assert_eq!(kind("a.pth", b"\x02\0\0\0\0\0\0\0{}"), "Safetensors");
    }

    #[test]
    fn a_folder_names_the_checkpoint_in_it() {
        let folder = std::env::temp_dir().join(format!("ditn-kind-{}-run", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        assert_eq!(kind_of(&folder).unwrap(), FileKind::Other("a folder".into()));
        std::fs::write(folder.join("best.safetensors"), "").unwrap();
        let FileKind::Other(what) = kind_of(&folder).unwrap() else { panic!("it is a folder") };
        assert!(what.contains("did you mean") && what.contains("best.safetensors"), "{what}");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
