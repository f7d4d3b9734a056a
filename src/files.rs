//! Writing files so that a crash leaves the old file or the new one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// What the names of files that are not whole yet begin and end with.
const UNFINISHED: (&str, &str) = (".ditn-", ".new");

/// Symbolic links that are followed one after the other before they count as a circle, as in Linux.
const MOST_LINKS: usize = 40;

/// Writes `bytes` to `path` as what is there allows:
///
/// - A regular file, or nothing: replaced in one step, and on the disk when this returns. It keeps its permissions.
/// - A symbolic link: it stays, and the file that it leads to is replaced or made.
/// - A pipe, a device, `/dev/stdout`: written through.
/// - A regular file whose folder takes no other file (a single file that is mounted into a container, a folder without
///   write permission): overwritten in place, as there is no other way.
///
/// # Errors
/// What the system says; a regular file that could be replaced in one step is then as before.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let target = behind_links(path)?;
    if target == Path::new("/dev/stdout") {
        // Another handle of the same file would have a place of its own to write at.
        let mut out = io::stdout().lock();
        return out.write_all(bytes).and_then(|()| out.flush());
    }
    let existing = match fs::metadata(&target) {
        Ok(metadata) if metadata.is_dir() => return Err(ErrorKind::IsADirectory.into()),
        // Not made where it is missing: Linux refuses that for pipes of other users in `/tmp`.
        Ok(metadata) if !metadata.is_file() || is_open_already(&target) => {
            return OpenOptions::new().append(true).open(&target)?.write_all(bytes);
        }
        Ok(metadata) => Some(metadata),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let folder = match target.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let replaced = Unfinished::create(folder).and_then(|mut unfinished| {
        if let Some(existing) = &existing {
            fs::set_permissions(&unfinished.path, existing.permissions())?;
        }
        unfinished.file.write_all(bytes)?;
        unfinished.file.sync_all()?;
        fs::rename(&unfinished.path, &target)?;
        unfinished.is_renamed = true;
        Ok(())
    });
    match replaced {
        Ok(()) => sync(folder),
        Err(error) if existing.is_some() && takes_no_other_file(&error) => {
            let mut file = OpenOptions::new().write(true).truncate(true).open(&target)?;
            file.write_all(bytes)?;
            file.sync_all()
        }
        Err(error) => Err(error),
    }
}

/// Removes what killed processes left half written in `folder`. Files that are being written at this moment stay, and so
/// does what cannot be removed.
pub fn remove_unfinished(folder: &Path) {
    let (start, end) = UNFINISHED;
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let is_unfinished = name.to_str().is_some_and(|name| name.starts_with(start) && name.ends_with(end));
        // Whoever writes holds the lock; the system drops it with the process, however it ends.
        if is_unfinished && File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok()) {
            fs::remove_file(entry.path()).ok();
        }
    }
}

/// A file beside the one that it will replace, removed again where it does not come to that.
struct Unfinished {
    path: PathBuf,
    file: File,
    is_renamed: bool,
}

impl Unfinished {
    /// A new file in `folder`, of a name that no other process and no other thread takes.
    fn create(folder: &Path) -> io::Result<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let (start, end) = UNFINISHED;
        loop {
            let number = COUNT.fetch_add(1, Ordering::Relaxed);
            let path = folder.join(format!("{start}{}-{number}{end}", std::process::id()));
            // Another machine may have the same number of a process in a shared folder.
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
                Ok(file) => {
                    // Without locks, as on some network drives, nothing is removed that could be in use.
                    file.try_lock().ok();
                    return Ok(Self { path, file, is_renamed: false });
                }
            }
        }
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.is_renamed {
            // Half a file is of no use, and the disk may be full.
            fs::remove_file(&self.path).ok();
        }
    }
}

/// Whether `path` stands for what a process holds open. Where that is a file of the disk, others write to it as well.
fn is_open_already(path: &Path) -> bool {
    ["/dev/stdout", "/dev/stderr", "/dev/fd", "/proc"].iter().any(|open| path.starts_with(open))
}

/// The file that `path` leads to through symbolic links, which need not be there; what is open already is not looked
/// behind.
fn behind_links(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_symlink() && !is_open_already(&path) => {
                let target = fs::read_link(&path)?;
                // A relative link starts in its own folder; an absolute one replaces it.
                path = path.parent().unwrap_or(Path::new("")).join(target);
            }
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => return Ok(path),
        }
    }
    Err(io::Error::other("too many symbolic links"))
}

/// Whether a folder refuses a new file, or the new file the place of the old one, though this may be written.
fn takes_no_other_file(error: &io::Error) -> bool {
    use ErrorKind::{CrossesDevices, PermissionDenied, ReadOnlyFilesystem, ResourceBusy};
    matches!(error.kind(), PermissionDenied | ReadOnlyFilesystem | ResourceBusy | CrossesDevices)
}

