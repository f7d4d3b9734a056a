//! Left and right in the names of joints, as the tools for labelling and their users write them.

use std::collections::{HashMap, HashSet};

/// The side of the body that a joint or a bone belongs to: the person's own left and right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The person's left.
    Left,
    /// The person's right.
    Right,
    /// On the axis of the body.
    Middle,
}

/// Words for the two sides.
const WORDS: [(&str, &str); 4] = [("left", "right"), ("l", "r"), ("lt", "rt"), ("lft", "rgt")];

/// Words that say nothing about a joint.
const EMPTY_WORDS: [&str; 11] =
    ["joint", "keypoint", "key", "kp", "kpt", "point", "pt", "landmark", "label", "node", "p"];

/// Joints of one name that are told apart by a number: more of them than this are points of an outline, whose numbers
/// hide which is left and which is right.
const LONGEST_SERIES: usize = 8;

/// Pairs of the 68 points of a face in the order of iBUG's 300-W, which COCO-WholeBody has as `face-0` to `face-67`.
const FACE: [(usize, usize); 29] = [
    (0, 16),
    (1, 15),
    (2, 14),
    (3, 13),
    (4, 12),
    (5, 11),
    (6, 10),
    (7, 9),
    (17, 26),
    (18, 25),
    (19, 24),
    (20, 23),
    (21, 22),
    (31, 35),
    (32, 34),
    (36, 45),
    (37, 44),
    (38, 43),
    (39, 42),
    (40, 47),
    (41, 46),
    (48, 54),
    (49, 53),
    (50, 52),
    (55, 59),
    (56, 58),
    (60, 64),
    (61, 63),
    (65, 67),
];

/// What the names of joints say about a mirror.
#[derive(Clone, Debug, PartialEq)]
pub enum Mirror {
    /// These joints exchange places, the others keep theirs.
    Pairs(Vec<(usize, usize)>),
    /// They do not say which joint takes whose place; why not.
    Unknown(String),
}

