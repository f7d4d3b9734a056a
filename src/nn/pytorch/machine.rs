//! Python's unpickler without Python: a stack machine that builds [`Objects`] and calls nothing.

use std::collections::HashMap;
use std::io::{BufRead, Read};

use super::calls::{self, Tables};
use super::error::PickleError;
use super::objects::{Made, Object, Objects, Value};

/// Longer strings are stepped over: no name, key or class has as many bytes.
const LONGEST_TEXT: u64 = 4096;
/// Most values on the stack: pickles append to a container every thousand elements.
const HIGHEST_STACK: usize = 1 << 19;

type Result<T, E = PickleError> = std::result::Result<T, E>;

/// One run over one pickle.
pub struct Machine<'a> {
    objects: &'a mut Objects,
    /// What persistent ids mean where they are not the names of storages.
    tables: &'a Tables,
    /// The first call that no file of weights has a reason for.
    suspicious: Option<String>,
    stack: Vec<Value>,
    marks: Vec<usize>,
    memo: HashMap<u32, Value>,
}

impl<'a> Machine<'a> {
    /// A machine that adds to `objects`.
    pub fn new(objects: &'a mut Objects, tables: &'a Tables) -> Self {
        let (stack, marks, memo) = (Vec::new(), Vec::new(), HashMap::new());
        Self { objects, tables, suspicious: None, stack, marks, memo }
    }

    /// Reads one pickle and leaves `input` behind it. Returns what it describes.
    ///
    /// # Errors
    /// [`PickleError`].
    pub fn run(&mut self, input: &mut impl BufRead) -> Result<Value> {
        loop {
            let [operation] = bytes(input)?;
            if operation == b'.' {
                return self.pop();
            }
            self.step(operation, input)?;
        }
    }

    /// As [`run`](Self::run), with the first call that no file of weights has a reason for.
    ///
    /// # Errors
    /// [`PickleError`].
    pub fn run_noting(mut self, input: &mut impl BufRead) -> Result<(Value, Option<String>)> {
        let value = self.run(input)?;
        Ok((value, self.suspicious))
    }

