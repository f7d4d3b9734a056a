//! Values of JSON as Python's tools take them: whole numbers as floats or text, booleans as 0 and 1, `null` for what is
//! not there. What cannot be taken is kept as what it is, so that a record that nobody asks for may hold anything.

use std::fmt;

use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What stands for a picture, an annotation or a category: a whole number, or else a text.
///
/// `7`, `7.0` and `"7"` are the same, but not `"0007"`, which is a file's name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Id {
    /// A whole number.
    Number(i64),
    /// A text that is no whole number.
    Text(String),
}

impl Id {
    /// The id that a text stands for.
    pub fn of_text(text: &str) -> Id {
        let number = text.trim().parse().ok().filter(|number: &i64| number.to_string() == text.trim());
        number.map_or_else(|| Id::Text(text.to_owned()), Id::Number)
    }
}

impl From<i64> for Id {
    fn from(number: i64) -> Id {
        Id::Number(number)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Id::Number(number) => number.fmt(out),
            Id::Text(text) => text.fmt(out),
        }
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Id::Number(number) => serializer.serialize_i64(*number),
            Id::Text(text) => serializer.serialize_str(text),
        }
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Id, D::Error> {
        Value::deserialize(deserializer)?.id().map_err(serde::de::Error::custom)
    }
}

