//! Leeds Sports Pose (Johnson and Everingham, BMVC 2010) and its extended training set (CVPR 2011), in the layout of
//! their releases: a folder with `joints.mat` and `images/` (or `images.zip`).
//!
//! The coordinates are taken as they stand in the file.

use super::crop::box_of_joints;
use super::mat::{self, Numbers};
use super::skeleton::{LSP, Skeleton};
use super::{Annotation, DataError, Dataset, Joint, Person, Pictures};
use std::path::Path;
use std::sync::Arc;

const ADVICE: &str = "expected the folder of the release, with joints.mat and images/ \
                      (http://sam.johnson.io/research/lsp.html, lspet.html)";

/// People with fewer labelled joints than this are left out of the extended set.
pub const FEWEST_JOINTS: usize = 8;

/// One of the splits of the two releases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeedsSplit {
    /// People 1 to 1000 of Leeds Sports Pose.
    Training,
    /// People 1001 to 2000 of Leeds Sports Pose.
    Test,
    /// Everyone in the extended set who has at least [`FEWEST_JOINTS`] labelled joints.
    Extended,
}

/// A split of Leeds Sports Pose or of its extension.
///
/// A person's box is the box around the labelled joints, its longer side in both directions, 1.25 times as large.
pub struct Leeds {
    split: LeedsSplit,
    images: Pictures,
    people: Vec<(usize, Vec<Joint>)>,
}

impl Leeds {
    /// Reads the annotations of the release in `folder`; pictures are read when a person is loaded.
    ///
    /// # Errors
    /// Where the folder, `joints.mat` or `images/` is missing, or the annotations are not those of the release.
    pub fn open(folder: &Path, split: LeedsSplit) -> Result<Leeds, DataError> {
        if !folder.is_dir() {
            return Err(DataError::Missing { path: folder.to_path_buf(), advice: ADVICE.to_string() });
        }
        let images = Pictures::open(&folder.join("images"), ADVICE)?;
        let people = read_people(&folder.join("joints.mat"), split)?;
        Ok(Leeds { split, images, people })
    }

    fn person(&self, index: usize) -> Result<&(usize, Vec<Joint>), DataError> {
        self.people.get(index).ok_or_else(|| DataError::Index {
            dataset: self.name().to_string(),
            len: self.people.len(),
            index,
        })
    }

    fn file(&self, number: usize) -> String {
        match self.split {
            LeedsSplit::Extended => format!("im{number:05}.jpg"),
            _ => format!("im{number:04}.jpg"),
        }
    }
}

/// The joints of the people of a split, from the release's `joints.mat`.
///
/// # Errors
/// Where the file is missing or is not that of the release.
pub fn read_joints(joints: &Path, split: LeedsSplit) -> Result<Vec<Vec<Joint>>, DataError> {
    Ok(read_people(joints, split)?.into_iter().map(|(_, joints)| joints).collect())
}

fn read_people(path: &Path, split: LeedsSplit) -> Result<Vec<(usize, Vec<Joint>)>, DataError> {
    let numbers = mat::read(path, "joints", ADVICE)?;
    people(&numbers, split).map_err(|problem| DataError::Annotation { path: path.to_path_buf(), problem })
}