    fn step(&mut self, operation: u8, input: &mut impl BufRead) -> Result<()> {
        match operation {
            // Frames and protocol.
            0x80 => drop(bytes::<1>(input)?),
            0x95 => drop(bytes::<8>(input)?),
            // Scalars.
            b'N' | 0x97 => self.push(Value::Plain)?,
            b'F' => {
                line(input)?;
                self.push(Value::Plain)?;
            }
            b'G' => {
                bytes::<8>(input)?;
                self.push(Value::Plain)?;
            }
            0x88 => self.push(Value::Bool(true))?,
            0x89 => self.push(Value::Bool(false))?,
            b'J' => self.push(Value::Int(i32::from_le_bytes(bytes(input)?).into()))?,
            b'K' => self.push(Value::Int(u8::from_le_bytes(bytes(input)?).into()))?,
            b'M' => self.push(Value::Int(u16::from_le_bytes(bytes(input)?).into()))?,
            b'I' | b'L' => {
                let value = match (operation, line(input)?.trim().trim_end_matches('L')) {
                    (b'I', "00") => Value::Bool(false),
                    (b'I', "01") => Value::Bool(true),
                    (_, digits) => digits.parse().map_or(Value::Plain, Value::Int),
                };
                self.push(value)?;
            }
            0x8a | 0x8b => {
                let length = self.length(operation == 0x8a, input)?;
                let value = whole_number(input, length)?;
                self.push(value)?;
            }
            // Strings and bytes.
            b'T' | b'X' | b'B' => self.text(u32::from_le_bytes(bytes(input)?).into(), input)?,
            b'U' | b'C' | 0x8c => self.text(u8::from_le_bytes(bytes(input)?).into(), input)?,
            0x8d | 0x8e | 0x96 => self.text(u64::from_le_bytes(bytes(input)?), input)?,
            b'S' | b'V' => {
                let line = line(input)?;
                let quoted = if operation == b'S' { line.trim_matches(['\'', '"']) } else { &line };
                self.push_text(quoted)?;
            }
            0x98 => {}
            // The stack and the memo.
            b'(' => {
                self.objects.charge(size_of::<usize>())?;
                self.marks.push(self.stack.len());
            }
            b'0' => {
                // As Python's unpickler: a mark is taken off where nothing stands above it.
                if self.marks.last() == Some(&self.stack.len()) {
                    self.marks.pop();
                } else {
                    self.pop()?;
                }
            }
            b'1' => drop(self.pop_to_mark()?),
            b'2' => {
                let top = self.top()?;
                self.push(top)?;
            }
            b'g' => {
                let index = index(input)?;
                self.recall(index)?;
            }
            b'h' => {
                let [index] = bytes(input)?;
                self.recall(index.into())?;
            }
            b'j' => {
                let index = u32::from_le_bytes(bytes(input)?);
                self.recall(index)?;
            }
            b'p' => {
                let index = index(input)?;
                self.remember(index)?;
            }
            b'q' => {
                let [index] = bytes(input)?;
                self.remember(index.into())?;
            }
            b'r' => {
                let index = u32::from_le_bytes(bytes(input)?);
                self.remember(index)?;
            }
            0x94 => {
                let index = u32::try_from(self.memo.len()).map_err(|_| PickleError::TooMuch)?;
                self.remember(index)?;
            }
            // Containers.
            b')' => self.push_object(Object::Tuple(Vec::new()))?,
            0x85..=0x87 => {
                let values = self.pop_many(usize::from(operation - 0x84))?;
                self.push_object(Object::Tuple(values))?;
            }
            b't' => {
                let values = self.pop_to_mark()?;
                self.push_object(Object::Tuple(values))?;
            }
            b']' | 0x8f => self.push_object(Object::List { items: Vec::new(), length: 0 })?,
            b'l' | 0x91 => {
                let values = self.pop_to_mark()?;
                self.push_object(Object::List { items: Vec::new(), length: 0 })?;
                self.append(values)?;
            }
            b'}' => self.push_object(Object::Dict(Vec::new()))?,
            b'd' => {
                let values = self.pop_to_mark()?;
                self.push_object(Object::Dict(Vec::new()))?;
                self.set_items(values)?;
            }
            b'a' => {
                let values = self.pop_many(1)?;
                self.append(values)?;
            }
            b'e' | 0x90 => {
                let values = self.pop_to_mark()?;
                self.append(values)?;
            }
            b's' => {
                let values = self.pop_many(2)?;
                self.set_items(values)?;
            }
            b'u' => {
                let values = self.pop_to_mark()?;
                self.set_items(values)?;
            }
            // Names of classes and functions.
            b'c' => {
                let name = global(&line(input)?, &line(input)?);
                self.push_object(Object::Global(name))?;
            }
            0x93 => {
                let values = self.pop_many(2)?;
                let [module, name] = [values[0], values[1]].map(|value| self.objects.text(value).unwrap_or("?"));
                let name = global(module, name);
                self.push_object(Object::Global(name))?;
            }
            0x82..=0x84 => {
                match operation {
                    0x82 => drop(bytes::<1>(input)?),
                    0x83 => drop(bytes::<2>(input)?),
                    _ => drop(bytes::<4>(input)?),
                }
                self.push_object(Object::Global("copyreg.extension".into()))?;
            }
            // Calls, none of which is made.
            b'R' | 0x81 => {
                let values = self.pop_many(2)?;
                let made = self.call(values[0], values[1], operation == 0x81)?;
                self.push(made)?;
            }
            0x92 => {
                let values = self.pop_many(3)?;
                let made = self.call(values[0], values[1], true)?;
                self.push(made)?;
            }
            b'i' | b'o' => {
                let class = match operation {
                    b'i' => Some(self.objects.add(Object::Global(global(&line(input)?, &line(input)?)))?),
                    _ => None,
                };
                let mut values = self.pop_to_mark()?;
                let class = match class {
                    Some(class) => class,
                    None if values.is_empty() => return Err(PickleError::Broken("an object without a class")),
                    None => values.remove(0),
                };
                let arguments = self.objects.add(Object::Tuple(values))?;
                let made = self.call(class, arguments, false)?;
                self.push(made)?;
            }
            b'b' => {
                let state = self.pop()?;
                let top = self.top()?;
                if let Some(Object::Made(made)) = self.objects.get_mut(top) {
                    made.state = state;
                }
            }
            b'P' => {
                let id = line(input)?;
                self.push_text(&id)?;
                let id = self.pop()?;
                let value = calls::persistent(self.objects, self.tables, id)?;
                self.push(value)?;
            }
            b'Q' => {
                let id = self.pop()?;
                let value = calls::persistent(self.objects, self.tables, id)?;
                self.push(value)?;
            }
            other => return Err(PickleError::Unknown(other)),
        }
        Ok(())
    }

    fn push(&mut self, value: Value) -> Result<()> {
        if self.stack.len() >= HIGHEST_STACK {
            return Err(PickleError::TooMuch);
        }
        self.stack.push(value);
        Ok(())
    }

    fn push_object(&mut self, object: Object) -> Result<()> {
        let value = self.objects.add(object)?;
        self.push(value)
    }

    fn push_text(&mut self, text: &str) -> Result<()> {
        self.push_object(Object::Text(text.into()))
    }

