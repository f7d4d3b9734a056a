//! The bytes of a MATLAB file of version 5 to 7: a header of 128 bytes, then a tagged element a variable, most of them
//! compressed. After MathWorks' "MAT-File Format".

use super::value::{Numbers, Structure, Variable};
use flate2::read::ZlibDecoder;
use std::borrow::Cow;
use std::io::Read;
use std::sync::Arc;

/// A compressed variable that unpacks to more bytes than this is refused.
const LONGEST_VARIABLE: u64 = 1 << 30;

/// Structures and cells nested deeper than this are refused.
const DEEPEST: usize = 32;

const HEADER: usize = 128;
const CUT_SHORT: &str = "ends early: not a whole MATLAB file";

/// Data types of elements.
mod kind {
    pub const MATRIX: u32 = 14;
    pub const COMPRESSED: u32 = 15;
}

/// The variable of that name in a whole file.
pub fn variable(bytes: &[u8], name: &str) -> Result<Variable, String> {
    if bytes.starts_with(b"MATLAB 7.3") {
        return Err("a MATLAB 7.3 file; save it with -v7".to_string());
    }
    // The header's text is free; its last two bytes tell the byte order.
    let big_endian = match bytes.get(HEADER - 2..HEADER) {
        Some(b"IM") => false,
        Some(b"MI") => true,
        _ => return Err("not a MATLAB file of version 5 to 7".to_string()),
    };
    let mut rest = Reader { bytes: &bytes[HEADER..], big_endian };
    while !rest.bytes.is_empty() {
        let (kind, element) = rest.element()?;
        let element = match kind {
            kind::COMPRESSED => Cow::Owned(unpack(element)?),
            _ => Cow::Borrowed(element),
        };
        let mut matrix = Reader { bytes: &element, big_endian };
        if kind == kind::COMPRESSED {
            matrix = Reader { bytes: matrix.element()?.1, big_endian };
        }
        let head = matrix.head()?;
        if head.name == name {
            return matrix.body(&head, DEEPEST).map_err(|problem| format!("`{name}`: {problem}"));
        }
    }
    Err(format!("has no variable `{name}`"))
}

fn unpack(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let mut unpacked = Vec::new();
    let read = ZlibDecoder::new(bytes).take(LONGEST_VARIABLE).read_to_end(&mut unpacked);
    read.map_err(|error| format!("a compressed variable is broken: {error}"))?;
    Ok(unpacked)
}

/// What comes before an array's contents.
struct Head {
    class: u32,
    complex: bool,
    shape: Vec<usize>,
    name: String,
}

