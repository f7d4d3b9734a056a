//! The names of a pickle's tensors: the keys, positions and attributes on the way to each.

use std::collections::VecDeque;

use super::objects::{Made, Object, Objects, Value};

/// How often one container is gone into, under as many names. Modules are shared, and attributes refer back.
const MOST_VISITS: u8 = 8;
/// Longer keys are no names.
const LONGEST_KEY: usize = 512;
/// Most bytes of all names together.
const MOST_BYTES: usize = 16 << 20;
/// Most keys in a name.
const DEEPEST: u16 = 64;

/// What a walk finds.
#[derive(Default)]
pub struct Names<'a> {
    /// Each tensor under each of its names.
    pub tensors: Vec<(String, &'a super::objects::Tensor)>,
    /// Where something stands that an unknown call would have made, and the call.
    pub made: Vec<(String, &'a Made)>,
    /// Whether names had to be left out.
    pub cut: bool,
}

/// A container that is to be gone into, or a leaf.
struct Step {
    value: Value,
    /// Index into the paths.
    path: u32,
    depth: u16,
}

/// Names grow from the root; each part knows what stands before it.
struct Paths(Vec<(u32, String)>);

impl Paths {
    fn name(&self, mut path: u32) -> String {
        let mut parts = Vec::new();
        while path != 0 {
            let (before, part) = &self.0[path as usize];
            parts.push(part.as_str());
            path = *before;
        }
        parts.reverse();
        parts.join(".")
    }
}

/// Finds the names of the tensors below `root`, the shortest first.
pub fn names(objects: &Objects, root: Value) -> Names<'_> {
    let mut found = Names::default();
    let mut visits = vec![0_u8; objects.count()];
    let mut paths = Paths(vec![(0, String::new())]);
    let mut steps = VecDeque::from([Step { value: root, path: 0, depth: 0 }]);
    let mut bytes = 0_usize;
    while let Some(Step { value, path, depth }) = steps.pop_front() {
        let (Value::At(place), Some(object)) = (value, objects.get(value)) else { continue };
        let is_tensor = matches!(object, Object::Tensor(_));
        if matches!(object, Object::Text(_) | Object::Global(_) | Object::Storage(_)) {
            continue;
        }
        let visits = &mut visits[place as usize];
        if !is_tensor && *visits == MOST_VISITS {
            continue;
        }
        *visits = visits.saturating_add(1);
        if is_tensor || matches!(object, Object::Made(_)) {
            let name = paths.name(path);
            bytes += name.len() + 64;
            if bytes > MOST_BYTES {
                found.cut = true;
                break;
            }
            match object {
                Object::Tensor(tensor) => found.tensors.push((name, tensor)),
                Object::Made(made) => found.made.push((name, made)),
                _ => {}
            }
        }
        for (part, value) in children(objects, object) {
            // Only objects lead to tensors, and of a million strings or numbers none does.
            if !matches!(
                objects.get(value),
                Some(Object::Tuple(_) | Object::List { .. } | Object::Dict(_) | Object::Made(_) | Object::Tensor(_))
            ) {
                continue;
            }
            let path = match part {
                None => path,
                Some(part) => {
                    bytes += part.len() + 32;
                    paths.0.push((path, part));
                    u32::try_from(paths.0.len() - 1).unwrap_or(0)
                }
            };
            if depth < DEEPEST {
                steps.push_back(Step { value, path, depth: depth + 1 });
            }
        }
        if bytes > MOST_BYTES {
            found.cut = true;
            break;
        }
    }
    found
}

/// What lies in an object, each with its part of the name; without one where it adds nothing to it.
fn children(objects: &Objects, object: &Object) -> Vec<(Option<String>, Value)> {
    match object {
        Object::Tuple(values) => values.iter().enumerate().map(|(i, &value)| (Some(i.to_string()), value)).collect(),
        Object::List { items, .. } => items.iter().map(|&(i, value)| (Some(i.to_string()), value)).collect(),
        Object::Dict(entries) => keyed(objects, entries),
        Object::Made(made) => inside(objects, made),
        _ => Vec::new(),
    }
}

/// Entries whose keys can be part of a name. Of several of one key the last counts.
fn keyed(objects: &Objects, entries: &[(Value, Value)]) -> Vec<(Option<String>, Value)> {
    let part = |&(key, value): &(Value, Value)| match key {
        Value::Int(number) => Some((Some(number.to_string()), value)),
        _ => objects.text(key).filter(|key| key.len() <= LONGEST_KEY).map(|key| (Some(key.to_owned()), value)),
    };
    entries.iter().filter_map(part).collect()
}

