//! What a run tells whoever watches it.

use super::folder::RunFolder;
use super::log::EpochLine;
use super::people::People;
use crate::gpu::Gpu;

/// What is known before the first step.
pub struct Opening<'a> {
    /// The output folder.
    pub folder: &'a RunFolder,
    /// The adapter.
    pub gpu: &'a Gpu,
    /// Who is trained on and who is scored.
    pub people: &'a People,
    /// Parameters of the network.
    pub parameters: usize,
    /// Steps of the configuration that stand for what an earlier process has done. More than `total_steps` where that was
    /// to train for longer.
    pub first_step: u64,
    /// Steps of the whole run.
    pub total_steps: u64,
    /// Pictures a step.
    pub batch: usize,
}

/// Someone who watches a run: a progress bar, a test.
pub trait Watcher {
    /// Everything is ready.
    fn opened(&mut self, opening: &Opening<'_>);
    /// A step's loss has come back. Steps are counted from 1, on from [`Opening::first_step`].
    fn step(&mut self, step: u64, loss: f32);
    /// Another batch of the evaluation is done.
    fn evaluated(&mut self, people: usize, of: usize);
    /// An epoch is over and logged.
    fn epoch(&mut self, line: &EpochLine);
    /// Something worth a line.
    fn note(&mut self, text: &str);
}

/// Nobody: the ranks of a run behind the first.
pub struct Silent;

impl Watcher for Silent {
    fn opened(&mut self, _: &Opening<'_>) {}
    fn step(&mut self, _: u64, _: f32) {}
    fn evaluated(&mut self, _: usize, _: usize) {}
    fn epoch(&mut self, _: &EpochLine) {}
    fn note(&mut self, _: &str) {}
}
