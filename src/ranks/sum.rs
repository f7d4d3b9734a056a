//! Sums over ranks that do not depend on how a library adds up.

use std::ops::Range;

use super::Communicator;

/// Adds up what all ranks have, element by element and in the order of the ranks.
///
/// Each rank receives its share of the elements from all, adds these up, and sends the sums to all: 2 (n - 1) / n of the
/// elements in each direction, as a ring would.
#[derive(Debug, Default)]
pub struct Sum {
    received: Vec<f32>,
    sums: Vec<f32>,
}

impl Sum {
    /// The sums that were added up last.
    pub fn sums(&self) -> &[f32] {
        &self.sums
    }

    /// Adds up `words`, of as many elements on every rank.
    pub fn add_up(&mut self, ranks: &dyn Communicator, words: &[f32]) {
        let (rank, parts) = (ranks.rank(), shares(words.len(), ranks.size()));
        let own = parts[rank].clone();
        self.received.resize(own.len() * ranks.size(), 0.0);
        ranks.all_to_all(words, &parts, &mut self.received);
        self.sums.resize(words.len(), 0.0);
        let (first, others) = self.received.split_at(own.len());
        let sums = &mut self.sums[own.clone()];
        sums.copy_from_slice(first);
        for other in others.chunks_exact(own.len().max(1)) {
            sums.iter_mut().zip(other).for_each(|(sum, x)| *sum += x);
        }
        ranks.all_gather_parts(&mut self.sums, &parts);
    }
}

/// `words` elements cut into a share for each of `ranks`, as equal as can be.
fn shares(words: usize, ranks: usize) -> Vec<Range<usize>> {
    (0..ranks).map(|rank| words * rank / ranks..words * (rank + 1) / ranks).collect()
}

#[cfg(test)]
mod tests {
    use super::super::Alone;
    use super::*;

    #[test]
    fn shares_follow_each_other_and_cover_all() {
        assert_eq!(shares(10, 4), [0..2, 2..5, 5..7, 7..10]);
        assert_eq!(shares(1, 2), [0..0, 0..1]);
    }

    #[test]
    fn a_process_without_others_has_the_sums_already() {
        let mut sum = Sum::default();
        for words in [&[1.0, -2.0][..], &[3.0], &[]] {
            sum.add_up(&Alone, words);
            assert_eq!(sum.sums(), words);
        }
    }
}
