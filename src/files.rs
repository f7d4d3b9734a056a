//! Writing files so that a crash leaves the old file or the new one.

use std::fs::File;
use std::io::Write;
use std::path::Path;

/// Replaces `path` by `bytes` in one step, on the disk when this returns.
///
/// # Errors
/// What the system says; `path` is then as before.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let beside = path.with_file_name(name);
    let written = File::create(&beside).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    if let Err(error) = written.and_then(|()| std::fs::rename(&beside, path)) {
        // Half a file is of no use, and the disk may be full.
        std::fs::remove_file(&beside).ok();
        return Err(error);
    }
    // The new name is on the disk only when its folder is; only Unix lets a folder be opened for that.
    #[cfg(unix)]
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_that_fails_leaves_the_old_file_and_nothing_beside_it() {
        let folder = std::env::temp_dir().join(format!("ditn-files-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("a");
        write_atomically(&path, b"old").unwrap();
        write_atomically(&path, b"new").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        // A file cannot take the name of a folder.
        let taken = folder.join("b");
        std::fs::create_dir(&taken).unwrap();
        assert!(write_atomically(&taken, b"c").is_err());
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 2);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
