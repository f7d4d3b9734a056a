//! COCO's annotations (`person_keypoints_*.json`), as pycocotools and the tools that write such files take them.
//! Coordinates are pixels from the picture's upper left, as they stand in the files.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::super::skeleton_table::{MOST_JOINTS, SkeletonTable};
use super::super::{DataError, files, skeleton::COCO, skeleton::Skeleton};
use super::category::Category;
use super::left_out::LeftOut;
use super::own::skeleton_of;
use super::person::{LabelledPerson, Place, Record, fill_empty_columns, without_repetitions, wrong_length};
use super::tolerant::{Id, Value};

const ADVICE: &str = "expected annotations in COCO's format, such as person_keypoints_*.json of COCO 2017 \
                      (annotations_trainval2017.zip at https://cocodataset.org/#download)";

/// The pictures of a split and the people in them.
#[derive(Clone, Debug)]
pub struct Annotations {
    /// Every picture, those without people included; no two have the same id.
    pub images: Vec<Image>,
    /// Every person, crowds included: the objects of the category with the joints.
    pub people: Vec<LabelledPerson>,
    /// That category.
    pub category: Category,
    /// Its joints.
    pub skeleton: Arc<Skeleton>,
}

/// A picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    /// What people refer to.
    pub id: Id,
    /// Name in the folder of pictures, perhaps with folders.
    pub file_name: String,
    /// Pixels in a row; 0 where the file does not say.
    pub width: u32,
    /// Rows; 0 where the file does not say.
    pub height: u32,
}

/// A file as it stands: an object, not a list.
struct Whole(Document);

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Whole, D::Error> {
        deserializer.deserialize_any(WholeVisitor)
    }
}

struct WholeVisitor;

impl<'de> Visitor<'de> for WholeVisitor {
    type Value = Whole;

    fn expecting(&self, out: &mut fmt::Formatter) -> fmt::Result {
        out.write_str("an object with `images` and `annotations` (a list is what files of results are)")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Whole, A::Error> {
        Document::deserialize(MapAccessDeserializer::new(map)).map(Whole)
    }
}

#[derive(Deserialize)]
struct Document {
    images: Vec<ImageRecord>,
    annotations: Vec<Record>,
    #[serde(default)]
    categories: serde_json::Value,
}

#[derive(Deserialize)]
struct ImageRecord {
    #[serde(default)]
    id: Value,
    #[serde(default)]
    file_name: Value,
    #[serde(default)]
    coco_url: Value,
    #[serde(default)]
    width: Value,
    #[serde(default)]
    height: Value,
}

/// What is counted where a record is not used, or not as it stands.
mod kinds {
    pub const NO_PICTURE: &str = "has an image_id that is not among the images, and is left out";
    pub const JOINTS: &str = "has another number of joints, and is taken as someone without joints";
    pub const SAME_IMAGE: &str = "stands in the file twice with the same id";
}

impl Annotations {
    /// Reads the annotations of a split: the people of the category with the joints.
    ///
    /// What pycocotools would take is taken, and what follows from the rest may be missing: `num_keypoints`, `area`,
    /// `iscrowd`, `bbox` and annotations' ids. Records of other categories may hold anything.
    ///
    /// # Errors
    /// Where the file is missing or is not COCO's, or two pictures have one id: the message names the record.
    pub fn read(path: &Path) -> Result<Annotations, DataError> {
        Self::read_with(path, None, None)
    }

    /// As [`read`](Self::read), of the category with this number or name, with a skeleton of which `table` says a part.
    ///
    /// # Errors
    /// As [`read`](Self::read), and where there is no such category or the table does not fit.
    pub fn read_with(
        path: &Path,
        category: Option<&Id>,
        table: Option<&SkeletonTable>,
    ) -> Result<Annotations, DataError> {
        Self::read_remarked(path, category, table).map(|(annotations, _)| annotations)
    }

    /// The same, with what whoever trains or runs a network for such a skeleton should know.
    pub(super) fn read_remarked(
        path: &Path,
        category: Option<&Id>,
        table: Option<&SkeletonTable>,
    ) -> Result<(Annotations, Vec<String>), DataError> {
        let Whole(document) = files::read_json(path, ADVICE)?;
        let mut left_out = LeftOut::default();
        let all = document.annotations.len();
        let named = table.and_then(|table| Some(table.joints.as_ref()?.len()));
        let read = document.read(category, named, &mut left_out);
        let (images, people, category, joints) =
            read.map_err(|problem| DataError::Annotation { path: path.to_path_buf(), problem })?;
        left_out.warn(path, all);
        let (skeleton, remarks) = skeleton_of(&category, joints, &people, table)?;
        Ok((Annotations { images, people, category, skeleton: Arc::new(skeleton) }, remarks))
    }

