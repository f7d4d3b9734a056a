//! What a pickle describes, as data: objects in one table, which refer to each other by their place in it. Sharing and
//! circles cost nothing, and the table never takes more memory than its limit.

use std::collections::HashMap;

/// Most bytes that the objects of a pickle may take here: some thirty times those of the largest network of this crate
/// with its optimizer and whatever training scripts add.
const LARGEST: usize = 48 << 20;

/// What stands in a slot of a container, on the stack or in the memo.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// Something that neither is nor holds a tensor, and that nothing asks for: None, a float, long bytes.
    Plain,
    /// A truth value.
    Bool(bool),
    /// A whole number of up to 64 bits.
    Int(i64),
    /// An object, by its place in the table.
    At(u32),
}

/// An object of the table.
#[derive(Debug)]
pub enum Object {
    /// A string, or bytes that may be one.
    Text(Box<str>),
    /// A class or function, by module and name.
    Global(Box<str>),
    /// All elements.
    Tuple(Vec<Value>),
    /// Those elements of a list or set that are objects, by position, and how many elements there are.
    List { items: Vec<(u32, Value)>, length: u32 },
    /// Keys and values, without values that are [`Value::Plain`].
    Dict(Vec<(Value, Value)>),
    /// A tensor's memory.
    Storage(Storage),
    /// A tensor.
    Tensor(Box<Tensor>),
    /// What an unknown call would have made.
    Made(Box<Made>),
}

/// The result of a call that is not made.
#[derive(Debug)]
pub struct Made {
    /// What would have been called.
    pub by: Box<str>,
    /// What was appended to it: those elements that are objects, by position.
    pub items: Vec<(u32, Value)>,
    /// How many were appended.
    pub length: u32,
    /// What was stored in it by key.
    pub entries: Vec<(Value, Value)>,
    /// What it was given as its state: a dictionary of its attributes, mostly.
    pub state: Value,
}

/// A tensor's memory in the file.
#[derive(Clone, Debug)]
pub struct Storage {
    /// Index into [`Objects::storages`].
    pub index: u32,
    /// Its type of element; `None` where only the tensor knows it.
    pub element: Option<Element>,
    /// Where in the memory it begins, in elements.
    pub offset: u64,
}

/// A view of a [`Storage`].
#[derive(Clone, Debug)]
pub struct Tensor {
    /// Index into [`Objects::storages`].
    pub storage: u32,
    /// The type of its elements.
    pub element: Element,
    /// Its first element in the storage.
    pub offset: u64,
    /// Extents.
    pub shape: Vec<usize>,
    /// Distance of neighbours along each axis, in elements.
    pub stride: Vec<usize>,
}

/// A type of element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Element {
    /// As safetensors calls it.
    pub name: &'static str,
    /// In bytes.
    pub size: usize,
}

impl Element {
    /// That of a storage's class (`FloatStorage`) or of a type of PyTorch (`torch.float32`).
    pub fn of(name: &str) -> Option<Self> {
        let name = name.rsplit('.').next().unwrap_or(name);
        let (name, size) = match name.strip_suffix("Storage").unwrap_or(name) {
            "Float" | "float32" | "float" => ("F32", 4),
            "Double" | "float64" | "double" => ("F64", 8),
            "Half" | "float16" | "half" => ("F16", 2),
            "BFloat16" | "bfloat16" => ("BF16", 2),
            "Long" | "int64" => ("I64", 8),
            "Int" | "int32" => ("I32", 4),
            "Short" | "int16" => ("I16", 2),
            "Char" | "int8" => ("I8", 1),
            "Byte" | "uint8" => ("U8", 1),
            "Bool" | "bool" => ("BOOL", 1),
            "uint16" => ("U16", 2),
            "uint32" => ("U32", 4),
            "uint64" => ("U64", 8),
            "ComplexFloat" | "complex64" => ("C64", 8),
            "ComplexDouble" | "complex128" => ("C128", 16),
            "float8_e4m3fn" | "float8_e5m2" | "float8_e4m3fnuz" | "float8_e5m2fnuz" => ("F8", 1),
            "QInt8" | "qint8" => ("QINT8", 1),
            "QUInt8" | "quint8" => ("QUINT8", 1),
            "QInt32" | "qint32" => ("QINT32", 4),
            _ => return None,
        };
        Some(Self { name, size })
    }
}

