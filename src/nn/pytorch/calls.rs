//! The few calls of a pickle whose results are known without making them: those that rebuild a tensor, and Python's
//! containers. Every other call leaves a [`Made`], which says what would have been called.

use std::collections::HashMap;

use super::objects::{Element, Made, Object, Objects, Storage, Tensor, TooMuch, Value};

/// Most axes of a tensor, as in PyTorch.
const MOST_AXES: usize = 64;

/// What a pickle that only describes weights has no reason to call.
const SUSPICIOUS_MODULES: [&str; 27] = [
    "os",
    "posix",
    "nt",
    "subprocess",
    "_posixsubprocess",
    "commands",
    "pty",
    "sys",
    "runpy",
    "importlib",
    "shutil",
    "socket",
    "ctypes",
    "webbrowser",
    "urllib",
    "http",
    "httplib",
    "requests",
    "code",
    "codeop",
    "pdb",
    "bdb",
    "timeit",
    "marshal",
    "pip",
    "pydoc",
    "asyncio",
];

/// What of `builtins` pickles call to describe something.
const HARMLESS_BUILTINS: [&str; 29] = [
    "getattr",
    "set",
    "frozenset",
    "dict",
    "list",
    "tuple",
    "object",
    "int",
    "long",
    "float",
    "complex",
    "bool",
    "str",
    "unicode",
    "bytes",
    "bytearray",
    "slice",
    "range",
    "xrange",
    "type",
    "iter",
    "reversed",
    "enumerate",
    "zip",
    "map",
    "filter",
    "property",
    "Ellipsis",
    "NotImplemented",
];

/// What persistent ids mean: names of storages, except in the oldest container, where they number tensors of a table.
#[derive(Default)]
pub struct Tables {
    /// The oldest container's tensors by their ids.
    pub tensors: Option<HashMap<String, Tensor>>,
}

/// Whether a call looks like an attack. Nothing depends on this for safety: no call is ever made. It serves to tell
/// someone what they have been given.
fn is_suspicious(name: &str) -> bool {
    let (module, rest) = name.split_once('.').unwrap_or((name, ""));
    match module {
        // Errors are classes, and their names begin with a capital.
        "builtins" => !HARMLESS_BUILTINS.contains(&rest) && !rest.starts_with(|first: char| first.is_ascii_uppercase()),
        _ => SUSPICIOUS_MODULES.contains(&module),
    }
}

/// What of a call looks like an attack: what it calls, or what it hands on to be called.
pub fn suspicious(objects: &Objects, callee: Value, arguments: Value) -> Option<String> {
    let globals = std::iter::once(&callee).chain(objects.tuple(arguments).unwrap_or_default());
    let found = globals.filter_map(|&value| objects.global(value)).find(|name| is_suspicious(name));
    found.map(str::to_owned)
}

/// What `callee(*arguments)` would give, or `callee.__new__(callee, *arguments)` where `new`.
///
/// # Errors
/// [`TooMuch`].
pub fn call(objects: &mut Objects, callee: Value, arguments: Value, new: bool) -> Result<Value, TooMuch> {
    let arguments: Vec<Value> = objects.tuple(arguments).unwrap_or_default().to_vec();
    let (name, is_known): (Box<str>, bool) = match objects.get(callee) {
        Some(Object::Global(name)) => (name.clone(), true),
        // What a made function makes is as unknown as the function.
        Some(Object::Made(made)) => (made.by.clone(), false),
        _ => ("?".into(), false),
    };
    let result = if is_known { known_call(objects, &name, &arguments, new)? } else { None };
    match result {
        Some(value) => Ok(value),
        None => unknown(objects, name),
    }
}

/// Leaves the result of an unknown call.
fn unknown(objects: &mut Objects, by: Box<str>) -> Result<Value, TooMuch> {
    let (items, entries) = (Vec::new(), Vec::new());
    objects.add(Object::Made(Box::new(Made { by, items, length: 0, entries, state: Value::Plain })))
}

/// The result of a known call; `None` for others, and where the arguments are not what they should be.
fn known_call(objects: &mut Objects, name: &str, arguments: &[Value], new: bool) -> Result<Option<Value>, TooMuch> {
    let first = arguments.first().copied().unwrap_or(Value::Plain);
    Ok(Some(match name {
        "torch._utils._rebuild_tensor" | "torch._utils._rebuild_tensor_v2" | "torch._utils._rebuild_tensor_v3" => {
            let Some(tensor) = rebuilt(objects, name.ends_with("v3"), arguments) else { return Ok(None) };
            objects.add(Object::Tensor(Box::new(tensor)))?
        }
        "torch._utils._rebuild_parameter"
        | "torch._utils._rebuild_parameter_with_state"
        | "torch.nn.parameter.Parameter"
        | "torch.nn.parameter.Buffer"
        | "torch.autograd.variable.Variable" => match objects.get(first) {
            Some(Object::Tensor(_)) => first,
            _ => return Ok(None),
        },
        // A subclass of Tensor: the call that rebuilds it, the class, the call's arguments, attributes.
        "torch._tensor._rebuild_from_type_v2"
        | "torch._tensor._rebuild_from_type"
        | "torch.tensor._rebuild_from_type" => {
            let inner = objects.global(first).map(str::to_owned).unwrap_or_default();
            let values = arguments.get(2).and_then(|&value| objects.tuple(value)).unwrap_or_default().to_vec();
            if !inner.starts_with("torch._utils._rebuild_") {
                return Ok(None);
            }
            return known_call(objects, &inner, &values, false);
        }
        "torch.Size" if objects.tuple(first).is_some() => first,
        "collections.OrderedDict" | "collections.defaultdict" | "collections.Counter" | "builtins.dict" => {
            let mut entries = Vec::new();
            for &argument in arguments {
                entries.extend(pairs(objects, argument));
            }
            objects.add(Object::Dict(entries))?
        }
        "builtins.set" | "builtins.frozenset" | "builtins.list" | "builtins.tuple" | "collections.deque" => {
            let (items, length) = elements(objects, first);
            objects.add(Object::List { items, length })?
        }
        // Class, base and the base's contents: objects of the pickle protocols before 2.
        "copyreg._reconstructor" if arguments.len() == 3 => {
            let by = objects.global(first).unwrap_or("?").into();
            let (entries, (items, length)) = (pairs(objects, arguments[2]), elements(objects, arguments[2]));
            let made = Made { by, items, length, entries, state: Value::Plain };
            objects.add(Object::Made(Box::new(made)))?
        }
        "copyreg.__newobj__" if !new => {
            let by = objects.global(first).unwrap_or("?").to_owned();
            let rest = &arguments[1.min(arguments.len())..];
            // Parameters of the first versions of PyTorch; no class named here comes back to this call.
            let known = if by.starts_with("torch.") { known_call(objects, &by, rest, true)? } else { None };
            match known {
                Some(value) => value,
                None => unknown(objects, by.into())?,
            }
        }
        // Bytes, as protocols before 3 write them.
        "_codecs.encode" => Value::Plain,
        _ => return Ok(None),
    }))
}

