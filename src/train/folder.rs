//! The folder of a run: what lies where, and that only one run at a time writes there.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use crate::files::remove_unfinished;

/// An output folder, held by this process until dropped, or by another whose run this one takes part in.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    /// The operating system drops the lock with the process, however it ends.
    lock: Option<File>,
}

/// Why a folder cannot be a run's output.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// The folder cannot be made or written to.
    #[error("cannot write to the output folder {}: {error}; choose another with --out", path.display())]
    NotWritable {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// The folder holds a run already.
    #[error(
        "{0} already holds a run; continue it with --resume {0}, or choose another folder with --out",
        path.display()
    )]
    HoldsARun {
        /// The folder.
        path: PathBuf,
    },
    /// Another process trains into the folder at this moment.
    #[error("another process is writing to {}; choose another folder with --out", path.display())]
    Busy {
        /// The folder.
        path: PathBuf,
    },
    /// The folder holds a run, but not the one that is looked for.
    #[error("{} holds a run of another configuration; choose another folder with --out", path.display())]
    OtherRun {
        /// The folder.
        path: PathBuf,
    },
    /// There is nothing to resume.
    #[error("{} holds no checkpoint to resume from (no last.safetensors)", path.display())]
    NothingToResume {
        /// The folder.
        path: PathBuf,
    },
}

impl RunFolder {
    /// Makes `runs/<name>-<number>` with the first free number from 001.
    ///
    /// # Errors
    /// [`FolderError::NotWritable`].
    pub fn numbered(runs: &Path, name: &str) -> Result<Self, FolderError> {
        let not_writable = |path: &Path, error| FolderError::NotWritable { path: path.to_owned(), error };
        std::fs::create_dir_all(runs).map_err(|error| not_writable(runs, error))?;
        let mut number = 1;
        loop {
            let path = runs.join(format!("{name}-{number:03}"));
            // Making a folder is atomic: of two runs that start together each gets its own number.
            match std::fs::create_dir(&path) {
                Ok(()) => return Self::lock(path),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => number += 1,
                Err(error) => return Err(not_writable(&path, error)),
            }
        }
    }

    /// Takes `path` for a new run, making it where it is missing.
    ///
    /// # Errors
    /// [`FolderError::NotWritable`], [`FolderError::HoldsARun`], [`FolderError::Busy`].
    pub fn for_new_run(path: &Path) -> Result<Self, FolderError> {
        std::fs::create_dir_all(path).map_err(|error| FolderError::NotWritable { path: path.to_owned(), error })?;
        let folder = Self::lock(path.to_owned())?;
        let traces = [folder.last(), folder.best(), folder.log(), folder.summary()];
        if traces.iter().any(|trace| trace.exists()) {
            return Err(FolderError::HoldsARun { path: path.to_owned() });
        }
        Ok(folder)
    }

    /// Takes the folder of a run that stopped.
    ///
    /// # Errors
    /// [`FolderError::NothingToResume`], [`FolderError::Busy`], [`FolderError::NotWritable`].
    pub fn for_resuming(path: &Path) -> Result<Self, FolderError> {
        if !path.join(LAST).exists() {
            return Err(FolderError::NothingToResume { path: path.to_owned() });
        }
        Self::lock(path.to_owned())
    }

    /// The folder that another rank of the run writes to.
    pub fn of_another_rank(path: PathBuf) -> Self {
        Self { path, lock: None }
    }

    /// Whether this process writes to it.
    pub fn is_written(&self) -> bool {
        self.lock.is_some()
    }

    fn lock(path: PathBuf) -> Result<Self, FolderError> {
        let not_writable = |error| FolderError::NotWritable { path: path.clone(), error };
        let lock = File::create(path.join(".lock")).map_err(not_writable)?;
        match lock.try_lock() {
            Ok(()) => {
                // A process that was killed while it wrote a checkpoint leaves a file of that size.
                remove_unfinished(&path);
                Ok(Self { path, lock: Some(lock) })
            }
            Err(TryLockError::WouldBlock) => Err(FolderError::Busy { path }),
            Err(TryLockError::Error(error)) => Err(FolderError::NotWritable { path, error }),
        }
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The newest checkpoint.
    pub fn last(&self) -> PathBuf {
        self.path.join(LAST)
    }

    /// The checkpoint with the best score.
    pub fn best(&self) -> PathBuf {
        self.path.join("best.safetensors")
    }

    /// A line of JSON an epoch.
    pub fn log(&self) -> PathBuf {
        self.path.join("log.jsonl")
    }

    /// What the run came to.
    pub fn summary(&self) -> PathBuf {
        self.path.join("summary.json")
    }

    /// The joints found at the end, as the data set's public tools read them.
    pub fn results(&self) -> PathBuf {
        self.path.join("results.json")
    }

    /// The configuration with all overrides applied and all defaults filled in.
    pub fn config(&self) -> PathBuf {
        self.path.join("config.toml")
    }

    /// Which tensors came from the file of initial weights.
    pub fn init(&self) -> PathBuf {
        self.path.join("init.json")
    }

    /// The last picture of predicted and true skeletons.
    pub fn sheet(&self) -> PathBuf {
        self.path.join("sheet.png")
    }

    /// The picture of predicted and true skeletons after `epoch` epochs.
    pub fn epoch_sheet(&self, epoch: u64) -> PathBuf {
        self.path.join("sheets").join(format!("epoch_{epoch:03}.png"))
    }
}

const LAST: &str = "last.safetensors";

#[cfg(test)]
mod tests {
    use super::*;

    fn fresh(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("ditn-folder-{name}-{}", std::process::id()));
        std::fs::remove_dir_all(&path).ok();
        path
    }

    #[test]
    fn numbered_folders_count_up() {
        let runs = fresh("numbered");
        let first = RunFolder::numbered(&runs, "a").unwrap();
        let second = RunFolder::numbered(&runs, "a").unwrap();
        assert!(first.path().ends_with("a-001") && second.path().ends_with("a-002"));
        std::fs::remove_dir_all(&runs).unwrap();
    }

    #[test]
    fn a_folder_with_a_run_is_refused_and_named() {
        let path = fresh("holds");
        std::fs::create_dir_all(&path).unwrap();
        std::fs::write(path.join("log.jsonl"), "").unwrap();
        let message = RunFolder::for_new_run(&path).unwrap_err().to_string();
        assert!(message.contains(&format!("--resume {}", path.display())), "{message}");
        std::fs::remove_dir_all(&path).unwrap();
    }

    #[test]
    fn a_folder_is_held_by_one_run_until_it_ends() {
        let path = fresh("busy");
        let first = RunFolder::for_new_run(&path).unwrap();
        assert!(matches!(RunFolder::for_new_run(&path), Err(FolderError::Busy { .. })));
        drop(first);
        RunFolder::for_new_run(&path).unwrap();
        std::fs::remove_dir_all(&path).unwrap();
    }

    #[test]
    fn a_folder_without_a_checkpoint_cannot_be_resumed() {
        let path = fresh("nothing");
        assert!(matches!(RunFolder::for_resuming(&path), Err(FolderError::NothingToResume { .. })));
        assert!(!path.exists());
    }

    #[test]
    fn a_file_in_the_way_is_not_writable() {
        let path = fresh("file");
        std::fs::write(&path, "").unwrap();
        assert!(matches!(RunFolder::for_new_run(&path.join("run")), Err(FolderError::NotWritable { .. })));
        std::fs::remove_file(&path).unwrap();
    }
}