    /// Joints of each person.
    pub fn joints(&self) -> usize {
        self.skeleton.joints.len()
    }

    /// Where each picture stands in `images`.
    pub fn images_by_id(&self) -> HashMap<&Id, usize> {
        self.images.iter().enumerate().map(|(index, image)| (&image.id, index)).collect()
    }
}

/// Pictures, people, their category and how many joints each has.
type Read = (Vec<Image>, Vec<LabelledPerson>, Category, usize);

impl Document {
    /// The people of the `wanted` category, with `named` joints each where that is known before.
    fn read(self, wanted: Option<&Id>, named: Option<usize>, left_out: &mut LeftOut) -> Result<Read, String> {
        let Document { images, annotations, categories } = self;
        let images = read_images(images, left_out)?;
        let known: HashSet<&Id> = images.iter().map(|image| &image.id).collect();
        let mut used: Vec<Id> = Vec::new();
        for record in &annotations {
            if let Ok(id) = record.category_id.clone().id()
                && !used.contains(&id)
            {
                used.push(id);
            }
        }
        let category = Category::choose(&categories, wanted, &used)?;
        let joints = named.or(Some(category.joints.len()).filter(|joints| *joints > 0));
        let joints = joints.unwrap_or_else(|| usual_joints(&annotations, &category));
        if joints > MOST_JOINTS {
            return Err(format!("{joints} joints a person; from 1 to {MOST_JOINTS} are possible"));
        }
        let mut people: Vec<LabelledPerson> = Vec::new();
        let (mut of_category, mut fitting, mut first_wrong) = (0, 0, None);
        for (number, mut record) in annotations.into_iter().enumerate() {
            let place = Place { number, id: record.id.clone().id().unwrap_or(Id::Number(number as i64)) };
            // Without a category of its own a record is of the only one there is.
            let category_id = match record.category_id.is_nothing() {
                true => category.ids[0].clone(),
                false => record.category_id.clone().id().map_err(|problem| place.field("category_id", &problem))?,
            };
            if !category.has(&category_id) {
                continue;
            }
            of_category += 1;
            let image_id = match record.image_id.is_nothing() {
                true => None,
                false => Some(record.image_id.clone().id().map_err(|problem| place.field("image_id", &problem))?),
            };
            let Some(image_id) = image_id.filter(|id| known.contains(id)) else {
                first_wrong.get_or_insert_with(|| format!("{place}: its image_id is not among the images"));
                left_out.add(kinds::NO_PICTURE, &place);
                continue;
            };
            let mut keypoints = record.take_joints(joints).map_err(|(field, problem)| place.field(field, &problem))?;
            if keypoints.len() == 3 * joints {
                fitting += 1;
            } else {
                // CVAT writes an empty list for someone none of whose joints is seen.
                if !keypoints.is_empty() {
                    first_wrong.get_or_insert_with(|| wrong_length(&place.to_string(), keypoints.len(), joints));
                    left_out.add(kinds::JOINTS, &place);
                }
                keypoints = vec![0.0; 3 * joints];
                record.num_keypoints = Value::Missing;
            }
            people.push(record.person(&place, image_id, category_id, keypoints, left_out)?);
        }
        let all_wrong = people.is_empty() || (fitting == 0 && left_out.count(kinds::JOINTS) > 0);
        if let Some(problem) = first_wrong.filter(|_| all_wrong) {
            return Err(problem);
        }
        if !used.is_empty() && of_category == 0 {
            let used: Vec<String> = used.iter().take(10).map(Id::to_string).collect();
            tracing::warn!(
                "no annotation is of {}; there are annotations of categories {}",
                category.label(),
                used.join(", ")
            );
        }
        fill_empty_columns(&mut people);
        let people = without_repetitions(people, left_out);
        Ok((images, people, category, joints))
    }
}

/// How many joints most people of a category have that names none; COCO's where there is nobody.
fn usual_joints(records: &[Record], category: &Category) -> usize {
    let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
    for record in records.iter().filter(|record| record.category_id.clone().id().is_ok_and(|id| category.has(&id))) {
        if let Value::Numbers(numbers) = &record.keypoints
            && !numbers.is_empty()
            && numbers.len() % 3 == 0
        {
            *counts.entry(numbers.len() / 3).or_default() += 1;
        }
    }
    counts.into_iter().max_by_key(|&(_, count)| count).map_or(COCO.joints.len(), |(joints, _)| joints)
}

fn read_images(records: Vec<ImageRecord>, left_out: &mut LeftOut) -> Result<Vec<Image>, String> {
    let mut by_id: HashMap<Id, usize> = HashMap::with_capacity(records.len());
    let mut images: Vec<Image> = Vec::with_capacity(records.len());
    for (number, record) in records.into_iter().enumerate() {
        let at = |field: &'static str| move |problem: String| format!("images[{number}].{field}{problem}");
        let id = record.id.id().map_err(at("id"))?;
        let name = |value: Value| match value {
            Value::Text(text) if !text.trim().is_empty() => Some(text),
            Value::Whole(number) => Some(number.to_string()),
            _ => None,
        };
        let file_name = name(record.file_name)
            .or_else(|| name(record.coco_url))
            .ok_or_else(|| format!("images[{number}] (id {id}): missing field `file_name`"))?;
        let side = |value: Value| value.number().map(|side| side.filter(|side| *side >= 1.0).map_or(0, |v| v as u32));
        let (width, height) = (side(record.width).map_err(at("width"))?, side(record.height).map_err(at("height"))?);
        let image = Image { id: id.clone(), file_name, width, height };
        match by_id.get(&id).map(|&earlier: &usize| &images[earlier]) {
            Some(earlier) if earlier.file_name == image.file_name => {
                left_out.add(kinds::SAME_IMAGE, format!("images[{number}] (id {id})"));
            }
            Some(earlier) => {
                return Err(format!(
                    "images[{number}]: {} has the id {id} of {}: whose people are whose cannot be told; give each \
                     picture an id of its own",
                    image.file_name, earlier.file_name
                ));
            }
            None => {
                by_id.insert(id, images.len());
                images.push(image);
            }
        }
    }
    Ok(images)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A document of two pictures and one person, changed.
    fn read_changed(change: impl FnOnce(&mut serde_json::Value)) -> Result<(Annotations, LeftOut), String> {
        let mut document = serde_json::json!({
            "images": [{"id": 5, "file_name": "5.jpg", "width": 200, "height": 100}, {"id": 6, "file_name": "6.jpg"}],
            "annotations": [{"id": 1, "image_id": 5, "category_id": 1, "bbox": [10, 20, 30, 40], "area": 900,
                             "iscrowd": 0, "num_keypoints": 2, "keypoints": [10, 20, 2, 0, 0, 0, 40, 60, 1]}],
            "categories": [{"id": 1, "name": "hand", "keypoints": ["a", "b", "c"], "skeleton": [[1, 2], [2, 3]]}]
        });
        change(&mut document);
        let Whole(document) = serde_json::from_value(document).map_err(|error| error.to_string())?;
        let mut left_out = LeftOut::default();
        let (images, people, category, joints) = document.read(None, None, &mut left_out)?;
        let (skeleton, _) = skeleton_of(&category, joints, &people, None).map_err(|error| error.to_string())?;
        Ok((Annotations { images, people, category, skeleton: Arc::new(skeleton) }, left_out))
    }

    fn person(change: impl FnOnce(&mut serde_json::Value)) -> LabelledPerson {
        let (annotations, _) = read_changed(|document| change(&mut document["annotations"][0])).expect("it is read");
        annotations.people[0].clone()
    }

    #[test]
    fn what_follows_from_the_rest_may_be_missing() {
        let whole = person(|_| {});
        for key in ["iscrowd", "num_keypoints"] {
            assert_eq!(person(|record| record[key] = serde_json::Value::Null), whole, "{key}");
        }
        let area = |change: &dyn Fn(&mut serde_json::Value)| {
            person(|record| {
                record.as_object_mut().expect("it is one").remove("area");
                change(record);
            })
            .area
        };
        assert_eq!(area(&|_| {}), 1200.0);
        assert_eq!(area(&|record| record["segmentation"] = serde_json::json!([[0, 0, 10, 0, 10, 10]])), 50.0);
        assert_eq!(person(|record| record["bbox"] = serde_json::Value::Null).bbox, [10.0, 20.0, 30.0, 40.0]);
        let ids = person(|record| record["image_id"] = serde_json::json!("5"));
        assert_eq!(ids, whole);
        let floats = person(|record| {
            record["iscrowd"] = serde_json::json!(false);
            record["num_keypoints"] = serde_json::json!("2");
            record["category_id"] = serde_json::json!(1.0);
            record["bbox"] = serde_json::json!(["10", 20.0, 30, 40]);
        });
        assert_eq!(floats, whole);
        let none = person(|record| record["keypoints"] = serde_json::json!([]));
        assert_eq!((none.keypoints, none.num_keypoints), (vec![0.0; 9], 0));
        let null = person(|record| record["keypoints"][3] = serde_json::Value::Null);
        assert_eq!(null, whole, "an unlabelled joint has no place");
    }

    #[test]
    fn columns_that_were_never_filled_are_taken_from_the_rest() {
        assert_eq!(person(|record| record["num_keypoints"] = 0.into()).num_keypoints, 2);
        assert_eq!(person(|record| record["area"] = 0.into()).area, 1200.0);
    }

    #[test]
    fn records_of_other_categories_may_hold_anything() {
        let (annotations, left_out) = read_changed(|document| {
            let other = serde_json::json!({"category_id": 7, "id": {}, "image_id": "x", "bbox": "?", "keypoints": 3});
            document["annotations"].as_array_mut().expect("it is a list").insert(0, other);
        })
        .expect("the hand is whole");
        assert_eq!((annotations.people.len(), left_out.lines(2)), (1, Vec::new()));
    }

    #[test]
    fn one_record_that_does_not_fit_is_left_out_and_nothing_but_such_is_refused() {
        let again = |change: fn(&mut serde_json::Value)| {
            read_changed(|document| {
                let mut record = document["annotations"][0].clone();
                record["id"] = 2.into();
                change(&mut record);
                document["annotations"].as_array_mut().expect("it is a list").push(record);
            })
            .map(|(annotations, left_out)| (annotations.people.len(), left_out.lines(2)))
            .expect("the first is whole")
        };
        let (people, lines) = again(|record| record["image_id"] = 77.into());
        assert!(people == 1 && lines[0].starts_with("annotations[1] (id 2) has an image_id"), "{lines:?}");
        let (people, lines) = again(|record| record["keypoints"] = serde_json::json!([1, 2, 2]));
        assert!(people == 2 && lines[0].contains("another number of joints"), "{lines:?}");
        let (people, lines) = again(|record| record["id"] = 1.into());
        assert!(people == 1 && lines[0].contains("once more"), "{lines:?}");
        let (people, lines) = again(|record| (record["id"], record["image_id"]) = (1.into(), 6.into()));
        assert!(people == 2 && lines[0].contains("different people"), "{lines:?}");

        let message = |change: fn(&mut serde_json::Value)| read_changed(change).map(|_| ()).expect_err("it is wrong");
        let all = message(|document| document["annotations"][0]["keypoints"] = serde_json::json!([1, 2, 2]));
        assert!(all.contains("annotations[0] (id 1): 3 numbers in keypoints, expected 9"), "{all}");
        let all = message(|document| document["annotations"][0]["image_id"] = 77.into());
        assert!(all.contains("image_id is not among the images"), "{all}");
        let null = message(|document| document["annotations"][0]["keypoints"][1] = serde_json::Value::Null);
        assert!(null.contains("annotations[0].keypoints[1]: null or NaN"), "{null}");
        let text = message(|document| document["annotations"][0]["bbox"][1] = "x".into());
        assert!(text.contains("annotations[0].bbox[1]: invalid type: a string"), "{text}");
        let list = message(|document| *document = serde_json::json!([{"image_id": 5}]));
        assert!(list.contains("an object with `images`"), "{list}");
    }

    #[test]
    fn pictures_of_one_id_are_refused_unless_they_are_one_picture() {
        let with = |file: &str| {
            let image = serde_json::json!({"id": "5", "file_name": file});
            read_changed(|document| document["images"].as_array_mut().expect("it is a list").push(image))
        };
        assert!(with("7.jpg").is_err_and(|message| message.contains("images[2]: 7.jpg has the id 5 of 5.jpg")));
        assert!(with("5.jpg").is_ok_and(|(annotations, _)| annotations.images.len() == 2));
        let named =
            read_changed(|document| document["images"][0] = serde_json::json!({"id": 5, "coco_url": "h/5.jpg"}));
        assert!(named.is_ok_and(|(annotations, _)| annotations.images[0].file_name == "h/5.jpg"));
        let unnamed = read_changed(|document| document["images"][0]["file_name"] = serde_json::Value::Null);
        assert!(unnamed.is_err_and(|message| message.contains("images[0] (id 5): missing field `file_name`")));
    }
}
