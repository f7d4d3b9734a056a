//! Names in files of weights: wrappers are taken off, and prefixes found under which a network stands.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};

use super::weight_file::WeightFile;

/// Names and shapes of tensors.
pub type Shapes = BTreeMap<String, Vec<usize>>;

/// The prefix of an optimizer's tensors in a checkpoint.
pub const OPTIMIZER: &str = "optimizer.";

/// Parts of names that wrappers of modules add, wherever a module is wrapped: DataParallel, torch.compile, FSDP,
/// checkpointed activations.
const WRAPPERS: [&str; 4] = ["module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"];

/// Words by which averages of the weights over the training are named.
const AVERAGES: [&str; 6] = ["ema", "swa", "averaged", "average", "modelema", "emamodel"];

/// A tensor of the file: its name without what wrappers add to it, its name, its shape.
pub struct Entry<'a> {
    /// Without wrappers.
    pub name: Cow<'a, str>,
    /// As the file has it.
    pub original: &'a str,
    /// Its extents.
    pub shape: &'a [usize],
}

impl Entry<'_> {
    /// What stands in the file before the last `length` bytes of the name.
    fn prefix(&self, length: usize) -> String {
        let end = &self.name[self.name.len() - length..];
        self.original.strip_suffix(end).unwrap_or(&self.name[..self.name.len() - length]).to_owned()
    }
}

/// Whether a prefix calls what follows an average over the training.
pub fn says_average(prefix: &str) -> bool {
    let lower = prefix.to_lowercase();
    lower.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| AVERAGES.contains(&word))
}

/// The tensors of a file by their names without wrappers, where that leaves them different.
pub fn entries(file: &WeightFile) -> Vec<Entry<'_>> {
    let mut taken = HashSet::new();
    let mut entries = Vec::new();
    for (original, shape) in file.shapes() {
        let mut name = Cow::Borrowed(original);
        if original.split('.').any(|part| WRAPPERS.contains(&part)) {
            let parts: Vec<&str> = original.split('.').filter(|part| !WRAPPERS.contains(part)).collect();
            name = Cow::Owned(parts.join("."));
        }
        if !taken.insert(name.to_string()) {
            name = Cow::Borrowed(original);
        }
        entries.push(Entry { name, original, shape });
    }
    entries
}

/// The prefixes under which the file has copies of the network, the best first: averages come last, then the number of
/// the network's names counts. A copy has at least half as many as the one that has most.
pub fn copies<'a>(network: &Shapes, entries: &'a [Entry]) -> Vec<&'a str> {
    let longest = network.keys().map(String::len).max().unwrap_or(0);
    let mut found: HashMap<&str, usize> = HashMap::new();
    for Entry { name, .. } in entries {
        // A hostile name may have a million dots: only the last of them can precede a name of the network.
        let starts = name.rmatch_indices('.').map(|(dot, _)| dot + 1).take_while(|start| name.len() - start <= longest);
        for start in starts.chain([0]).filter(|&start| network.contains_key(&name[start..])) {
            *found.entry(&name[..start]).or_default() += 1;
        }
    }
    let most = found.values().copied().max().unwrap_or(0);
    let mut copies: Vec<(&str, usize)> = found.into_iter().filter(|(_, hits)| hits * 2 >= most).collect();
    copies.sort_by(|(a, hits_a), (b, hits_b)| {
        let averages = says_average(a).cmp(&says_average(b));
        averages.then(hits_b.cmp(hits_a)).then(a.len().cmp(&b.len())).then(a.cmp(b))
    });
    copies.into_iter().map(|(prefix, _)| prefix).collect()
}

/// Whether a copy is an average. MMEngine keeps the average in `state_dict` and what it averages in `ema_state_dict`.
pub fn is_average(file: &WeightFile, copies: &[&str], prefix: &str) -> bool {
    let swapped = file.is_mmengine() && copies.iter().any(|copy| copy.starts_with("ema_state_dict."));
    if swapped { prefix.starts_with("state_dict.") } else { says_average(prefix) }
}

/// A prefix as the file has it.
pub fn original_prefix(entries: &[Entry], prefix: &str) -> String {
    let entry = entries.iter().find(|entry| entry.name.starts_with(prefix));
    entry.map_or_else(String::new, |entry| entry.prefix(entry.name.len() - prefix.len()))
}

/// The prefix beside `prefix` under which the file has most of what it lacks there: bodies and heads are modules of
/// their own in MMPose. A copy of what it has already is no head.
pub fn beside<'a>(
    network: &Shapes,
    entries: &'a [Entry],
    prefix: &str,
    seen: &BTreeMap<String, &Entry>,
) -> Option<&'a str> {
    let around = prefix.trim_end_matches('.').rfind('.').map_or(0, |dot| dot + 1);
    let around = &prefix[..around];
    let scopes: HashSet<&str> = network.keys().filter_map(|name| name.split('.').next()).collect();
    let longest = network.keys().map(String::len).max().unwrap_or(0);
    let (mut found, mut copies): (HashMap<&str, usize>, HashSet<&str>) = Default::default();
    for Entry { name, .. } in entries {
        let Some(inside) = name.strip_prefix(around) else { continue };
        if !prefix.is_empty() && name.starts_with(prefix) || inside.starts_with(OPTIMIZER) {
            continue;
        }
        let starts = name.rmatch_indices('.').map(|(dot, _)| dot + 1).take_while(|start| name.len() - start <= longest);
        let starts = starts.chain([0]).filter(|&start| start >= around.len() && network.contains_key(&name[start..]));
        for start in starts {
            let (candidate, rest) = name.split_at(start);
            if candidate == prefix || candidate[around.len()..].split('.').any(|part| scopes.contains(part)) {
                continue;
            }
            if seen.contains_key(rest) {
                copies.insert(candidate);
            } else {
                *found.entry(candidate).or_default() += 1;
            }
        }
    }
    let found = found.into_iter().filter(|(candidate, _)| !copies.contains(candidate));
    let best = found.max_by(|(a, hits_a), (b, hits_b)| hits_a.cmp(hits_b).then(b.len().cmp(&a.len())).then(b.cmp(a)));
    best.map(|(candidate, _)| candidate)
}