/// What lies in an object of an unknown class. A module of PyTorch gives what its `state_dict()` would: parameters,
/// persistent buffers and modules by their names. Of others, contents and attributes.
fn inside(objects: &Objects, made: &Made) -> Vec<(Option<String>, Value)> {
    let table = |name| objects.entry(made.state, name);
    if let (Some(parameters), Some(buffers), Some(modules)) =
        (table("_parameters"), table("_buffers"), table("_modules"))
    {
        let temporary = table("_non_persistent_buffers_set");
        let temporary: Vec<&str> = match temporary.and_then(|names| objects.get(names)) {
            Some(Object::List { items, .. }) => items.iter().filter_map(|&(_, name)| objects.text(name)).collect(),
            _ => Vec::new(),
        };
        let contents = |table| match objects.get(table) {
            Some(Object::Dict(entries)) => keyed(objects, entries),
            Some(Object::Made(made)) => keyed(objects, &made.entries),
            _ => Vec::new(),
        };
        let kept = |(name, _): &(Option<String>, Value)| name.as_deref().is_none_or(|name| !temporary.contains(&name));
        let buffers = contents(buffers).into_iter().filter(kept);
        return contents(parameters).into_iter().chain(buffers).chain(contents(modules)).collect();
    }
    let mut inside = keyed(objects, &made.entries);
    inside.extend(made.items.iter().map(|&(i, value)| (Some(i.to_string()), value)));
    match objects.get(made.state) {
        Some(Object::Dict(_)) => inside.push((None, made.state)),
        // Attributes and slots.
        Some(Object::Tuple(halves)) => inside.extend(halves.iter().map(|&half| (None, half))),
        _ => {}
    }
    inside
}

#[cfg(test)]
mod tests {
    use super::super::calls::Tables;
    use super::super::machine::Machine;
    use super::*;

    /// A tensor of four elements, as PyTorch's first versions write it.
    const TENSOR: &str = "ctorch._utils\n_rebuild_tensor\n((S'storage'\nctorch\nFloatStorage\nS'0'\nS'cpu'\nI4\ntQI0\n(I4\n\
                          t(I1\nttR";

    /// The names of the tensors, and those of calls with the calls.
    fn found(pickle: &[u8]) -> Result<(Vec<String>, Vec<String>), String> {
        let (mut objects, tables) = (Objects::default(), Tables::default());
        let mut input = pickle;
        let (root, _) =
            Machine::new(&mut objects, &tables).run_noting(&mut input).map_err(|error| error.to_string())?;
        let found = names(&objects, root);
        let tensors = found.tensors.into_iter().map(|(name, _)| name).collect();
        Ok((tensors, found.made.into_iter().map(|(name, made)| format!("{name}={}", made.by)).collect()))
    }

    fn tensors(pickle: &str) -> Vec<String> {
        found(pickle.as_bytes()).unwrap_or_else(|error| panic!("{error}: {pickle}")).0
    }

    #[test]
    fn keys_positions_and_attributes_make_names() {
        assert_eq!(tensors(&format!("(dS'w'\n{TENSOR}sI3\n(lp0\nI1\na{TENSOR}as.")), ["w", "3.1"]);
        // An instance with attributes, one with slots, one of a dictionary's class with attributes of its own.
        assert_eq!(tensors(&format!("(i__main__\nThing\n(dS'w'\n{TENSOR}sb.")), ["w"]);
        assert_eq!(tensors(&format!("c__main__\nThing\n)R(N(dS'w'\n{TENSOR}stb.")), ["w"]);
        assert_eq!(tensors(&format!("c__main__\nThing\n)RS'a'\n{TENSOR}s(dS'b'\n{TENSOR}sb.")), ["a", "b"]);
        // Python 2 writes ordered dictionaries as lists of pairs.
        assert_eq!(tensors(&format!("ccollections\nOrderedDict\n((l(lS'w'\na{TENSOR}aatR.")), ["w"]);
    }

    #[test]
    fn arguments_of_unknown_calls_hide_what_is_in_them() {
        let (tensors, made) = found(format!("(dS'w'\ncm\nf\n({TENSOR}tRs.").as_bytes()).unwrap();
        assert_eq!((tensors, made), (Vec::<String>::new(), vec!["w=m.f".to_owned()]));
    }

    #[test]
    fn sharing_and_circles_end() {
        // Every list holds the one before it twice: 2^60 ways lead to the tensor.
        let lists: String = (1..60).map(|i| format!("(lg{}\nag{0}\nap{i}\n0", i - 1)).collect();
        let found = tensors(&format!("(l{TENSOR}ap0\n0{lists}g59\n."));
        assert!((1..=16).contains(&found.len()), "{}", found.len());
        assert_eq!(tensors(&format!("(lp0\ng0\na{TENSOR}a."))[0], "1");
    }

    #[test]
    fn broken_pickles_are_refused() {
        for (pickle, reason) in [
            (".", "an empty stack"),
            ("(0.", "an empty stack"),
            ("I1\n~.", "no operation"),
            ("t.", "a mark is missing"),
            ("g7\n.", "never stored"),
            ("(u.", "an empty stack"),
            ("(dS'key'\n", "ends too early"),
            ("(d(S'key'\nu.", "a key without a value"),
            ("o.", "a mark is missing"),
            ("(o.", "an object without a class"),
        ] {
            let error = found(pickle.as_bytes()).unwrap_err();
            assert!(error.contains(reason), "{pickle:?}: {error}");
        }
    }
}
