//! The skeleton of a file's category: joints by name, bones, and what follows from them.

use super::category::Category;
use super::person::LabelledPerson;
use crate::data::DataError;
use crate::data::sides::plain;
use crate::data::skeleton::{COCO, Skeleton};
use crate::data::skeleton_table::SkeletonTable;

/// People over whom the mean distance of two joints is taken, where a file has no bones.
const MEASURED: usize = 2000;

/// The skeleton of people who have `joints` joints each.
///
/// COCO's own 17 joints, by name or not named, are [`COCO`]. Others have the category's names and bones; without bones
/// those of a tree are taken that joins neighbours, as [`tree`] says. `table` goes before all of it. Beside it is what whoever
/// trains or runs a network for it should know.
///
/// # Errors
/// A table that does not fit.
pub(super) fn skeleton_of(
    category: &Category,
    joints: usize,
    people: &[LabelledPerson],
    table: Option<&SkeletonTable>,
) -> Result<(Skeleton, Vec<String>), DataError> {
    let mut remarks = Vec::new();
    let named = table.and_then(|table| table.joints.clone());
    let names = named.clone().unwrap_or_else(|| match category.joints.len() == joints {
        true => category.joints.clone(),
        false => (1..=joints).map(|number| format!("joint {number}")).collect(),
    });
    if named.is_some() && category.joints.len() == joints && !all_numbers(&category.joints) {
        let renamed = |(a, b): &(&String, &String)| plain(a) != plain(b);
        if let Some((here, there)) = names.iter().zip(&category.joints).find(renamed) {
            remarks.push(format!("the joint {there:?} of the file is taken as {here:?}"));
        }
    }
    let unnamed = named.is_none() && (category.joints.is_empty() || all_numbers(&names));
    let mut skeleton = match (unnamed && joints == COCO.joints.len()) || COCO.names_equal(&names) {
        true => {
            if unnamed && table.is_none() {
                remarks.push("17 joints without names are taken as COCO's; skeleton.joints names others".into());
            }
            Skeleton::clone(&COCO)
        }
        false => {
            let name = if category.name.is_empty() { "own" } else { &category.name };
            let (mut skeleton, why_not) = Skeleton::of_joints(name, names);
            let says = table.is_some_and(|table| table.flip_pairs.is_some() || table.mirrors.is_some());
            if let Some(why_not) = why_not.filter(|_| !says) {
                remarks.push(format!(
                    "pictures are not mirrored, in training nor in evaluation, as {why_not}; say which joints exchange \
                     places with skeleton.flip_pairs = [[\"...\", \"...\"]], or [] for none"
                ));
            }
            skeleton.bones = bones(category, joints, &mut remarks);
            if skeleton.bones.is_empty() && joints > 1 && table.is_none_or(|table| table.bones.is_none()) {
                skeleton.bones = tree(people, joints);
                remarks.push(format!("{} has no bones; {} are taken", category.label(), joints - 1));
            }
            skeleton
        }
    };
    skeleton.category = category.ids[0].clone();
    match table {
        Some(table) => {
            // The category is the file's: that of a checkpoint was another file's.
            let table = SkeletonTable { category: None, ..table.clone() };
            Ok((table.apply(skeleton)?, remarks))
        }
        None => Ok((skeleton, remarks)),
    }
}

fn all_numbers(names: &[String]) -> bool {
    names.iter().all(|name| name.chars().all(|c| c.is_ascii_digit()))
}

/// The category's bones from 0, without those that are none. The file counts from 1, unless there is a 0 in it.
fn bones(category: &Category, joints: usize, remarks: &mut Vec<String>) -> Vec<(usize, usize)> {
    let first = i64::from(!category.bones.iter().flatten().any(|end| *end == 0));
    let mut bones: Vec<(usize, usize)> = Vec::new();
    let mut wrong = 0;
    for pair in &category.bones {
        let [a, b] = pair.map(|end| usize::try_from(end - first).ok().filter(|end| *end < joints));
        match (a, b) {
            (Some(a), Some(b)) if a != b && !bones.contains(&(a, b)) && !bones.contains(&(b, a)) => bones.push((a, b)),
            _ => wrong += 1,
        }
    }
    if wrong > 0 {
        let label = category.label();
        remarks.push(format!("{wrong} bones of {label} are not of two joints, or there twice, and are left out"));
    }
    bones
}