/// A value of any type. With `#[serde(default)]` a field that is not there is [`Value::Missing`].
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value {
    /// The field is not there.
    #[default]
    Missing,
    /// `null`, and `NaN` as Python writes it.
    Null,
    /// A whole number.
    Whole(i64),
    /// A number, or a boolean as 0 or 1.
    Number(f64),
    /// A text.
    Text(String),
    /// A list of numbers; `null` among them is a NaN. Lists inside it are joined.
    Numbers(Vec<f64>),
    /// Something that is none of these: its place in the value, such as `[3]`, and what it is.
    Other(String, &'static str),
}

impl Value {
    /// Whether there is nothing.
    pub fn is_nothing(&self) -> bool {
        matches!(self, Value::Missing | Value::Null)
    }

    /// The id that it stands for.
    ///
    /// # Errors
    /// What it is instead, to be put behind the value's place.
    pub fn id(self) -> Result<Id, String> {
        match self {
            Value::Whole(number) => Ok(Id::Number(number)),
            // Whole numbers of this size have a float each.
            Value::Number(number) if number.fract() == 0.0 && number.abs() < 9e15 => Ok(Id::Number(number as i64)),
            Value::Text(text) => Ok(Id::of_text(&text)),
            other => Err(other.instead_of("a whole number or a text")),
        }
    }

    /// The number that it stands for; `None` where there is nothing.
    ///
    /// # Errors
    /// As [`id`](Self::id).
    pub fn number(self) -> Result<Option<f64>, String> {
        match self {
            Value::Missing | Value::Null => Ok(None),
            Value::Whole(number) => Ok(Some(number as f64)),
            Value::Number(number) => Ok(Some(number)),
            Value::Text(ref text) => match text.trim().parse() {
                Ok(number) => Ok(Some(number)),
                Err(_) => Err(self.instead_of("a number")),
            },
            other => Err(other.instead_of("a number")),
        }
    }

    /// The numbers of the list; `None` where there is nothing. `null` and `NaN` in it are NaN.
    ///
    /// # Errors
    /// As [`id`](Self::id).
    pub fn numbers(self) -> Result<Option<Vec<f64>>, String> {
        match self {
            Value::Missing | Value::Null => Ok(None),
            Value::Numbers(numbers) => Ok(Some(numbers)),
            other => Err(other.instead_of("a list of numbers")),
        }
    }

    fn instead_of(&self, expected: &str) -> String {
        let (place, found) = match self {
            Value::Missing | Value::Null => ("", "null or NaN".to_owned()),
            Value::Whole(number) => ("", format!("number {number}")),
            Value::Number(number) => ("", format!("number {number}")),
            Value::Text(text) => ("", format!("string {:?}", text.chars().take(40).collect::<String>())),
            Value::Numbers(_) => ("", "a list of numbers".to_owned()),
            Value::Other(place, found) => (place.as_str(), (*found).to_owned()),
        };
        format!("{place}: invalid type: {found}, expected {expected}")
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, out: &mut fmt::Formatter) -> fmt::Result {
        out.write_str("any value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Whole(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Whole(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(i64::try_from(value).map_or(Value::Number(value as f64), Value::Whole))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Number(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let (mut numbers, mut wrong, mut index) = (Vec::new(), None, 0_usize);
        while wrong.is_none() {
            let Some(element) = list.next_element::<Value>()? else { return Ok(Value::Numbers(numbers)) };
            match element {
                Value::Numbers(inner) => numbers.extend(inner),
                Value::Other(place, found) => wrong = Some(Value::Other(format!("[{index}]{place}"), found)),
                other => match other.number() {
                    Ok(number) => numbers.push(number.unwrap_or(f64::NAN)),
                    Err(_) => wrong = Some(Value::Other(format!("[{index}]"), "a string")),
                },
            }
            index += 1;
        }
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(wrong.unwrap_or_default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Value::Other(String::new(), "an object"))
    }
}

/// The area inside an outline as COCO's files give it: polygons, or a mask as run lengths (a list, or packed in a text).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct OutlineArea(
    /// Square pixels; `None` where there is no outline, or none that can be read.
    pub Option<f64>,
);

impl<'de> Deserialize<'de> for OutlineArea {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<OutlineArea, D::Error> {
        deserializer.deserialize_any(OutlineVisitor)
    }
}

struct OutlineVisitor;

impl<'de> Visitor<'de> for OutlineVisitor {
    type Value = OutlineArea;

    fn expecting(&self, out: &mut fmt::Formatter) -> fmt::Result {
        out.write_str("any value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<OutlineArea, E> {
        Ok(OutlineArea(None))
    }

    fn visit_i64<E>(self, _: i64) -> Result<OutlineArea, E> {
        Ok(OutlineArea(None))
    }

    fn visit_u64<E>(self, _: u64) -> Result<OutlineArea, E> {
        Ok(OutlineArea(None))
    }

    fn visit_f64<E>(self, _: f64) -> Result<OutlineArea, E> {
        Ok(OutlineArea(None))
    }

    fn visit_str<E>(self, _: &str) -> Result<OutlineArea, E> {
        Ok(OutlineArea(None))
    }

    fn visit_unit<E>(self) -> Result<OutlineArea, E> {
        Ok(OutlineArea(None))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<OutlineArea, A::Error> {
        let (mut area, mut flat) = (0.0, Vec::new());
        while let Some(polygon) = list.next_element::<Value>()? {
            match polygon {
                Value::Numbers(points) => area += polygon_area(&points),
                other => flat.push(other.number().ok().flatten().unwrap_or(f64::NAN)),
            }
        }
        let area = area + polygon_area(&flat);
        Ok(OutlineArea(Some(area).filter(|area| area.is_finite() && *area > 0.0)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<OutlineArea, A::Error> {
        let mut area = None;
        while let Some(key) = map.next_key::<String>()? {
            if key != "counts" {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            area = match map.next_value::<Value>()? {
                Value::Numbers(counts) => Some(counts.iter().skip(1).step_by(2).sum()),
                Value::Text(packed) => packed_area(packed.as_bytes()),
                _ => None,
            };
        }
        Ok(OutlineArea(area.filter(|area: &f64| area.is_finite() && *area > 0.0)))
    }
}

/// The area of a polygon of x, y, x, y, ...
fn polygon_area(points: &[f64]) -> f64 {
    let (points, _) = points.as_chunks::<2>();
    let next = points.iter().cycle().skip(1);
    points.iter().zip(next).map(|(a, b)| a[0] * b[1] - a[1] * b[0]).sum::<f64>().abs() / 2.0
}

/// The ones of a mask whose run lengths are packed as COCO's tools pack them: six bits a character, each run from the
/// third on as the difference to the one before the last.
fn packed_area(packed: &[u8]) -> Option<f64> {
    let (mut counts, mut bytes): (Vec<i64>, _) = (Vec::new(), packed.iter());
    let mut next = bytes.next();
    while let Some(&first) = next {
        let (mut value, mut shift, mut byte) = (0_i64, 0_u32, first);
        loop {
            let bits = i64::from(byte.checked_sub(48)?);
            if bits > 63 || shift > 55 {
                return None;
            }
            value |= (bits & 0x1f) << shift;
            shift += 5;
            if bits & 0x20 == 0 {
                if bits & 0x10 != 0 {
                    value |= -1 << shift;
                }
                break;
            }
            byte = *bytes.next()?;
        }
        let before = if counts.len() > 2 { counts[counts.len() - 2] } else { 0 };
        counts.push(value.checked_add(before)?);
        next = bytes.next();
    }
    Some(counts.iter().skip(1).step_by(2).map(|&count| count as f64).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Value {
        serde_json::from_str(text).expect("it is JSON")
    }

    #[test]
    fn numbers_are_taken_however_they_are_written() {
        for text in ["7", "7.0", "\"7\"", "\" 7 \"", "7e0"] {
            assert_eq!(value(text).id(), Ok(Id::Number(7)), "{text}");
            assert_eq!(value(text).number(), Ok(Some(7.0)), "{text}");
        }
        assert_eq!(value("true").number(), Ok(Some(1.0)));
        assert_eq!(value("null").number(), Ok(None));
        assert_eq!(value("\"000000000785\"").id(), Ok(Id::Text("000000000785".into())));
        assert_eq!(value("\"frame_7\"").id(), Ok(Id::Text("frame_7".into())));
        assert_eq!(serde_json::to_string(&[Id::Number(-3), Id::Text("a".into())]).ok(), Some("[-3,\"a\"]".into()));
        for (text, part) in [("7.5", "number 7.5"), ("null", "null or NaN"), ("{}", "an object"), ("[1]", "a list")] {
            assert!(value(text).id().is_err_and(|message| message.contains(part)), "{text}");
        }
    }

    #[test]
    fn a_list_says_where_it_has_something_else() {
        let numbers = value("[1, \"2.5\", [3, true]]").numbers();
        assert_eq!(numbers, Ok(Some(vec![1.0, 2.5, 3.0, 1.0])));
        assert!(value("[1, null]").numbers().is_ok_and(|numbers| numbers.is_some_and(|n| n[1].is_nan())));
        let message = value("[1, [2, {\"a\": [1]}], 3]").numbers().expect_err("there is an object");
        assert_eq!(message, "[1][1]: invalid type: an object, expected a list of numbers");
        assert!(value("[1, \"x\", {}]").numbers().is_err_and(|message| message.starts_with("[1]: ")));
    }

    #[test]
    fn outlines_have_an_area() {
        let area = |text: &str| serde_json::from_str::<OutlineArea>(text).expect("it is JSON").0;
        assert_eq!(area("[[0, 0, 4, 0, 4, 3, 0, 3], [10, 10, 12, 10, 12, 11]]"), Some(13.0));
        assert_eq!(area("[0, 0, 4, 0, 4, 3, 0, 3]"), Some(12.0));
        assert_eq!(area("{\"size\": [4, 4], \"counts\": [2, 3, 4, 5, 2]}"), Some(8.0));
        // pycocotools.mask.encode of a 5 x 7 mask whose rows 1 to 3 of columns 2 to 4 are 1.
        assert_eq!(area("{\"size\": [5, 7], \"counts\": \";320009\"}"), Some(9.0));
        for nothing in ["null", "[]", "[[]]", "7", "\"a\"", "{}", "{\"counts\": \"~~~~~~~~~~~~~~~~\"}", "[[1, {}]]"] {
            assert_eq!(area(nothing), None, "{nothing}");
        }
    }
}
