//! The original release, `mpii_human_pose_v1_u12_1.mat`: one structure RELEASE with the pictures' annotations.

use super::super::mat::{self, Structure, Variable};
use super::super::skeleton::MPII;
use super::super::{DataError, Joint};
use super::person::{AnnotatedPerson, joint};
use super::truth::HEAD_PART;
use std::path::Path;

const ADVICE: &str = "expected mpii_human_pose_v1_u12_1.mat of http://human-pose.mpi-inf.mpg.de";

/// Everyone in the training pictures who has joints, centre and scale. (The release keeps the joints of its test pictures
/// to itself.)
///
/// # Errors
/// Where the file is missing, or is not the release; the message names picture and person.
pub fn read(path: &Path) -> Result<Vec<AnnotatedPerson>, DataError> {
    let wrong = |problem| DataError::Annotation { path: path.to_path_buf(), problem };
    let release = mat::read_variable(path, "RELEASE", ADVICE)?;
    people(&release).map_err(wrong)
}

fn people(release: &Variable) -> Result<Vec<AnnotatedPerson>, String> {
    let Variable::Structures(release) = release else { return Err("RELEASE is not a structure".to_string()) };
    let [release] = &release[..] else { return Err("RELEASE is not one structure".to_string()) };
    let pictures = release.structures("annolist");
    let Some(Variable::Numbers(training)) = release.get("img_train") else {
        return Err("RELEASE.img_train is not an array of numbers".to_string());
    };
    if pictures.len() != training.values.len() {
        return Err(format!("annolist has {} pictures, img_train {}", pictures.len(), training.values.len()));
    }
    let mut people = Vec::new();
    for (number, (picture, training)) in pictures.iter().zip(&training.values).enumerate() {
        if *training != 1.0 {
            continue;
        }
        let place = format!("RELEASE.annolist({})", number + 1);
        let Some(Variable::Text(name)) = picture.structures("image").first().and_then(|image| image.get("name")) else {
            return Err(format!("{place}: no image.name"));
        };
        for (person, rectangle) in picture.structures("annorect").iter().enumerate() {
            let annotated = annotated_person(name, rectangle);
            people.extend(annotated.map_err(|problem| format!("{place}.annorect({}): {problem}", person + 1))?);
        }
    }
    Ok(people)
}

/// The person of an entry of `annorect`; `None` where joints, centre or scale are missing, as they are for many.
fn annotated_person(picture: &str, rectangle: &Structure) -> Result<Option<AnnotatedPerson>, String> {
    let points = rectangle.structures("annopoints").first().map(|points| points.structures("point"));
    let (Some(scale), Some(center), Some(points @ [_, ..])) =
        (rectangle.number("scale"), rectangle.structures("objpos").first(), points)
    else {
        return Ok(None);
    };
    let mut joints = vec![Joint::default(); MPII.joints.len()];
    for point in points {
        let part = |name: &str| point.number(name).ok_or(format!("a point without {name}"));
        let (id, place) = (part("id")?, [part("x")?, part("y")?]);
        let slot = joints.get_mut(id as usize).filter(|_| id >= 0.0);
        // Left out for some joints: nobody says that they are hidden.
        let visible = point.number("is_visible") != Some(0.0);
        *slot.ok_or(format!("a point with id {id}; joints are numbered 0 to 15"))? = joint(place, true, visible);
    }
    let center = center.number("x").zip(center.number("y")).ok_or("objpos without x and y")?;
    let head_size = match ["x1", "y1", "x2", "y2"].map(|side| rectangle.number(side)) {
        [Some(left), Some(top), Some(right), Some(bottom)] => {
            Some((HEAD_PART * (right - left).hypot(bottom - top)) as f32)
        }
        _ => None,
    };
    Ok(Some(AnnotatedPerson::new(picture.to_string(), joints, center.into(), scale, head_size)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_of_four_pictures_has_the_four_people_that_can_be_used() {
        // Made by tools/mpii_release.py.
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mpii/release.mat");
        let people = read(&path).expect("the file is whole");
        let pictures: Vec<&str> = people.iter().map(|person| person.picture.as_str()).collect();
        assert_eq!(pictures, ["first.jpg", "first.jpg", "second.jpg", "fourth.jpg"]);
        let first = &people[0];
        // objpos (120, 140) and scale 2: moved down by 30, a quarter larger, 0-based.
        assert_eq!((first.center, first.scale), ([119.0, 169.0], 2.5));
        // A head of 30 by 40.
        assert_eq!(first.head_size, Some(30.0));
        for (id, joint) in first.joints.iter().enumerate() {
            let id = id as f32;
            assert_eq!((joint.x, joint.y, joint.labelled), (99.0 + id, 199.5 + 2.0 * id, true));
            assert_eq!(joint.visible, (id as usize).is_multiple_of(2), "{id}");
        }
        // Only some joints, with visibility as text, or left out.
        let labelled = |person: usize| {
            let joints = people[person].joints.iter().enumerate();
            joints.filter(|(_, joint)| joint.labelled).map(|(id, joint)| (id, joint.visible)).collect::<Vec<_>>()
        };
        assert_eq!(labelled(1), [(6, true), (9, false)]);
        assert_eq!(labelled(2), [(0, true)]);
        assert_eq!(people[3].head_size, None);
    }
}
