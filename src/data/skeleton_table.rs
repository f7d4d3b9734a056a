//! `[skeleton]`: the joints of a data set of one's own, or what is to be said about them beyond the file of annotations.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::DataError;
use super::coco::tolerant::Id;
use super::kind::DataKind;
use super::skeleton::Skeleton;

/// The most joints that a skeleton may have.
pub const MOST_JOINTS: usize = 512;

/// `[skeleton]` of a configuration. What is absent is taken from the data; a checkpoint's has all of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SkeletonTable {
    /// Short name, for messages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Name of each joint, in the order of the annotations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub joints: Option<Vec<String>>,
    /// Pairs of joints that a bone joins. A joint is given by its name, or by its place from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bones: Option<Vec<[JointName; 2]>>,
    /// Pairs of joints that exchange places in a mirrored picture; an empty list where a mirror changes no joint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flip_pairs: Option<Vec<[JointName; 2]>>,
    /// Joints of the upper body, for half bodies as augmentation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upper_body: Option<Vec<JointName>>,
    /// Whether a mirrored picture shows such an object again; where absent it does, unless the names leave open how.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mirrors: Option<bool>,
    /// How far off annotators are, for OKS: a number for all joints, or one each.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sigmas: Option<Sigmas>,
    /// The category of results.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub category: Option<Id>,
}

/// A joint of a skeleton.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum JointName {
    /// Its place, from 0.
    Place(usize),
    /// Its name.
    Name(String),
}

/// OKS sigmas.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Sigmas {
    /// One for all joints.
    All(f64),
    /// One each.
    Each(Vec<f64>),
}

impl SkeletonTable {
    /// The skeleton of a checkpoint or a configuration alone: the table's, over the joints of the kind of data set.
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    pub fn skeleton_of(table: Option<&Self>, kind: DataKind) -> Result<Arc<Skeleton>, DataError> {
        match table {
            None => Ok(Arc::clone(kind.skeleton())),
            Some(table) => {
                let base = match &table.joints {
                    Some(joints) => Skeleton::of_joints("own", joints.clone()).0,
                    None => Skeleton::clone(kind.skeleton()),
                };
                table.apply(base).map(Arc::new)
            }
        }
    }

    /// `skeleton` with everything that the table says.
    ///
    /// # Errors
    /// Joints that are not there or too many, pairs of one joint, sigmas of another number or not above 0.
    pub fn apply(&self, skeleton: Skeleton) -> Result<Skeleton, DataError> {
        let mut skeleton = skeleton;
        let wrong = |key: &str, problem: String| DataError::Unsuitable(format!("`skeleton.{key}`: {problem}"));
        if let Some(joints) = &self.joints {
            let expected = skeleton.joints.len();
            if joints.len() != expected {
                return Err(wrong("joints", format!("{} names, but the people have {expected} joints", joints.len())));
            }
            skeleton.joints.clone_from(joints);
        }
        let count = skeleton.joints.len();
        if !(1..=MOST_JOINTS).contains(&count) {
            return Err(wrong("joints", format!("{count} joints; from 1 to {MOST_JOINTS} are possible")));
        }
        let pairs = |key: &str, pairs: &[[JointName; 2]]| -> Result<Vec<(usize, usize)>, DataError> {
            pairs
                .iter()
                .map(|[a, b]| {
                    let (a, b) = (place(&skeleton, key, a)?, place(&skeleton, key, b)?);
                    if a == b {
                        return Err(wrong(key, format!("{:?} is joined with itself", skeleton.joints[a])));
                    }
                    Ok((a, b))
                })
                .collect()
        };
        let bones = self.bones.as_deref().map(|bones| pairs("bones", bones)).transpose()?;
        let flip_pairs = self.flip_pairs.as_deref().map(|list| pairs("flip_pairs", list)).transpose()?;
        let upper = |joints: &Vec<JointName>| joints.iter().map(|j| place(&skeleton, "upper_body", j)).collect();
        let upper_body: Option<Vec<usize>> = self.upper_body.as_ref().map(upper).transpose()?;
        if let Some(list) = &flip_pairs {
            let mut seen = std::collections::HashSet::new();
            if let Some(twice) = list.iter().flat_map(|&(a, b)| [a, b]).find(|joint| !seen.insert(*joint)) {
                return Err(wrong("flip_pairs", format!("{:?} is in two pairs", skeleton.joints[twice])));
            }
            skeleton.mirrors = true;
        }
        skeleton.bones = bones.unwrap_or(skeleton.bones);
        skeleton.flip_pairs = flip_pairs.unwrap_or(skeleton.flip_pairs);
        skeleton.upper_body = upper_body.unwrap_or(skeleton.upper_body);
        skeleton.mirrors = self.mirrors.unwrap_or(skeleton.mirrors);
        match &self.sigmas {
            None => {}
            Some(Sigmas::All(sigma)) => skeleton.sigmas = vec![*sigma; count],
            Some(Sigmas::Each(sigmas)) => skeleton.sigmas.clone_from(sigmas),
        }
        if skeleton.sigmas.len() != count || !skeleton.sigmas.iter().all(|sigma| sigma.is_finite() && *sigma > 0.0) {
            return Err(wrong("sigmas", format!("must be a number above 0, or {count} of them, one a joint")));
        }
        if let Some(name) = &self.name {
            skeleton.name.clone_from(name);
        }
        if let Some(category) = &self.category {
            skeleton.category.clone_from(category);
        }
        Ok(skeleton)
    }
}