/// Elements one after the other.
struct Reader<'a> {
    bytes: &'a [u8],
    big_endian: bool,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.bytes.split_at_checked(count).ok_or(CUT_SHORT)?;
        self.bytes = rest;
        Ok(taken)
    }

    fn word(&mut self) -> Result<u32, String> {
        let bytes = self.take(4)?;
        let bytes = [bytes[0], bytes[1], bytes[2], bytes[3]];
        Ok(if self.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }

    /// Type and contents of the next element.
    fn element(&mut self) -> Result<(u32, &'a [u8]), String> {
        let word = self.word()?;
        if word >> 16 != 0 {
            // Up to four bytes are packed into the tag.
            let contents = self.take(4)?;
            return Ok((word & 0xffff, contents.get(..(word >> 16) as usize).ok_or(CUT_SHORT)?));
        }
        let size = self.word()? as usize;
        let contents = self.take(size)?;
        // All but compressed elements are padded to 8 bytes; the last may do without.
        if word != kind::COMPRESSED {
            self.take(((8 - size % 8) % 8).min(self.bytes.len()))?;
        }
        Ok((word, contents))
    }

    /// The values of an element of a numeric type.
    fn numbers(&self, kind: u32, bytes: &[u8]) -> Result<Vec<f64>, String> {
        macro_rules! values {
            ($number:ty) => {{
                let (chunks, _) = bytes.as_chunks::<{ size_of::<$number>() }>();
                let value = |chunk: &[u8; size_of::<$number>()]| match self.big_endian {
                    true => <$number>::from_be_bytes(*chunk) as f64,
                    false => <$number>::from_le_bytes(*chunk) as f64,
                };
                chunks.iter().map(value).collect()
            }};
        }
        Ok(match kind {
            1 => values!(i8),
            2 | 16 => values!(u8),
            3 => values!(i16),
            4 | 17 => values!(u16),
            5 => values!(i32),
            6 | 18 => values!(u32),
            7 => values!(f32),
            9 => values!(f64),
            12 => values!(i64),
            13 => values!(u64),
            _ => return Err(format!("an element of the unknown type {kind}")),
        })
    }

    fn next_numbers(&mut self) -> Result<Vec<f64>, String> {
        let (kind, bytes) = self.element()?;
        self.numbers(kind, bytes)
    }

    fn next_text(&mut self) -> Result<String, String> {
        let (kind, bytes) = self.element()?;
        if kind == 16 {
            return Ok(String::from_utf8_lossy(bytes).into_owned());
        }
        let units = self.numbers(kind, bytes)?;
        Ok(char::decode_utf16(units.iter().map(|&unit| unit as u16)).map(|c| c.unwrap_or('?')).collect())
    }

    /// The head of a matrix element's contents.
    fn head(&mut self) -> Result<Head, String> {
        let flags = self.next_numbers()?.first().copied().unwrap_or(0.0) as u32;
        let shape = self.next_numbers()?.into_iter().map(|extent| extent.max(0.0) as usize).collect();
        Ok(Head { class: flags & 0xff, complex: flags & 0x0800 != 0, shape, name: self.next_text()? })
    }

    /// What follows the head.
    fn body(&mut self, head: &Head, depth: usize) -> Result<Variable, String> {
        let depth = depth.checked_sub(1).ok_or("structures are nested too deep")?;
        let count = head.shape.iter().try_fold(1_usize, |product, &extent| product.checked_mul(extent));
        let count = count.ok_or("a shape too large for this machine")?;
        match head.class {
            1 => Ok(Variable::Cells(self.variables(count, depth)?)),
            2 => self.structures(count, depth),
            4 => Ok(Variable::Text(self.next_text()?)),
            6..=15 => {
                let values = self.next_numbers()?;
                if values.len() != count || head.complex {
                    return Err(format!("{} real values for the shape {:?}", values.len(), head.shape));
                }
                Ok(Variable::Numbers(Numbers { shape: head.shape.clone(), values }))
            }
            class => Err(format!("arrays of class {class} (sparse, objects, functions) are not read")),
        }
    }

    fn structures(&mut self, count: usize, depth: usize) -> Result<Variable, String> {
        let length = self.next_numbers()?.first().copied().unwrap_or(0.0) as usize;
        let (_, names) = self.element()?;
        let name = |bytes: &[u8]| String::from_utf8_lossy(bytes.split(|&b| b == 0).next().unwrap_or(&[])).into_owned();
        let names: Arc<[String]> = names.chunks_exact(length.max(1)).map(name).collect();
        if names.is_empty() {
            return Ok(Variable::Structures(Vec::new()));
        }
        let mut structures = Vec::new();
        for _ in 0..count {
            structures.push(Structure { names: names.clone(), values: self.variables(names.len(), depth)? });
        }
        Ok(Variable::Structures(structures))
    }

    fn variables(&mut self, count: usize, depth: usize) -> Result<Vec<Variable>, String> {
        let mut variables = Vec::new();
        for _ in 0..count {
            let (kind, contents) = self.element()?;
            if kind != kind::MATRIX {
                return Err(format!("an element of type {kind} where an array is expected"));
            }
            let mut matrix = Reader { bytes: contents, big_endian: self.big_endian };
            variables.push(match contents {
                // An empty array may be written without anything.
                [] => Variable::Numbers(Numbers { shape: vec![0, 0], values: Vec::new() }),
                _ => {
                    let head = matrix.head()?;
                    matrix.body(&head, depth)?
                }
            });
        }
        Ok(variables)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RELEASE: &[u8] = include_bytes!("../../../tests/mpii/release.mat");

    #[test]
    fn structures_cells_text_and_numbers_of_any_type_are_read() {
        let Ok(Variable::Structures(release)) = variable(RELEASE, "RELEASE") else { panic!("RELEASE is a structure") };
        assert_eq!(release[0].get("version"), Some(&Variable::Text("12".to_string())));
        let training = Numbers { shape: vec![1, 5], values: vec![1.0, 1.0, 0.0, 1.0, 1.0] };
        assert_eq!(release[0].get("img_train"), Some(&Variable::Numbers(training)));
        assert!(matches!(release[0].get("single_person"), Some(Variable::Cells(cells)) if cells.len() == 5));
        let first = &release[0].structures("annolist")[0];
        assert_eq!(first.structures("image")[0].get("name"), Some(&Variable::Text("first.jpg".to_string())));
        assert_eq!(first.structures("annorect")[0].number("y2"), Some(60.0));
        assert_eq!(variable(RELEASE, "other"), Err("has no variable `other`".to_string()));
    }

    proptest! {
        #[test]
        fn a_damaged_file_is_an_error_or_another_value_but_no_panic(
            cut in 0..RELEASE.len(), place in 0..RELEASE.len(), value: u8
        ) {
            prop_assert!(variable(&RELEASE[..cut], "RELEASE").is_err());
            let mut damaged = RELEASE.to_vec();
            damaged[place] = value;
            let _ = variable(&damaged, "RELEASE");
        }

        #[test]
        fn any_bytes_after_a_header_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let file = [&RELEASE[..HEADER], &bytes].concat();
            prop_assert!(variable(&file, "RELEASE").is_err());
        }
    }
}
