//! Whose weights are whose: the tensors of a file against those of a network, by name and shape.

use std::collections::BTreeMap;

use serde::Serialize;

use super::file_names::{Entry, OPTIMIZER, Shapes, beside, copies, entries, is_average, original_prefix};
use super::weight_error::WeightFileError;
use super::weight_file::WeightFile;
use crate::graph::Tensor;

/// Which of a file's copies of the network is meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum WeightCopy {
    /// The one with the most of the network's tensors, and of those an average only where there is no other.
    #[default]
    Main,
    /// An average of the weights over the training (EMA, SWA).
    Average,
    /// The one whose names begin so.
    Under(String),
}

/// What of a file fits a network, and what does not.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Matching {
    /// What stands before the network's names in the file: nothing, `module.`, `state_dict.backbone.` and the like.
    pub prefix: String,
    /// What stands before the names that the file has elsewhere, as MMPose has its heads: `state_dict.head.`.
    pub head_prefix: Option<String>,
    /// Whether the file calls this copy an average of the weights over the training.
    pub average: bool,
    /// The prefixes of further copies of the network in the file, the averages among them.
    pub copies: Vec<String>,
    /// Tensors of the network that the file has, in its shape.
    pub loaded: Vec<String>,
    /// Tensors of the network that the file lacks.
    pub missing: Vec<String>,
    /// Tensors of the file that the network has in another shape.
    pub other_shape: Vec<OtherShape>,
    /// Tensors of the file, without the prefix, that the network does not have.
    pub extra: Vec<String>,
    /// Those under the second prefix.
    pub head_extra: Vec<String>,
    /// How many tensors of the file lie outside the prefixes or belong to an optimizer.
    pub besides: usize,
    /// The names of the loaded tensors in the file.
    #[serde(skip)]
    names: BTreeMap<String, String>,
    /// The first extents of the file's tensors, by their names without the prefix.
    #[serde(skip)]
    channels: BTreeMap<String, usize>,
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
    /// `best_state_dict`) `copy` says which; among equals that with the most of the network's names is taken, then that
    /// with the shortest prefix, then the first in alphabetical order. What it lacks is looked for beside it, under one
    /// other prefix.
    ///
    /// # Errors
    /// [`WeightFileError::NoSuchCopy`].
    pub fn new(network: &Shapes, file: &WeightFile, copy: &WeightCopy) -> Result<Self, WeightFileError> {
        let entries = entries(file);
        let copies = copies(network, &entries);
        let is_average = |prefix: &str| is_average(file, &copies, prefix);
        let wanted = |prefix: &str| match copy {
            WeightCopy::Main => true,
            WeightCopy::Average => is_average(prefix),
            WeightCopy::Under(start) => original_prefix(&entries, prefix).starts_with(start.as_str()),
        };
        let (best, others) = match copies.iter().position(|prefix| wanted(prefix)) {
            Some(best) => {
                let others = copies.iter().enumerate().filter(|&(i, _)| i != best);
                (copies[best], others.map(|(_, prefix)| original_prefix(&entries, prefix)).collect())
            }
            None if copies.is_empty() => ("", Vec::new()),
            None => {
                return Err(WeightFileError::NoSuchCopy {
                    path: file.path().to_owned(),
                    wanted: match copy {
                        WeightCopy::Under(start) => format!("copy of the network whose names begin with `{start}`"),
                        _ => "average of the weights (such as `ema_state_dict` or `model_ema`)".into(),
                    },
                    copies: copies.iter().map(|prefix| original_prefix(&entries, prefix)).collect(),
                });
            }
        };
        let mut matching = Self { copies: others, average: is_average(best), ..Self::default() };
        matching.prefix = original_prefix(&entries, best);
        matching.compare(network, &entries, best);
        // Something that is no tensor may stand where the network has one.
        let made = |name: &&String| file.made_by(&format!("{}{name}", matching.prefix)).is_some();
        if let Some(name) = matching.missing.iter().find(made) {
            file.read(&format!("{}{name}", matching.prefix))?;
        }
        Ok(matching)
    }

    /// Compares names and shapes alone, as if they were a file's.
    #[cfg(test)]
    pub(crate) fn of_shapes(network: &Shapes, file: &Shapes) -> Self {
        let entries: Vec<Entry> =
            file.iter().map(|(name, shape)| Entry { name: name.into(), original: name, shape }).collect();
        let mut matching = Self::default();
        matching.compare(network, &entries, "");
        matching
    }

    /// Sorts the names of both into the lists.
    fn compare(&mut self, network: &Shapes, entries: &[Entry], prefix: &str) {
        let under = |prefix: &str| -> BTreeMap<String, &Entry> {
            let rest = entries.iter().filter_map(|entry| Some((entry.name.strip_prefix(prefix)?, entry)));
            rest.filter(|(name, _)| !name.starts_with(OPTIMIZER))
                .map(|(name, entry)| (name.to_owned(), entry))
                .collect()
        };
        let mut seen = under(prefix);
        let mut head = BTreeMap::new();
        if let Some(head_prefix) = beside(network, entries, prefix, &seen) {
            self.head_prefix = Some(original_prefix(entries, head_prefix));
            head = under(head_prefix);
            if prefix.starts_with(head_prefix) {
                // The head stands around the body, and who knows what else does.
                head.retain(|name, _| network.contains_key(name));
            } else {
                seen.retain(|_, entry| !entry.name.starts_with(head_prefix));
            }
        }
        self.extra = seen.keys().filter(|name| !network.contains_key(*name)).cloned().collect();
        self.head_extra = head.keys().filter(|name| !network.contains_key(*name)).cloned().collect();
        let channels = |(name, entry): (&String, &&Entry)| Some((name.clone(), *entry.shape.first()?));
        self.channels = seen.iter().filter_map(channels).collect();
        self.besides = entries.len() - seen.len() - head.len();
        for (name, expected) in network {
            match seen.get(name).or_else(|| head.get(name)) {
                None => self.missing.push(name.clone()),
                Some(entry) if entry.shape == expected => {
                    self.loaded.push(name.clone());
                    self.names.insert(name.clone(), entry.original.to_owned());
                }
                Some(entry) => self.other_shape.push(OtherShape {
                    name: name.clone(),
                    shape: entry.shape.to_vec(),
                    expected: expected.clone(),
                }),
            }
        }
    }

    /// The first extent of a tensor of the file, by its name without the prefix.
    pub fn channels_of(&self, name: &str) -> Option<usize> {
        self.channels.get(name).copied()
    }

    /// Whether every tensor of the network is loaded.
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty() && self.other_shape.is_empty()
    }

    /// The loaded tensors, under the network's names.
    ///
    /// # Errors
    /// As [`WeightFile::read`]; [`WeightFileError::NotFinite`] and [`WeightFileError::NegativeVariance`], from which no
    /// prediction follows.
    pub fn read(&self, file: &WeightFile) -> Result<BTreeMap<String, Tensor>, WeightFileError> {
        let read = |(name, original): (&String, &String)| {
            let tensor = file.read(original)?;
            let (path, wrong) = (file.path().to_owned(), |x: &&f32| !x.is_finite());
            if let Some(value) = tensor.data.iter().find(wrong) {
                let (count, of) = (tensor.data.iter().filter(wrong).count(), tensor.data.len());
                return Err(WeightFileError::NotFinite { path, name: original.clone(), value: *value, count, of });
            }
            if name.ends_with("running_var") && tensor.data.iter().any(|&x| x < 0.0) {
                return Err(WeightFileError::NegativeVariance { path, name: original.clone() });
            }
            Ok((name.clone(), tensor))
        };
        self.names.iter().map(read).collect()
    }

    /// Lines for people: counts, and of each list the first `shown` names.
    pub fn lines(&self, shown: usize) -> Vec<String> {
        let other: Vec<String> = self
            .other_shape
            .iter()
            .map(|OtherShape { name, shape, expected }| format!("{name} {shape:?}, should be {expected:?}"))
            .collect();
        let mut lines = vec![format!("{:<12} {:>5}", "loaded", self.loaded.len())];
        match &self.head_prefix {
            Some(head) if self.prefix.is_empty() => lines[0] += &format!("   (the head under `{head}`)"),
            Some(head) => lines[0] += &format!("   (under `{}`, the head under `{head}`)", self.prefix),
            None if !self.prefix.is_empty() => lines[0] += &format!("   (under `{}`)", self.prefix),
            None => {}
        }
        let head = self.head_prefix.as_deref().unwrap_or_default();
        let extra: Vec<String> =
            self.extra.iter().cloned().chain(self.head_extra.iter().map(|name| format!("{head}{name}"))).collect();
        for (title, names) in [("missing", &self.missing), ("other shape", &other), ("extra", &extra)] {
            lines.push(format!("{title:<12} {:>5}", names.len()));
            lines.extend(names.iter().take(shown).map(|name| format!("  {name}")));
            if names.len() > shown {
                lines.push(format!("  ... and {} more", names.len() - shown));
            }
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn made(name: &str) -> WeightFile {
        WeightFile::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/weights").join(name)).unwrap()
    }

    fn matched(network: &Shapes, file: &WeightFile) -> Matching {
        Matching::new(network, file, &WeightCopy::Main).unwrap()
    }

    /// The network that the files were made from.
    fn network() -> Shapes {
        made("hrnet_zip.pth").shapes().map(|(name, shape)| (name.to_owned(), shape.to_vec())).collect()
    }

    #[test]
    fn a_wrapper_and_a_module_prefix_are_seen_through() {
        let matching = matched(&network(), &made("hrnet_legacy_wrapped.pth"));
        assert_eq!(matching.prefix, "state_dict.module.");
        assert!(matching.is_complete() && matching.extra.is_empty(), "{matching:?}");
        assert_eq!(matching.loaded.len(), network().len());
    }

    #[test]
    fn a_body_without_its_head_is_listed_as_loaded_missing_extra_and_of_another_shape() {
        let (network, file) = (network(), made("imagenet_stem.pth"));
        let matching = matched(&network, &file);
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
        let matching = matched(&Shapes::from([("fc.weight".to_owned(), vec![10, 8])]), &made("imagenet_stem.pth"));
        assert!(matching.loaded.is_empty() && matching.prefix.is_empty());
        assert_eq!(matching.missing, ["fc.weight"]);
    }

    /// The stem with the head of 17 joints.
    fn stem() -> Shapes {
        network()
            .into_iter()
            .filter(|(name, _)| {
                ["conv1", "bn1", "conv2", "final_layer"].contains(&name.split('.').next().unwrap_or(""))
            })
            .collect()
    }

    #[test]
    fn a_head_beside_the_body_is_found_and_the_average_of_mmengine_is_known() {
        let file = made("mmengine.pth");
        let matching = matched(&stem(), &file);
        assert!(matching.is_complete() && matching.extra.is_empty() && matching.head_extra.is_empty(), "{matching:?}");
        assert_eq!(
            (matching.prefix.as_str(), matching.head_prefix.as_deref()),
            ("state_dict.backbone.", Some("state_dict.head."))
        );
        assert!(matching.average, "MMEngine puts the average into state_dict");
        assert_eq!(matching.copies, ["ema_state_dict.module.backbone."]);
        let averaged = Matching::new(&stem(), &file, &WeightCopy::Average).unwrap();
        assert_eq!(averaged, matching);
        let plain = Matching::new(&stem(), &file, &WeightCopy::Under("ema_state_dict".into())).unwrap();
        assert!(plain.is_complete() && !plain.average, "{plain:?}");
        let (a, b) = (&averaged.read(&file).unwrap()["bn1.bias"], &plain.read(&file).unwrap()["bn1.bias"]);
        assert!(a.data.iter().zip(&b.data).all(|(a, b)| a + 1.0 == *b));
    }

    #[test]
    fn an_average_is_taken_where_it_is_asked_for_or_alone() {
        let (network, file) = (stem(), made("objects_2.pth"));
        let plain = matched(&network, &file);
        assert_eq!((plain.prefix.as_str(), plain.average), ("state_dict.", false));
        assert_eq!(plain.copies, ["state_dict_ema.module."]);
        let average = Matching::new(&network, &file, &WeightCopy::Average).unwrap();
        assert_eq!((average.prefix.as_str(), average.average), ("state_dict_ema.module.", true));
        let text = Matching::new(&network, &made("module.pth"), &WeightCopy::Average).unwrap_err().to_string();
        assert!(text.contains("no average of the weights") && text.contains("`model.module.`"), "{text}");
    }

    #[test]
    fn wrappers_within_names_are_seen_through() {
        let network = stem();
        let wrapped = |name: &String| match name.split_once('.') {
            Some((scope, rest)) => format!("net.{scope}._orig_mod.module.{rest}"),
            None => name.clone(),
        };
        let file: Shapes = network.iter().map(|(name, shape)| (wrapped(name), shape.clone())).collect();
        let path = std::env::temp_dir().join(format!("ditn-wrapped-{}.safetensors", std::process::id()));
        let bytes: BTreeMap<&String, Vec<u8>> =
            file.iter().map(|(name, shape)| (name, vec![0; 4 * shape.iter().product::<usize>()])).collect();
        let view = |(name, bytes)| {
            let shape: &Vec<usize> = &file[name];
            (name, safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.clone(), bytes).unwrap())
        };
        std::fs::write(
            &path,
            safetensors::serialize(bytes.iter().map(|(name, bytes)| view((*name, bytes))), None).unwrap(),
        )
        .unwrap();
        let file = WeightFile::open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let matching = matched(&network, &file);
        assert!(matching.is_complete() && matching.extra.is_empty(), "{matching:?}");
        assert!(matching.read(&file).is_ok());
    }

    #[test]
    fn a_tensor_that_a_call_would_make_is_refused_where_the_network_needs_it() {
        let text = Matching::new(&stem(), &made("scaled.pth"), &WeightCopy::Main).unwrap_err().to_string();
        assert!(text.contains("`state_dict.conv1.weight`") && text.contains("`__main__.scaled`"), "{text}");
    }
}
