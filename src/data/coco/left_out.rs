//! Records that are not used, or not as they stand: counted by kind and said once a file; each is named with `-v`.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::Path;

/// What was met in a file that is worth a word.
#[derive(Debug, Default)]
pub struct LeftOut {
    kinds: BTreeMap<&'static str, (usize, String)>,
}

impl LeftOut {
    /// Counts a record at `place`, such as `annotations[3] (id 7)`. `what` completes "12 of 100 records ...".
    pub fn add(&mut self, what: &'static str, place: impl Display) {
        tracing::info!("{place} {what}");
        self.kinds.entry(what).or_insert_with(|| (0, place.to_string())).0 += 1;
    }

    /// How many records were counted for this.
    pub fn count(&self, what: &str) -> usize {
        self.kinds.get(what).map_or(0, |(count, _)| *count)
    }

    /// A line a kind: how many of the `all` records of the file.
    pub fn lines(&self, all: usize) -> Vec<String> {
        let line = |(what, (count, first)): (&&str, &(usize, String))| match count {
            1 => format!("{first} {what}"),
            _ => format!("{count} of {all} records: {what}; the first is {first}, -v names them all"),
        };
        self.kinds.iter().map(line).collect()
    }

    /// Warns of what was met.
    pub fn warn(&self, path: &Path, all: usize) {
        for line in self.lines(all) {
            tracing::warn!("{}: {line}", path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_counted_by_kind_and_the_first_is_named() {
        let mut left_out = LeftOut::default();
        for record in [4, 9] {
            left_out.add("its box has no extent", format!("annotations[{record}]"));
        }
        left_out.add("has no picture", "annotations[2]");
        assert_eq!(left_out.count("its box has no extent"), 2);
        assert_eq!(
            left_out.lines(12),
            [
                "annotations[2] has no picture",
                "2 of 12 records: its box has no extent; the first is annotations[4], -v names them all",
            ]
        );
    }
}