/// What a storage is called in the file, and what is known of it.
#[derive(Clone, Debug)]
pub struct StorageKey {
    /// Its name in the container.
    pub key: Box<str>,
    /// Bytes of an element, where the pickle tells.
    pub size: Option<usize>,
}

/// The table.
#[derive(Default)]
pub struct Objects {
    all: Vec<Object>,
    /// Every storage that a persistent id named.
    pub storages: Vec<StorageKey>,
    by_key: HashMap<Box<str>, u32>,
    spent: usize,
}

/// The table is full.
#[derive(Debug)]
pub struct TooMuch;

impl Objects {
    /// Counts `bytes` of memory.
    ///
    /// # Errors
    /// [`TooMuch`] where they are too many.
    pub fn charge(&mut self, bytes: usize) -> Result<(), TooMuch> {
        self.spent = self.spent.saturating_add(bytes);
        if self.spent > LARGEST { Err(TooMuch) } else { Ok(()) }
    }

    /// Appends an object.
    ///
    /// # Errors
    /// [`TooMuch`].
    pub fn add(&mut self, object: Object) -> Result<Value, TooMuch> {
        const SLOT: usize = size_of::<Value>();
        let contents = match &object {
            Object::Text(text) | Object::Global(text) => text.len(),
            Object::Tuple(values) => SLOT * values.len(),
            Object::List { items, .. } => size_of::<(u32, Value)>() * items.len(),
            Object::Dict(entries) => 2 * SLOT * entries.len(),
            Object::Storage(_) => 0,
            Object::Tensor(tensor) => size_of::<Tensor>() + 2 * size_of::<usize>() * tensor.shape.len(),
            Object::Made(made) => size_of::<Made>() + made.by.len(),
        };
        self.charge(size_of::<Object>() + contents)?;
        let place = u32::try_from(self.all.len()).map_err(|_| TooMuch)?;
        self.all.push(object);
        Ok(Value::At(place))
    }

    /// The object that a value refers to.
    pub fn get(&self, value: Value) -> Option<&Object> {
        let Value::At(place) = value else { return None };
        self.all.get(place as usize)
    }

    /// As [`get`](Self::get), to change it.
    pub fn get_mut(&mut self, value: Value) -> Option<&mut Object> {
        let Value::At(place) = value else { return None };
        self.all.get_mut(place as usize)
    }

    /// How many objects there are.
    pub fn count(&self) -> usize {
        self.all.len()
    }

    /// The string that a value is.
    pub fn text(&self, value: Value) -> Option<&str> {
        match self.get(value) {
            Some(Object::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// The class or function that a value names.
    pub fn global(&self, value: Value) -> Option<&str> {
        match self.get(value) {
            Some(Object::Global(name)) => Some(name),
            _ => None,
        }
    }

    /// The elements of a tuple.
    pub fn tuple(&self, value: Value) -> Option<&[Value]> {
        match self.get(value) {
            Some(Object::Tuple(values)) => Some(values),
            _ => None,
        }
    }

    /// The value of a dictionary's entry.
    pub fn entry(&self, dictionary: Value, key: &str) -> Option<Value> {
        let entries = match self.get(dictionary)? {
            Object::Dict(entries) => entries,
            Object::Made(made) => &made.entries,
            _ => return None,
        };
        entries.iter().rev().find(|&&(name, _)| self.text(name) == Some(key)).map(|&(_, value)| value)
    }

    /// What is known of the storage of a name.
    pub fn storage_named(&self, key: &str) -> Option<&StorageKey> {
        self.storages.get(*self.by_key.get(key)? as usize)
    }

    /// The storage of a name in the container: the one that was named before, or a new one.
    ///
    /// # Errors
    /// [`TooMuch`].
    pub fn storage(&mut self, key: &str, size: Option<usize>) -> Result<u32, TooMuch> {
        if let Some(&index) = self.by_key.get(key) {
            let known = &mut self.storages[index as usize];
            known.size = known.size.or(size);
            return Ok(index);
        }
        self.charge(2 * key.len() + size_of::<StorageKey>() + 64)?;
        let index = u32::try_from(self.storages.len()).map_err(|_| TooMuch)?;
        self.storages.push(StorageKey { key: key.into(), size });
        self.by_key.insert(key.into(), index);
        Ok(index)
    }
}
