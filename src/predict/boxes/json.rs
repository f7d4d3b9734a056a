//! Boxes in JSON: COCO results and annotations, `poses.json`, and the program's own list.

use std::collections::HashMap;
use std::path::Path;

use serde_json::Value;

use super::{COCO_PERSON, Extent, Found, Key};
use crate::data::{DataError, Size, files};

/// Reads a file; second, what is wrong with it.
pub(super) fn read(path: &Path, category: Option<i64>) -> Result<Result<Found, String>, DataError> {
    let document: Value = files::read_json(path, "expected a file of boxes")?;
    Ok(match &document {
        Value::Array(records) => Ok(list(records, category)),
        Value::Object(parts) => match (parts.get("images"), parts.get("annotations"), parts.get("people")) {
            (Some(Value::Array(images)), Some(Value::Array(annotations)), _) => {
                Ok(annotated(images, annotations, parts.get("categories"), category))
            }
            // What `ditn predict` writes.
            (.., Some(Value::Array(people))) => Ok(list(people, category)),
            _ => Err("a JSON object without `images` and `annotations`".into()),
        },
        _ => Err("neither a JSON array nor an object".into()),
    })
}

/// A list of boxes: the program's own, or a detector's results.
fn list(records: &[Value], category: Option<i64>) -> Found {
    let mut found = Found::default();
    for (number, record) in records.iter().enumerate() {
        let place = format!("record {number}");
        let (extent, key) = if let Some(extent) = record.get("box") {
            (extent, own_key(record).ok_or("it has no `picture`"))
        } else if let (Some(extent), Some(id)) = (record.get("bbox"), record.get("image_id")) {
            // A detector of people alone may leave the category out.
            let kind = record.get("category_id").filter(|kind| !kind.is_null());
            let wanted = category.unwrap_or(COCO_PERSON);
            if let Some(kind) = kind.filter(|kind| whole(kind) != Some(wanted)) {
                *found.others.entry(format!("category {kind}")).or_default() += 1;
                continue;
            }
            (extent, result_key(id).ok_or("its image_id is no number"))
        } else if record.get("keypoints").is_some() {
            found.leave_out(format!("{place} has `keypoints` but no `bbox`: these are poses, not boxes"));
            continue;
        } else {
            found.leave_out(format!("{place} has neither `picture` and `box` nor `image_id` and `bbox`"));
            continue;
        };
        let score = record.get("score").and_then(decimal);
        match key {
            Ok(key) => found.take(&place, key, numbers(extent).map(Extent::Pixels), score, None),
            Err(problem) => found.leave_out(format!("{place}: {problem}")),
        }
    }
    found
}

/// The picture or the frame of a box in the program's own form.
fn own_key(record: &Value) -> Option<Key> {
    match (record.get("picture"), record.get("frame")) {
        (_, Some(frame)) => whole(frame).and_then(|frame| u64::try_from(frame).ok()).map(Key::Frame),
        (Some(Value::String(picture)), None) => Some(Key::Name(picture.clone())),
        _ => None,
    }
}

/// The picture of a detector's result: a number, or as some write it a name.
fn result_key(id: &Value) -> Option<Key> {
    match id {
        Value::String(text) if text.parse::<u64>().is_err() => Some(Key::Name(text.clone())),
        id => whole(id).and_then(|id| u64::try_from(id).ok()).map(Key::Number),
    }
}

/// The objects of COCO's annotations.
fn annotated(images: &[Value], annotations: &[Value], categories: Option<&Value>, category: Option<i64>) -> Found {
    let mut pictures: HashMap<String, (String, Option<Size>)> = HashMap::with_capacity(images.len());
    for image in images {
        let side = |name: &str| image.get(name).and_then(whole).and_then(|side| u32::try_from(side).ok());
        let size = side("height").zip(side("width")).map(|(height, width)| Size::new(height, width));
        let size = size.filter(|size| size.height > 0 && size.width > 0);
        if let (Some(id), Some(name)) = (image.get("id"), image.get("file_name").and_then(Value::as_str)) {
            pictures.insert(identity(id), (name.to_string(), size));
        }
    }
    let wanted = category.map_or_else(|| people(categories), |category| vec![category]);
    let mut found = Found::default();
    for (number, annotation) in annotations.iter().enumerate() {
        let kind = annotation.get("category_id").filter(|kind| !kind.is_null());
        if let Some(kind) = kind.filter(|kind| whole(kind).is_none_or(|kind| !wanted.contains(&kind))) {
            *found.others.entry(format!("category {kind}")).or_default() += 1;
            continue;
        }
        let crowd = annotation.get("iscrowd");
        if crowd.is_some_and(|crowd| *crowd == Value::Bool(true) || decimal(crowd).is_some_and(|crowd| crowd != 0.0)) {
            *found.others.entry("crowds".into()).or_default() += 1;
            continue;
        }
        let place = format!("annotations[{number}]");
        let picture = annotation.get("image_id").and_then(|id| pictures.get(&identity(id)));
        let Some((name, size)) = picture else {
            found.leave_out(format!("{place}: its image_id is not among the images"));
            continue;
        };
        let extent = annotation.get("bbox").and_then(numbers).map(Extent::Pixels);
        let score = annotation.get("score").and_then(decimal);
        found.take(&place, Key::Name(name.clone()), extent, score, *size);
    }
    found
}

/// The categories of people: those called so or with joints, or the only one; COCO's where the file has none.
fn people(categories: Option<&Value>) -> Vec<i64> {
    let list = categories.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let id = |category: &Value| category.get("id").and_then(whole);
    let is_person = |category: &&Value| {
        let name = category.get("name").and_then(Value::as_str).unwrap_or_default().to_lowercase();
        ["person", "people", "human", "pedestrian"].contains(&name.as_str()) || category.get("keypoints").is_some()
    };
    let people: Vec<i64> = list.iter().filter(is_person).filter_map(id).collect();
    match list {
        _ if !people.is_empty() => people,
        [only] => id(only).into_iter().collect(),
        _ => vec![COCO_PERSON],
    }
}

/// Numbers and texts of the same digits are the same id.
fn identity(id: &Value) -> String {
    match (id, whole(id)) {
        (_, Some(number)) => number.to_string(),
        (Value::String(text), None) => text.clone(),
        (other, None) => other.to_string(),
    }
}

/// A number, or a text that is one.
fn decimal(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

fn whole(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| decimal(value).filter(|v| v.fract() == 0.0 && v.abs() < 9e15).map(|v| v as i64))
}

fn numbers(value: &Value) -> Option<[f64; 4]> {
    let numbers: Option<Vec<f64>> = value.as_array()?.iter().map(decimal).collect();
    numbers?.try_into().ok()
}
