//! How the pictures of a step are spread over time and processes.

/// Most bytes of the flat values of gradients: what ranks send at a time, while the rest is still being computed. PyTorch's
/// DistributedDataParallel has as much.
pub const BUCKET_BYTES: u64 = 25 << 20;

/// How the pictures of a step are spread over time and processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spread {
    /// Micro-batches that each rank computes one after the other.
    pub accumulate: usize,
    /// Ranks that compute at the same time.
    pub ranks: usize,
    /// Whether batch normalisation uses the statistics of all ranks instead of each rank's own.
    pub sync_batch_norm: bool,
}

impl Default for Spread {
    fn default() -> Self {
        Self { accumulate: 1, ranks: 1, sync_batch_norm: false }
    }
}

impl Spread {
    /// Micro-batches of a step.
    pub fn micro_batches(&self) -> usize {
        self.accumulate * self.ranks
    }
}