/// The people of a split with their numbers in the release, from 1; or what is wrong with the array.
fn people(numbers: &Numbers, split: LeedsSplit) -> Result<Vec<(usize, Vec<Joint>)>, String> {
    // Leeds Sports Pose is [x y occluded][joint][person], the extension [joint][x y labelled][person].
    let (row, column, count) = match (split, numbers.shape.as_slice()) {
        (LeedsSplit::Extended, &[14, 3, count]) => (14, 1, count),
        (LeedsSplit::Training | LeedsSplit::Test, &[3, 14, 2000]) => (1, 3, 2000),
        (LeedsSplit::Extended, shape) => {
            return Err(format!("`joints` has the shape {shape:?}; that of the extended set is [14, 3, people]"));
        }
        (_, shape) => return Err(format!("`joints` has the shape {shape:?}; that of the release is [3, 14, 2000]")),
    };
    let (range, fewest) = match split {
        LeedsSplit::Training => (0..1000, 1),
        LeedsSplit::Test => (1000..2000, 1),
        LeedsSplit::Extended => (0..count, FEWEST_JOINTS),
    };
    let joints = |person: usize| -> Vec<Joint> {
        let joint = |joint: usize| {
            let at = |value: usize| numbers.values[person * 42 + joint * column + value * row];
            let (x, y, flag) = (at(0) as f32, at(1) as f32, at(2) != 0.0);
            match split {
                LeedsSplit::Extended => Joint { x, y, labelled: flag, visible: flag },
                _ => Joint { x, y, labelled: true, visible: !flag },
            }
        };
        (0..14).map(joint).collect()
    };
    let everyone = range.map(|person| (person + 1, joints(person)));
    let people: Vec<_> =
        everyone.filter(|(_, joints)| joints.iter().filter(|j| j.labelled).count() >= fewest).collect();
    match people.iter().find(|(_, joints)| joints.iter().any(|j| j.labelled && !(j.x.is_finite() && j.y.is_finite()))) {
        Some((number, _)) => Err(format!("person {number} has a labelled joint that is not finite")),
        None => Ok(people),
    }
}

impl Dataset for Leeds {
    fn name(&self) -> &str {
        match self.split {
            LeedsSplit::Training => "LSP 1-1000",
            LeedsSplit::Test => "LSP 1001-2000",
            LeedsSplit::Extended => "LSP extended",
        }
    }

    fn skeleton(&self) -> &Arc<Skeleton> {
        &LSP
    }

    fn len(&self) -> usize {
        self.people.len()
    }

    fn annotation(&self, _pass: u64, index: usize) -> Result<Annotation, DataError> {
        let (number, joints) = self.person(index)?;
        let name = format!("{} {}", self.name(), self.file(*number));
        let (center, scale) = box_of_joints(joints, true)
            .ok_or_else(|| DataError::Unsuitable(format!("{name}: no joint is labelled")))?;
        Ok(Annotation { name, joints: joints.clone(), center, scale, head_size: None })
    }