/// The tree of `joints` - 1 bones that is shortest over the people: the length of a bone is the mean distance of its joints
/// in parts of the box's diagonal. Joints that are never seen together are far apart, and the farther the more joints
/// stand between them.
fn tree(people: &[LabelledPerson], joints: usize) -> Vec<(usize, usize)> {
    let mut sums = vec![(0.0, 0_u32); joints * joints];
    for person in people.iter().filter(|person| person.num_keypoints > 1).take(MEASURED) {
        let diagonal = person.bbox[2].hypot(person.bbox[3]);
        if !(diagonal > 0.0 && diagonal.is_finite()) {
            continue;
        }
        let (places, _) = person.keypoints.as_chunks::<3>();
        for (a, from) in places.iter().enumerate().filter(|(_, place)| place[2] > 0.0) {
            for (b, to) in places.iter().enumerate().skip(a + 1).filter(|(_, place)| place[2] > 0.0) {
                let (sum, count) = &mut sums[a * joints + b];
                *sum += (from[0] - to[0]).hypot(from[1] - to[1]) / diagonal;
                *count += 1;
            }
        }
    }
    let length = |a: usize, b: usize| {
        let (a, b) = (a.min(b), a.max(b));
        match sums[a * joints + b] {
            (_, 0) => 1e6 + (b - a) as f64,
            (sum, count) => sum / f64::from(count),
        }
    };
    // Prim: of the joints outside, the one that is nearest to the tree; of equal ones the first.
    let mut nearest: Vec<usize> = vec![0; joints];
    let mut outside: Vec<usize> = (1..joints).collect();
    let mut bones = Vec::with_capacity(joints.saturating_sub(1));
    while let Some(next) =
        outside.iter().copied().min_by(|&a, &b| length(nearest[a], a).total_cmp(&length(nearest[b], b)))
    {
        outside.retain(|&joint| joint != next);
        bones.push((nearest[next], next));
        for &joint in &outside {
            if length(next, joint) < length(nearest[joint], joint) {
                nearest[joint] = next;
            }
        }
    }
    bones
}

#[cfg(test)]
mod tests {
    use super::super::tolerant::Id;
    use super::*;

    fn category(joints: &[&str], bones: &[[i64; 2]]) -> Category {
        let joints = joints.iter().map(|&joint| joint.to_owned()).collect();
        Category { ids: vec![Id::Number(2)], name: "hand".into(), joints, bones: bones.to_vec() }
    }

    fn of(category: &Category, joints: usize, table: Option<&str>) -> Skeleton {
        let table = table.map(|text| toml::from_str(text).expect("it is a table"));
        skeleton_of(category, joints, &[], table.as_ref()).expect("it fits").0
    }

    #[test]
    fn cocos_joints_are_known_by_name_or_number() {
        let names: Vec<String> = COCO.joints.iter().map(|joint| joint.replace(' ', "_")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let numbers: Vec<String> = (0..17).map(|number| number.to_string()).collect();
        let numbers: Vec<&str> = numbers.iter().map(String::as_str).collect();
        for joints in [&names, &numbers, &Vec::new()] {
            let expected = Skeleton { category: Id::Number(2), ..Skeleton::clone(&COCO) };
            assert_eq!(of(&category(joints, &[[1, 2]]), 17, None), expected);
        }
        let mut animal = names.clone();
        animal[16] = "tail";
        assert_eq!(of(&category(&animal, &[]), 17, None).name, "hand");
    }

    #[test]
    fn bones_are_counted_from_1_and_from_0_where_there_is_a_0() {
        let joints = ["a", "left b", "right b"];
        let skeleton = of(&category(&joints, &[[1, 2], [1, 3], [3, 1], [2, 2], [1, 9]]), 3, None);
        assert_eq!((&skeleton.bones[..], &skeleton.flip_pairs[..]), (&[(0, 1), (0, 2)][..], &[(1, 2)][..]));
        assert_eq!((skeleton.category, skeleton.sigmas, skeleton.mirrors), (Id::Number(2), vec![0.05; 3], true));
        assert_eq!(of(&category(&joints, &[[0, 2], [1, 2]]), 3, None).bones, [(0, 2), (1, 2)]);
        assert_eq!(of(&category(&joints, &[[1, 2]]), 3, Some("bones = [[\"a\", \"right b\"]]")).bones, [(0, 2)]);
    }

    #[test]
    fn without_bones_a_tree_joins_neighbours() {
        let keypoints = vec![0.0, 0.0, 2.0, 30.0, 0.0, 2.0, 10.0, 0.0, 1.0, 21.0, 0.0, 2.0, 0.0, 0.0, 0.0];
        let [id, image_id, category_id] = [1, 1, 1].map(Id::Number);
        let bbox = [0.0, 0.0, 30.0, 40.0];
        let person =
            LabelledPerson { id, image_id, category_id, bbox, area: 1.0, iscrowd: 0, keypoints, num_keypoints: 4 };
        assert_eq!(tree(&[person], 5), [(0, 2), (2, 3), (3, 1), (3, 4)]);
        assert_eq!(tree(&[], 4), [(0, 1), (1, 2), (2, 3)]);
        assert_eq!(tree(&[], 1), []);
    }
}
