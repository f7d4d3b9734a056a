//! Whose weights are whose: the tensors of a file against those of a network, by name and shape.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use super::weight_file::{WeightFile, WeightFileError};
use crate::graph::Tensor;

/// Names and shapes of tensors.
pub type Shapes = BTreeMap<String, Vec<usize>>;

/// The prefix of an optimizer's tensors in a checkpoint.
pub const OPTIMIZER: &str = "optimizer.";

/// What of a file fits a network, and what does not.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Matching {
    /// What stands before the network's names in the file: nothing, `module.`, `state_dict.` and the like.
    pub prefix: String,
    /// Tensors of the network that the file has, in its shape.
    pub loaded: Vec<String>,
    /// Tensors of the network that the file lacks.
    pub missing: Vec<String>,
    /// Tensors of the file that the network has in another shape.
    pub other_shape: Vec<OtherShape>,
    /// Tensors of the file, without the prefix, that the network does not have.
    pub extra: Vec<String>,
    /// How many tensors of the file lie outside the prefix or belong to an optimizer.
    pub besides: usize,
}

/// A tensor that a file and a network have in different shapes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OtherShape {
    /// Its name in the network.
    pub name: String,
    /// Its shape in the file.
    pub shape: Vec<usize>,
    /// Its shape in the network.
    pub expected: Vec<usize>,
}

impl Matching {
    /// Compares the tensors of `file` with those of a network. Of several copies in the file (`state_dict` beside
    /// `best_state_dict`) the one with the most of the network's names is taken; among equals that with the shortest
    /// prefix, then the first in alphabetical order.
    pub fn new(network: &Shapes, file: &WeightFile) -> Self {
        let prefix = prefix_of(network, file);
        let mut matching = Self { prefix: prefix.to_owned(), ..Self::default() };
        let mut seen = BTreeMap::new();
        for (name, shape) in file.shapes() {
            match name.strip_prefix(prefix).filter(|name| !name.starts_with(OPTIMIZER)) {
                None => matching.besides += 1,
                Some(name) => {
                    if !network.contains_key(name) {
                        matching.extra.push(name.to_owned());
                    }
                    seen.insert(name, shape);
                }
            }
        }
        for (name, expected) in network {
            match seen.get(name.as_str()) {
                None => matching.missing.push(name.clone()),
                Some(&shape) if shape == expected => matching.loaded.push(name.clone()),
                Some(&shape) => matching.other_shape.push(OtherShape {
                    name: name.clone(),
                    shape: shape.to_vec(),
                    expected: expected.clone(),
                }),
            }
        }
        matching
    }

    /// Whether every tensor of the network is loaded.
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty() && self.other_shape.is_empty()
    }

    /// The loaded tensors, under the network's names.
    ///
    /// # Errors
    /// As [`WeightFile::read`].
    pub fn read(&self, file: &WeightFile) -> Result<BTreeMap<String, Tensor>, WeightFileError> {
        self.loaded.iter().map(|name| Ok((name.clone(), file.read(&format!("{}{name}", self.prefix))?))).collect()
    }

    /// Lines for people: counts, and of each list the first `shown` names.
    pub fn lines(&self, shown: usize) -> Vec<String> {
        let other: Vec<String> = self
            .other_shape
            .iter()
            .map(|OtherShape { name, shape, expected }| format!("{name} {shape:?}, should be {expected:?}"))
            .collect();
        let mut lines = vec![format!("{:<12} {:>5}", "loaded", self.loaded.len())];
        if !self.prefix.is_empty() {
            lines[0] += &format!("   (under `{}`)", self.prefix);
        }
        for (title, names) in [("missing", &self.missing), ("other shape", &other), ("extra", &self.extra)] {
            lines.push(format!("{title:<12} {:>5}", names.len()));
            lines.extend(names.iter().take(shown).map(|name| format!("  {name}")));
            if names.len() > shown {
                lines.push(format!("  ... and {} more", names.len() - shown));
            }
        }
        lines
    }
}

/// What precedes the network's names in the file; nothing where no name is found.
fn prefix_of<'a>(network: &Shapes, file: &'a WeightFile) -> &'a str {
    let longest = network.keys().map(String::len).max().unwrap_or(0);
    let mut found: HashMap<&str, usize> = HashMap::new();
    for (name, _) in file.shapes() {
        // A hostile name may have a million dots: only the last of them can precede a name of the network.
        let starts = name.rmatch_indices('.').map(|(dot, _)| dot + 1).take_while(|start| name.len() - start <= longest);
        for start in starts.chain([0]).filter(|&start| network.contains_key(&name[start..])) {
            *found.entry(&name[..start]).or_default() += 1;
        }
    }
    let best = found
        .into_iter()
        .max_by(|(a, hits_a), (b, hits_b)| hits_a.cmp(hits_b).then(b.len().cmp(&a.len())).then(b.cmp(a)));
    best.map_or("", |(prefix, _)| prefix)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn made(name: &str) -> WeightFile {
        WeightFile::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/weights").join(name)).unwrap()
    }

    /// The network that the files were made from.
    fn network() -> Shapes {
        made("hrnet_zip.pth").shapes().map(|(name, shape)| (name.to_owned(), shape.to_vec())).collect()
    }

    #[test]
    fn a_wrapper_and_a_module_prefix_are_seen_through() {
        let matching = Matching::new(&network(), &made("hrnet_legacy_wrapped.pth"));
        assert_eq!(matching.prefix, "state_dict.module.");
        assert!(matching.is_complete() && matching.extra.is_empty(), "{matching:?}");
        assert_eq!(matching.loaded.len(), network().len());
    }

    #[test]
    fn a_body_without_its_head_is_listed_as_loaded_missing_extra_and_of_another_shape() {
        let (network, file) = (network(), made("imagenet_stem.pth"));
        let matching = Matching::new(&network, &file);
        let loaded: Vec<&String> = network.keys().filter(|name| file.shapes().any(|(n, _)| n == *name)).collect();
        assert_eq!(loaded.len(), 11, "two convolutions, two batch normalisations, the weight of the final layer");
        assert_eq!(matching.loaded.len(), 10);
        assert_eq!(matching.missing.len(), network.len() - 11);
        assert_eq!(matching.extra, ["classifier.bias", "classifier.weight", "incre_modules.0.0.conv1.weight"]);
        let [OtherShape { name, shape, expected }] = &matching.other_shape[..] else { panic!("{matching:?}") };
        assert_eq!(
            (name.as_str(), &shape[..], &expected[..]),
            ("final_layer.weight", &[16, 2, 1, 1][..], &[17, 2, 1, 1][..])
        );
        assert!(matching.read(&file).unwrap().keys().eq(&matching.loaded));

        let lines = matching.lines(2).join("\n");
        assert!(lines.contains("loaded          10") && lines.contains("extra            3"), "{lines}");
        assert!(lines.contains("final_layer.weight [16, 2, 1, 1], should be [17, 2, 1, 1]"), "{lines}");
        assert!(lines.contains("classifier.weight\n  ... and 1 more"), "{lines}");
    }

    #[test]
    fn a_file_of_another_kind_matches_nothing() {
        let matching =
            Matching::new(&Shapes::from([("fc.weight".to_owned(), vec![10, 8])]), &made("imagenet_stem.pth"));
        assert!(matching.loaded.is_empty() && matching.prefix.is_empty());
        assert_eq!(matching.missing, ["fc.weight"]);
    }
}