/// Brings the names in a folder to the disk, where the system can: a new name is there only when its folder is.
fn sync(folder: &Path) -> io::Result<()> {
    // Only Unix lets a folder be opened for that, and there not one that may be written but not read.
    let Some(folder) = cfg!(unix).then(|| File::open(folder).ok()).flatten() else { return Ok(()) };
    match folder.sync_all() {
        // Some file systems, network drives among them, have nothing to bring.
        Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of this test's own, removed at the end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("ditn-files-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn names(&self) -> Vec<String> {
            let mut names: Vec<String> =
                fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).ok();
        }
    }

    #[test]
    fn a_write_that_fails_leaves_the_old_file_and_nothing_beside_it() {
        let folder = Folder::new("fails");
        let path = folder.0.join("a");
        write_atomically(&path, b"old").unwrap();
        write_atomically(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        // A file cannot take the name of a folder.
        let taken = folder.0.join("b");
        fs::create_dir(&taken).unwrap();
        assert_eq!(write_atomically(&taken, b"c").unwrap_err().kind(), ErrorKind::IsADirectory);
        assert_eq!(write_atomically(&folder.0.join("c/d"), b"e").unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(folder.names(), ["a", "b"]);
    }

    #[test]
    fn the_longest_name_that_a_file_can_have_can_be_written() {
        let folder = Folder::new("long");
        let path = folder.0.join("n".repeat(255));
        write_atomically(&path, b"old").unwrap();
        write_atomically(&path, b"new").unwrap();
        assert_eq!((fs::read(&path).unwrap().as_slice(), folder.names().len()), (&b"new"[..], 1));
    }

    #[test]
    fn writers_of_one_file_do_not_mix() {
        let folder = Folder::new("writers");
        let path = folder.0.join("a");
        std::thread::scope(|scope| {
            for letter in [b'a', b'b', b'c', b'd'] {
                let path = &path;
                scope.spawn(move || (0..20).for_each(|_| write_atomically(path, &[letter; 10_000]).unwrap()));
            }
        });
        let bytes = fs::read(&path).unwrap();
        assert!(bytes.len() == 10_000 && bytes.iter().all(|byte| *byte == bytes[0]));
        assert_eq!(folder.names(), ["a"]);
    }

    #[test]
    fn what_a_killed_process_left_is_removed_and_what_is_being_written_is_not() {
        let folder = Folder::new("killed");
        let unfinished = Unfinished::create(&folder.0).unwrap();
        for name in [".ditn-4000000000-0.new", "a.new", ".ditn-notes"] {
            fs::write(folder.0.join(name), "").unwrap();
        }
        remove_unfinished(&folder.0);
        let written = unfinished.path.file_name().unwrap().to_str().unwrap().to_owned();
        let mut expected = vec![written, ".ditn-notes".into(), "a.new".into()];
        expected.sort();
        assert_eq!(folder.names(), expected);
    }

    #[cfg(unix)]
    mod unix {
        use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};

        use super::*;

        #[test]
        fn a_link_stays_and_the_file_behind_it_is_replaced_or_made() {
            let folder = Folder::new("links");
            let at = |name: &str| folder.0.join(name);
            fs::create_dir(at("other")).unwrap();
            fs::write(at("other/file"), "old").unwrap();
            symlink("other/file", at("one")).unwrap();
            symlink(at("one"), at("two")).unwrap();
            symlink("other/nothing yet", at("dangling")).unwrap();
            write_atomically(&at("two"), b"new").unwrap();
            write_atomically(&at("dangling"), b"made").unwrap();
            assert_eq!(fs::read(at("other/file")).unwrap(), b"new");
            assert_eq!(fs::read(at("other/nothing yet")).unwrap(), b"made");
            for link in ["one", "two", "dangling"] {
                assert!(fs::symlink_metadata(at(link)).unwrap().is_symlink(), "{link}");
            }
            assert_eq!(folder.names(), ["dangling", "one", "other", "two"]);
            symlink("circle", at("circle")).unwrap();
            assert!(write_atomically(&at("circle"), b"nowhere").is_err());
        }

        #[test]
        fn an_existing_file_keeps_its_permissions() {
            let folder = Folder::new("permissions");
            let path = folder.0.join("a");
            fs::write(&path, "old").unwrap();
            fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
            write_atomically(&path, b"new").unwrap();
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        }

        #[test]
        fn pipes_and_devices_are_written_through() {
            let folder = Folder::new("pipes");
            let pipe = folder.0.join("pipe");
            assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
            let got = std::thread::scope(|scope| {
                let reader = scope.spawn(|| fs::read(&pipe).unwrap());
                write_atomically(&pipe, b"through").unwrap();
                reader.join().unwrap()
            });
            assert_eq!(got, b"through");
            assert!(fs::symlink_metadata(&pipe).unwrap().file_type().is_fifo());
            write_atomically(Path::new("/dev/null"), b"nowhere").unwrap();
            assert!(fs::metadata("/dev/null").unwrap().file_type().is_char_device());
            assert_eq!(folder.names(), ["pipe"]);
        }
    }
}