    /// Below a mark nothing is taken: what is there belongs to someone else.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn pop(&mut self) -> Result<Value> {
        Ok(self.pop_many(1)?[0])
    }

    fn pop_many(&mut self, count: usize) -> Result<Vec<Value>> {
        let start = self.stack.len().checked_sub(count).filter(|&start| start >= self.floor());
        Ok(self.stack.split_off(start.ok_or(PickleError::Broken("it takes from an empty stack"))?))
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Value>> {
        let start = self.marks.pop().ok_or(PickleError::Broken("a mark is missing"))?;
        Ok(self.stack.split_off(start.min(self.stack.len())))
    }

    fn top(&self) -> Result<Value> {
        let top = if self.stack.len() > self.floor() { self.stack.last() } else { None };
        top.copied().ok_or(PickleError::Broken("it looks at an empty stack"))
    }

    fn call(&mut self, callee: Value, arguments: Value, new: bool) -> Result<Value> {
        if self.suspicious.is_none() {
            self.suspicious = calls::suspicious(self.objects, callee, arguments);
        }
        Ok(calls::call(self.objects, callee, arguments, new)?)
    }

    fn recall(&mut self, index: u32) -> Result<()> {
        let value = *self.memo.get(&index).ok_or(PickleError::Broken("it recalls what it never stored"))?;
        self.push(value)
    }

    fn remember(&mut self, index: u32) -> Result<()> {
        let top = self.top()?;
        // A slot of a hash table at its emptiest.
        self.objects.charge(3 * size_of::<(u32, Value)>())?;
        self.memo.insert(index, top);
        Ok(())
    }

    fn append(&mut self, values: Vec<Value>) -> Result<()> {
        let top = self.top()?;
        let kept = values.iter().filter(|value| matches!(value, Value::At(_))).count();
        self.objects.charge(2 * size_of::<(u32, Value)>() * kept)?;
        let (items, length) = match self.objects.get_mut(top) {
            Some(Object::List { items, length }) => (items, length),
            Some(Object::Made(made)) => {
                let Made { items, length, .. } = &mut **made;
                (items, length)
            }
            // Whatever it is, it is no container of tensors.
            _ => return Ok(()),
        };
        for value in values {
            if matches!(value, Value::At(_)) {
                items.push((*length, value));
            }
            *length = length.saturating_add(1);
        }
        Ok(())
    }

    fn set_items(&mut self, values: Vec<Value>) -> Result<()> {
        let top = self.top()?;
        if values.len() % 2 == 1 {
            return Err(PickleError::Broken("a key without a value"));
        }
        let pairs = values.as_chunks::<2>().0.iter().map(|&[key, value]| (key, value));
        let pairs: Vec<_> = pairs.filter(|(_, value)| *value != Value::Plain).collect();
        self.objects.charge(2 * size_of::<(Value, Value)>() * pairs.len())?;
        match self.objects.get_mut(top) {
            Some(Object::Dict(entries)) => entries.extend(pairs),
            Some(Object::Made(made)) => made.entries.extend(pairs),
            _ => {}
        }
        Ok(())
    }

    fn length(&self, short: bool, input: &mut impl BufRead) -> Result<u64> {
        if short {
            return Ok(u8::from_le_bytes(bytes(input)?).into());
        }
        u64::try_from(i32::from_le_bytes(bytes(input)?)).map_err(|_| PickleError::Broken("a negative length"))
    }

    fn text(&mut self, length: u64, input: &mut impl BufRead) -> Result<()> {
        if length > LONGEST_TEXT {
            skip(input, length)?;
            return self.push(Value::Plain);
        }
        let mut text = Vec::new();
        input.by_ref().take(length).read_to_end(&mut text)?;
        if text.len() as u64 != length {
            return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
        }
        self.push_text(&String::from_utf8_lossy(&text))
    }
}

/// Module and name in Python 3's words.
fn global(module: &str, name: &str) -> Box<str> {
    let module = match module.trim_end() {
        "__builtin__" => "builtins",
        "copy_reg" => "copyreg",
        other => other,
    };
    format!("{module}.{}", name.trim_end()).into()
}

fn bytes<const N: usize>(input: &mut impl Read) -> Result<[u8; N]> {
    let mut bytes = [0; N];
    input.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// A line, without its end; what of it is too long to be of use is left out.
fn line(input: &mut impl BufRead) -> Result<String> {
    let mut line = Vec::new();
    loop {
        let buffer = input.fill_buf()?;
        if buffer.is_empty() {
            return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
        }
        let end = buffer.iter().position(|&byte| byte == b'\n');
        let part = &buffer[..end.unwrap_or(buffer.len())];
        let room = (LONGEST_TEXT as usize).saturating_sub(line.len());
        line.extend_from_slice(&part[..part.len().min(room)]);
        let used = part.len() + usize::from(end.is_some());
        input.consume(used);
        if end.is_some() {
            return Ok(String::from_utf8_lossy(&line).into_owned());
        }
    }
}

fn index(input: &mut impl BufRead) -> Result<u32> {
    line(input)?.trim().parse().map_err(|_| PickleError::Broken("an index of the memo that is no number"))
}

fn skip(input: &mut impl BufRead, length: u64) -> Result<()> {
    if std::io::copy(&mut input.by_ref().take(length), &mut std::io::sink())? != length {
        return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
    }
    Ok(())
}

/// A number of `length` bytes, little-endian, in two's complement.
fn whole_number(input: &mut impl BufRead, length: u64) -> Result<Value> {
    if length > 8 {
        skip(input, length)?;
        return Ok(Value::Plain);
    }
    let (mut word, length) = ([0; 8], length as usize);
    input.read_exact(&mut word[..length])?;
    let negative = length > 0 && word[length - 1] >= 0x80;
    word[length..].fill(if negative { 0xff } else { 0 });
    Ok(Value::Int(i64::from_le_bytes(word)))
}
