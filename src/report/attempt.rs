//! Work that may fail in any way: an error and a panic both become a reason, in words that name no folder.

use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

use super::machine::without_folders;

/// Why a part, or a piece of one, failed.
pub type Failure = Box<dyn Error>;

/// The last panic, with its place, where [`keep_panics`] has been called.
static LAST_PANIC: Mutex<Option<String>> = Mutex::new(None);

/// Keeps panics of this process for the report, with their places, in place of printing them. For the program that makes
/// reports: it is one setting for all threads.
pub fn keep_panics() {
    std::panic::set_hook(Box::new(|panic| {
        *LAST_PANIC.lock().unwrap_or_else(PoisonError::into_inner) = Some(panic.to_string());
    }));
}

/// Does the work; the reason where it fails or panics.
///
/// # Errors
/// The reason: the error with its causes, or what the panic said.
pub fn attempt<T>(work: impl FnOnce() -> Result<T, Failure>) -> Result<T, String> {
    // What a panic leaves half done is a device or a session, which is dropped or opened anew.
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(result)) => Ok(result),
        Ok(Err(error)) => Err(without_folders(&with_causes(error.as_ref()))),
        Err(panic) => Err(without_folders(&format!("it panicked: {}", panic_text(panic.as_ref())))),
    }
}

fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Transparent errors repeat their cause.
        let further = error.to_string();
        if !text.contains(&further) {
            text = format!("{text}: {further}");
        }
        cause = error.source();
    }
    text
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let kept = LAST_PANIC.lock().unwrap_or_else(PoisonError::into_inner).take();
    let said = || panic.downcast_ref::<&str>().map(ToString::to_string).or(panic.downcast_ref::<String>().cloned());
    kept.or_else(said).unwrap_or_else(|| "without words".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_and_panics_become_reasons() {
        assert_eq!(attempt(|| Ok(3)), Ok(3));
        assert_eq!(attempt::<()>(|| Err("no memory".into())), Err("no memory".to_owned()));
        let missing = attempt(|| Ok(std::fs::read("/nonexistent/folder/file")?)).unwrap_err();
        assert!(!missing.contains("nonexistent"), "{missing}");
        let panicked = attempt::<()>(|| panic!("{} lanes in {}", 3, "/home/jane/x.rs")).unwrap_err();
        assert!(panicked.contains("3 lanes in x.rs"), "{panicked}");
    }
}