/// The words of a name in small letters: `L_F_Paw`, `leftEye`, `REye`, `thumb1`.
fn words(name: &str) -> Vec<String> {
    let letters: Vec<char> = name.chars().collect();
    let mut words: Vec<String> = vec![String::new()];
    for (at, &here) in letters.iter().enumerate() {
        let before = at.checked_sub(1).map(|before| letters[before]);
        let begins = before.is_some_and(|before| {
            let capital = here.is_uppercase()
                && (before.is_lowercase() || letters.get(at + 1).is_some_and(|next| next.is_lowercase()));
            capital || before.is_numeric() != here.is_numeric()
        });
        if begins || !here.is_alphanumeric() {
            words.push(String::new());
        }
        if here.is_alphanumeric()
            && let Some(word) = words.last_mut()
        {
            word.extend(here.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// The same for names that differ only in how words are joined: `left_eye`, `leftEye`, `Left Eye`.
pub(super) fn plain(name: &str) -> String {
    words(name).join(" ")
}

fn opposite(word: &str) -> Option<(Side, &'static str)> {
    WORDS.iter().find_map(|&(left, right)| match word {
        _ if word == left => Some((Side::Left, right)),
        _ if word == right => Some((Side::Right, left)),
        _ => None,
    })
}

/// Plain names that the joint on the other side could have, each with the side that this one is then on.
fn mirrored(name: &str) -> Vec<(Side, String)> {
    let words = words(name);
    let mut names = Vec::new();
    for (at, word) in words.iter().enumerate() {
        let mut replace = |side: Side, by: String| {
            let mut mirrored = words.clone();
            mirrored[at] = by;
            names.push((side, mirrored.join(" ")));
        };
        if let Some((side, other)) = opposite(word) {
            replace(side, other.to_owned());
        }
        // lefteye, eyeleft
        for (side, here, there) in [(Side::Left, "left", "right"), (Side::Right, "right", "left")] {
            if let Some(rest) = word.strip_prefix(here).filter(|rest| !rest.is_empty()) {
                replace(side, format!("{there}{rest}"));
            }
            if let Some(rest) = word.strip_suffix(here).filter(|rest| !rest.is_empty()) {
                replace(side, format!("{rest}{there}"));
            }
        }
    }
    let all: Vec<&str> = words.iter().map(|word| opposite(word).map_or(word.as_str(), |(_, other)| other)).collect();
    if let Some((side, _)) = words.iter().find_map(|word| opposite(word)) {
        names.push((side, all.join(" ")));
    }
    // Leye and Reye
    for (side, here, there) in [(Side::Left, 'L', 'r'), (Side::Right, 'R', 'l')] {
        if let Some(rest) = name.strip_prefix(here).filter(|rest| rest.starts_with(|next: char| next.is_lowercase())) {
            names.push((side, plain(&format!("{there}{rest}"))));
        }
    }
    names
}

/// The side of the joint called `name`, whose partner in a mirrored picture is called `partner`.
pub(super) fn side(name: &str, partner: Option<&str>) -> Side {
    let spelled = || {
        let side = |word: &String| opposite(word).filter(|_| word.len() > 3).map(|(side, _)| side);
        words(name).iter().find_map(side).unwrap_or(Side::Middle)
    };
    let Some(partner) = partner.map(plain) else { return spelled() };
    mirrored(name).into_iter().find(|(_, other)| *other == partner).map_or_else(spelled, |(side, _)| side)
}

/// Which joints exchange places in a mirrored picture, by their names.
pub fn mirror(names: &[String]) -> Mirror {
    // Of joints with the same name (the wrist of the body and that of the hand) the first is the first's partner.
    let mut places: HashMap<String, Vec<usize>> = HashMap::new();
    for (joint, name) in names.iter().enumerate() {
        places.entry(plain(name)).or_default().push(joint);
    }
    let mut pairs: Vec<(usize, usize)> = Vec::new();
    let mut paired: HashSet<usize> = HashSet::new();
    for (joint, name) in names.iter().enumerate() {
        if paired.contains(&joint) {
            continue;
        }
        let mirrored = mirrored(name);
        let others = mirrored.iter().filter_map(|(_, other)| places.get(other)).flatten().copied();
        let partner = others.filter(|other| *other != joint).find(|other| !paired.contains(other));
        if let Some(partner) = partner {
            paired.extend([joint, partner]);
            pairs.push((joint.min(partner), joint.max(partner)));
        }
    }
    pairs.extend(face(&places));
    paired.extend(pairs.iter().flat_map(|&(a, b)| [a, b]));
    let alone = |&joint: &usize| !paired.contains(&joint);
    let has_a_side = |joint: &usize| side(&names[*joint], None) != Side::Middle;
    if let Some(joint) = (0..names.len()).filter(alone).find(has_a_side) {
        return Mirror::Unknown(format!("{:?} has no partner on the other side", names[joint]));
    }
    if names.len() > 1
        && let Some(name) = unnamed(names, &paired)
    {
        return Mirror::Unknown(format!("names such as {name:?} do not tell left from right"));
    }
    pairs.sort_unstable();
    Mirror::Pairs(pairs)
}

/// The pairs of the face's 68 points, where they are there.
fn face(places: &HashMap<String, Vec<usize>>) -> Vec<(usize, usize)> {
    let points = |first: usize| -> Option<Vec<usize>> {
        (first..first + 68).map(|number| Some(places.get(&format!("face {number}"))?[0])).collect()
    };
    // One point more would be another scheme.
    let points = points(0).or_else(|| points(1)).filter(|_| !places.contains_key("face 69"));
    points.map_or_else(Vec::new, |points| FACE.iter().map(|&(a, b)| (points[a], points[b])).collect())
}

/// A joint without a partner whose name is a number, or one of a long series.
fn unnamed<'a>(names: &'a [String], paired: &HashSet<usize>) -> Option<&'a String> {
    let is_number = |word: &String| word.chars().all(char::is_numeric);
    let stem = |name: &String| -> Vec<String> {
        words(name).into_iter().filter(|word| !is_number(word) && !EMPTY_WORDS.contains(&word.as_str())).collect()
    };
    let mut series: HashMap<Vec<String>, usize> = HashMap::new();
    let numbered = |name: &String| words(name).iter().any(is_number);
    // The face's points on its axis are of a series, but a known one.
    let alone = |&joint: &usize| !paired.contains(&joint);
    for joint in (0..names.len()).filter(alone).filter(|&joint| numbered(&names[joint])) {
        *series.entry(stem(&names[joint])).or_default() += 1;
    }
    let known = names.iter().enumerate().any(|(joint, name)| paired.contains(&joint) && plain(name) == "face 1");
    (0..names.len()).filter(alone).map(|joint| &names[joint]).find(|name| {
        let stem = stem(name);
        let known = known && stem == ["face"];
        !known && (stem.is_empty() || series.get(&stem).is_some_and(|&count| count > LONGEST_SERIES))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &str) -> Vec<String> {
        names.split(',').map(str::to_owned).collect()
    }

    fn pairs(list: &str) -> Vec<(usize, usize)> {
        match mirror(&names(list)) {
            Mirror::Pairs(pairs) => pairs,
            Mirror::Unknown(why) => panic!("{list}: {why}"),
        }
    }

    #[test]
    fn left_and_right_are_found_however_they_are_written() {
        for list in [
            "nose,left_eye,right_eye",
            "nose,Left Eye,Right Eye",
            "nose,leftEye,rightEye",
            "nose,lefteye,righteye",
            "nose,eye-left,eye-right",
            "nose,L_Eye,R_Eye",
            "nose,l_eye,r_eye",
            "nose,eye.L,eye.R",
            "nose,eyeL,eyeR",
            "nose,LEye,REye",
            "nose,Leye,Reye",
            "nose,lt_eye,rt_eye",
            "nose,EYE_LEFT,EYE_RIGHT",
            "nose,l1,r1",
        ] {
            assert_eq!(pairs(list), [(1, 2)], "{list}");
            let names = names(list);
            let sides = [side(&names[1], Some(&names[2])), side(&names[2], Some(&names[1])), side(&names[0], None)];
            assert_eq!(sides, [Side::Left, Side::Right, Side::Middle], "{list}");
        }
        // Rear paws of both sides; a letter of its own is no side without a partner.
        assert_eq!(pairs("L_F_Paw,R_F_Paw,L_R_Paw,R_R_Paw"), [(0, 1), (2, 3)]);
        assert_eq!(pairs("vertebra L,tail,neck"), []);
        assert_eq!(
            pairs("left_wrist,right_wrist,left_wrist,left_thumb,right_wrist,right_thumb"),
            [(0, 1), (2, 4), (3, 5)]
        );
        assert_eq!(side("vertebra L", None), Side::Middle);
        assert_eq!(side("left ear", None), Side::Left);
    }

    #[test]
    fn a_hand_has_no_pairs_and_a_mirror_does_no_harm() {
        let fingers = ["thumb", "forefinger", "middle_finger", "ring_finger", "pinky_finger"];
        let joints = fingers.iter().flat_map(|finger| (1..=4).map(move |joint| format!("{finger}{joint}")));
        let hand: Vec<String> = std::iter::once("wrist".to_owned()).chain(joints).collect();
        assert_eq!(mirror(&hand), Mirror::Pairs(Vec::new()));
    }

    #[test]
    fn names_that_do_not_tell_are_not_mirrored() {
        let unknown = |list: &str| match mirror(&names(list)) {
            Mirror::Unknown(why) => why,
            Mirror::Pairs(pairs) => panic!("{list}: {pairs:?}"),
        };
        assert!(unknown("0,1,2").contains("\"0\""));
        assert!(unknown("joint 1,kp_2").contains("do not tell"));
        assert!(unknown("nose,left_eye").contains("\"left_eye\" has no partner"));
        let outline: Vec<String> = (0..98).map(|point| format!("face-{point}")).collect();
        assert!(matches!(mirror(&outline), Mirror::Unknown(_)));
        assert_eq!(mirror(&names("7")), Mirror::Pairs(Vec::new()), "there is nothing to exchange");
    }

    #[test]
    fn the_faces_68_points_have_known_partners() {
        let face: Vec<String> = (0..68).map(|point| format!("face-{point}")).collect();
        let Mirror::Pairs(pairs) = mirror(&face) else { panic!("they are known") };
        assert_eq!(pairs.len(), 29);
        // Outline, brows, nose, eyes and mouth mirror onto themselves: the numbers of each pair add up as they must.
        let sums = |range: std::ops::Range<usize>, sum: usize| {
            pairs.iter().filter(|(a, _)| range.contains(a)).all(|(a, b)| a + b == sum)
        };
        assert!(sums(0..17, 16) && sums(17..27, 43) && sums(31..36, 66));
    }
}