    fn load(&self, pass: u64, index: usize) -> Result<Person, DataError> {
        let annotation = self.annotation(pass, index)?;
        let picture = self.images.read(&self.file(self.person(index)?.0), &annotation.name)?;
        Ok(Person::new(annotation, picture))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::RgbImage;
    use matrw::{MatFile, NumericArray};
    use std::path::PathBuf;

    fn numbers(shape: [usize; 3], value: impl Fn([usize; 3]) -> f64) -> Numbers {
        let [a, b, c] = shape;
        let index = |i: usize| [i % a, i / a % b, i / (a * b)];
        Numbers { shape: shape.to_vec(), values: (0..a * b * c).map(|i| value(index(i))).collect() }
    }

    #[test]
    fn leeds_sports_pose_is_split_in_halves_and_its_flag_means_occluded() {
        let numbers = numbers([3, 14, 2000], |[row, joint, person]| match row {
            0 => person as f64 + joint as f64 / 100.0,
            1 => 500.0 - joint as f64,
            _ => f64::from(u8::from(joint == 4)),
        });
        for (split, first) in [(LeedsSplit::Training, 1), (LeedsSplit::Test, 1001)] {
            let people = people(&numbers, split).expect("the shape is right");
            assert_eq!((people.len(), people[0].0), (1000, first));
            let joint = people[7].1[4];
            assert_eq!(joint, Joint { x: first as f32 + 6.04, y: 496.0, labelled: true, visible: false });
            assert!(people[7].1[5].visible);
        }
    }

    #[test]
    fn the_extended_set_drops_people_with_few_labelled_joints_and_keeps_numbers() {
        // Person p (from 0) has p + 5 labelled joints.
        let numbers = numbers([14, 3, 9], |[joint, row, person]| match row {
            0 => joint as f64,
            1 => person as f64,
            _ => f64::from(u8::from(joint < person + 5)),
        });
        let people = people(&numbers, LeedsSplit::Extended).expect("the shape is right");
        assert_eq!(people.iter().map(|person| person.0).collect::<Vec<_>>(), [4, 5, 6, 7, 8, 9]);
        assert_eq!(people[0].1[7], Joint { x: 7.0, y: 3.0, labelled: true, visible: true });
        assert!(!people[0].1[8].labelled);
    }

    #[test]
    fn the_array_of_the_other_release_is_refused_with_both_shapes() {
        let problem = people(&numbers([14, 3, 2000], |_| 0.0), LeedsSplit::Test).expect_err("the shape is wrong");
        assert!(problem.contains("[14, 3, 2000]") && problem.contains("[3, 14, 2000]"), "{problem}");
    }

    /// A folder of the release's layout with one-coloured pictures, removed when dropped.
    struct Release(PathBuf);

    impl Release {
        fn new(name: &str, shape: [usize; 3]) -> Release {
            let folder = std::env::temp_dir().join(format!("ditn-leeds-{}-{name}", std::process::id()));
            std::fs::create_dir_all(folder.join("images")).expect("the temporary folder can be written");
            let values: Vec<f64> = numbers(shape, |[a, b, c]| (1 + a + 10 * b + c % 7) as f64).values;
            let array = NumericArray::new(shape.to_vec(), MatlabType::F64(values), None).expect("the shape fits");
            let mut file = MatFile::new();
            file.insert("joints", MatVariable::NumericArray(array));
            let path = folder.join("joints.mat");
            matrw::save_matfile_v7(&path.to_string_lossy(), file, true).expect("the file can be written");
            Release(folder)
        }
    }

    impl Drop for Release {
        fn drop(&mut self) {
            drop(std::fs::remove_dir_all(&self.0));
        }
    }

    use matrw::{MatVariable, MatlabType};

    #[test]
    fn a_person_is_loaded_with_the_picture_of_the_same_number() {
        let release = Release::new("load", [3, 14, 2000]);
        let picture = RgbImage::from_pixel(30, 20, image::Rgb([9, 8, 7]));
        let path = release.0.join("images/im1003.jpg");
        picture.save_with_format(&path, image::ImageFormat::Png).expect("the picture can be written");
        let test = Leeds::open(&release.0, LeedsSplit::Test).expect("the release is whole");
        let person = test.load(0, 2).expect("the picture is there");
        assert_eq!(person.picture, picture);
        assert_eq!(person.name, "LSP 1001-2000 im1003.jpg");
        let error = test.load(0, 3).expect_err("that picture is not there").to_string();
        assert!(error.contains("im1004.jpg"), "{error}");
        std::fs::write(&path, b"\xff\xd8\xff\xe0 not a picture").expect("the picture can be written");
        let error = test.load(0, 2).expect_err("that picture is broken").to_string();
        assert!(error.contains("im1003.jpg") && error.contains("broken"), "{error}");
        assert!(test.load(0, 1000).is_err());
    }

    #[test]
    fn what_is_missing_or_broken_is_named() {
        let release = Release::new("broken", [14, 3, 20]);
        let message = |split| Leeds::open(&release.0, split).err().map(|error| error.to_string()).unwrap_or_default();
        assert_eq!(message(LeedsSplit::Extended), "");
        assert!(message(LeedsSplit::Training).contains("joints.mat"));
        let path = release.0.join("joints.mat");
        let bytes = std::fs::read(&path).expect("the file is there");
        for length in [0, 60, 128, 140, bytes.len() / 2] {
            std::fs::write(&path, &bytes[..length]).expect("the file can be written");
            assert!(message(LeedsSplit::Extended).contains("joints.mat"), "{length} bytes");
        }
        std::fs::remove_file(&path).expect("the file is there");
        assert!(message(LeedsSplit::Extended).contains("joints.mat: not found"));
        std::fs::remove_dir(release.0.join("images")).expect("the folder is empty");
        assert!(message(LeedsSplit::Extended).contains("images: not found"));
    }
}