/// The entries of a dictionary or of a list of pairs.
fn pairs(objects: &Objects, value: Value) -> Vec<(Value, Value)> {
    let pair = |value: Value| match objects.get(value)? {
        Object::Tuple(pair) => <[Value; 2]>::try_from(&pair[..]).ok().map(|[key, value]| (key, value)),
        Object::List { items, length: 2 } => match items[..] {
            [(0, key), (1, value)] => Some((key, value)),
            _ => None,
        },
        _ => None,
    };
    match objects.get(value) {
        Some(Object::Dict(entries)) => entries.clone(),
        Some(Object::List { items, .. }) => items.iter().filter_map(|&(_, item)| pair(item)).collect(),
        Some(Object::Tuple(items)) => items.iter().filter_map(|&item| pair(item)).collect(),
        _ => Vec::new(),
    }
}

/// The elements of a list or tuple that are objects, and the number of all.
fn elements(objects: &Objects, value: Value) -> (Vec<(u32, Value)>, u32) {
    match objects.get(value) {
        Some(Object::List { items, length }) => (items.clone(), *length),
        Some(Object::Tuple(values)) => {
            let objects = (0..).zip(values.iter().copied()).filter(|(_, value)| matches!(value, Value::At(_)));
            (objects.collect(), u32::try_from(values.len()).unwrap_or(u32::MAX))
        }
        _ => (Vec::new(), 0),
    }
}

/// `_rebuild_tensor(storage, offset, size, stride)`; the second version appends whether it requires gradients and hooks,
/// the third also the type.
fn rebuilt(objects: &Objects, third: bool, arguments: &[Value]) -> Option<Tensor> {
    let &[storage, offset, size, stride, ref rest @ ..] = arguments else { return None };
    let Object::Storage(storage) = objects.get(storage)? else { return None };
    let element = if third { Element::of(objects.global(*rest.get(2)?)?)? } else { storage.element? };
    let whole = |value: Value| match value {
        Value::Int(number) => usize::try_from(number).ok(),
        _ => None,
    };
    let extents = |value: Value| -> Option<Vec<usize>> {
        objects.tuple(value)?.iter().map(|&value| whole(value)).collect::<Option<_>>()
    };
    let (shape, stride) = (extents(size)?, extents(stride)?);
    if shape.len() != stride.len() || shape.len() > MOST_AXES {
        return None;
    }
    let offset = (whole(offset)? as u64).checked_add(storage.offset)?;
    Some(Tensor { storage: storage.index, element, offset, shape, stride })
}

/// What a persistent id stands for.
///
/// # Errors
/// [`TooMuch`].
pub fn persistent(objects: &mut Objects, tables: &Tables, id: Value) -> Result<Value, TooMuch> {
    let key = |objects: &Objects, value: Value| match value {
        Value::Int(number) => Some(number.to_string()),
        _ => objects.text(value).map(str::to_owned),
    };
    if let Some(tensors) = &tables.tensors
        && let Some(tensor) = key(objects, id).and_then(|key| tensors.get(&key))
    {
        return objects.add(Object::Tensor(Box::new(tensor.clone())));
    }
    let fields: Vec<Value> = objects.tuple(id).unwrap_or_default().to_vec();
    let tag = fields.first().and_then(|&tag| objects.text(tag)).unwrap_or_default();
    match (tag, &fields[..]) {
        // A class beside its source: whole modules saved before PyTorch 1.6.
        ("module", &[_, class, ..]) => return Ok(class),
        ("storage", &[_, class, name, _, _, ref view @ ..]) => {
            let element = objects.global(class).and_then(Element::of);
            let untyped = objects.global(class).is_some_and(|class| class.ends_with("UntypedStorage"));
            // Files of the first versions describe views of a storage: name, offset, size.
            let offset = match view.first().and_then(|&view| objects.tuple(view)) {
                Some(&[_, Value::Int(offset), _]) => u64::try_from(offset).ok(),
                _ => Some(0),
            };
            let size = if untyped { Some(1) } else { element.map(|element| element.size) };
            if let (Some(name), Some(size), Some(offset)) = (key(objects, name), size, offset) {
                let index = objects.storage(&name, Some(size))?;
                return objects.add(Object::Storage(Storage { index, element, offset }));
            }
        }
        _ => {}
    }
    unknown(objects, "a persistent id".into())
}
