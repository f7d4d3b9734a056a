//! What every data set can do.

use std::sync::Arc;

use super::error::DataError;
use super::person::{Annotation, Person};
use super::skeleton::Skeleton;

/// A numbered set of people of one skeleton.
pub trait Dataset: Send + Sync {
    /// Name and split, for messages and logs.
    fn name(&self) -> &str;

    /// The joints of its people.
    fn skeleton(&self) -> &Arc<Skeleton>;

    /// People in one pass.
    fn len(&self) -> usize;

    /// Whether there is nobody in it.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What is known of person `index` of pass `pass` without decoding or painting the picture.
    ///
    /// `pass` is the epoch: only an endless (synthetic) set gives other people in each pass.
    ///
    /// # Errors
    /// Where the annotation cannot be had; an index past the end is one.
    fn annotation(&self, pass: u64, index: usize) -> Result<Annotation, DataError>;

    /// Person `index` of pass `pass` with the picture; the rest as [`annotation`](Self::annotation) gives it.
    ///
    /// # Errors
    /// As [`annotation`](Self::annotation), and where the picture is missing or broken.
    fn load(&self, pass: u64, index: usize) -> Result<Person, DataError>;
}