impl From<&Skeleton> for SkeletonTable {
    fn from(skeleton: &Skeleton) -> Self {
        let pairs = |pairs: &[(usize, usize)]| {
            Some(pairs.iter().map(|&(a, b)| [JointName::Place(a), JointName::Place(b)]).collect())
        };
        Self {
            name: Some(skeleton.name.clone()),
            joints: Some(skeleton.joints.clone()),
            bones: pairs(&skeleton.bones),
            flip_pairs: pairs(&skeleton.flip_pairs),
            upper_body: Some(skeleton.upper_body.iter().copied().map(JointName::Place).collect()),
            mirrors: Some(skeleton.mirrors),
            sigmas: Some(Sigmas::Each(skeleton.sigmas.clone())),
            category: Some(skeleton.category.clone()),
        }
    }
}

/// The place of a joint of the table.
fn place(skeleton: &Skeleton, key: &str, joint: &JointName) -> Result<usize, DataError> {
    let found = match joint {
        JointName::Place(place) => Some(*place).filter(|place| *place < skeleton.joints.len()),
        JointName::Name(name) => skeleton.joint(name),
    };
    found.ok_or_else(|| {
        let (joint, known) = match joint {
            JointName::Place(place) => (place.to_string(), format!("joints 0 to {}", skeleton.joints.len() - 1)),
            JointName::Name(name) => (format!("{name:?}"), skeleton.joints.join(", ")),
        };
        DataError::Unsuitable(format!("`skeleton.{key}`: there is no joint {joint}; there are {known}"))
    })
}

#[cfg(test)]
mod tests {
    use super::super::skeleton::{COCO, skeletons};
    use super::*;

    fn table(text: &str) -> SkeletonTable {
        toml::from_str(text).expect("it is a table")
    }

    #[test]
    fn a_skeleton_survives_being_written_and_read() {
        for skeleton in skeletons() {
            let text = toml::to_string(&SkeletonTable::from(&**skeleton)).expect("it can be written");
            let read = SkeletonTable::skeleton_of(Some(&table(&text)), DataKind::Coco).expect("it is whole");
            assert_eq!(*read, **skeleton);
        }
        assert_eq!(*SkeletonTable::skeleton_of(None, DataKind::Coco).expect("it is known"), **COCO);
    }

    #[test]
    fn a_table_names_joints_or_counts_them() {
        let text =
            "joints = [\"tip\", \"L_Eye\", \"R_Eye\"]\nbones = [[\"tip\", \"l eye\"], [0, \"R_Eye\"]]\nsigmas = 0.1";
        let skeleton = SkeletonTable::skeleton_of(Some(&table(text)), DataKind::Coco).expect("it is whole");
        assert_eq!((&skeleton.bones[..], &skeleton.flip_pairs[..]), (&[(0, 1), (0, 2)][..], &[(1, 2)][..]));
        assert_eq!((&skeleton.sigmas[..], skeleton.mirrors), (&[0.1; 3][..], true));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let message = |text: &str| {
            let joints = format!("joints = [\"a\", \"b\", \"c\"]\n{text}");
            SkeletonTable::skeleton_of(Some(&table(&joints)), DataKind::Coco).expect_err("it is wrong").to_string()
        };
        assert!(
            message("bones = [[\"a\", \"d\"]]")
                .contains("`skeleton.bones`: there is no joint \"d\"; there are a, b, c")
        );
        assert!(message("bones = [[0, 3]]").contains("no joint 3; there are joints 0 to 2"));
        assert!(message("bones = [[1, \"b\"]]").contains("\"b\" is joined with itself"));
        assert!(message("flip_pairs = [[0, 1], [1, 2]]").contains("\"b\" is in two pairs"));
        assert!(message("sigmas = [0.1, 0.2]").contains("one a joint"));
        assert!(message("sigmas = 0").contains("above 0"));
        assert!(SkeletonTable::skeleton_of(Some(&table("joints = []")), DataKind::Coco).is_err());
    }
}
