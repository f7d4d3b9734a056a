//! The pictures of a data set, from a folder or from a zip file.

use super::decode::LONGEST_FILE;
use super::{DataError, ExifOrientation, Size, decode, files};
use image::RgbImage;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use zip::ZipArchive;
use zip::result::ZipError;

/// Parents of a folder of pictures in which names that begin with folders are looked for.
const PARENTS: usize = 2;

/// Where pictures are found by name.
pub struct Pictures {
    place: PathBuf,
    source: Source,
    /// Whether a picture was turned, which is said once.
    turned: AtomicBool,
}

enum Source {
    Folder,
    /// Held only while a file is unpacked, not while it is decoded.
    Zip(Mutex<ZipArchive<BufReader<File>>>),
}

impl Pictures {
    /// Opens the folder `place`, or where there is none the zip file `place.zip` beside it. `place` may itself be a zip
    /// file, with or without the `@` that the public HRNet code puts after its name.
    ///
    /// # Errors
    /// Where there is neither, or the zip file cannot be read. `advice` says where to get the pictures.
    pub fn open(place: &Path, advice: &str) -> Result<Pictures, DataError> {
        if place.is_dir() {
            return Ok(Pictures { place: place.to_path_buf(), source: Source::Folder, turned: AtomicBool::default() });
        }
        let name = place.as_os_str().to_string_lossy();
        let named = name.trim_end_matches('@');
        let zip = PathBuf::from(if named.ends_with(".zip") { named.to_string() } else { format!("{named}.zip") });
        if !zip.is_file() {
            let advice = format!("there is no {} either; {advice}", zip.display());
            return Err(DataError::Missing { path: place.to_path_buf(), advice });
        }
        let file = File::open(&zip).map_err(|source| DataError::Read { path: zip.clone(), source })?;
        let archive = ZipArchive::new(BufReader::new(file))
            .map_err(|error| DataError::Annotation { path: zip.clone(), problem: error.to_string() })?;
        Ok(Pictures { place: zip, source: Source::Zip(Mutex::new(archive)), turned: AtomicBool::default() })
    }

    /// Decodes the picture `file` as it is stored. `name` is the person's, for messages.
    ///
    /// `file` is looked for in the folder; where it begins with folders, from the folder's parents on, too; and with `/`
    /// for `\`, as programs on Windows write paths. In a zip file it lies at the top, or in a folder named like the zip
    /// file.
    ///
    /// # Errors
    /// Where the file is missing or broken.
    pub fn read(&self, file: &str, name: &str) -> Result<RgbImage, DataError> {
        self.decode(file, name, ExifOrientation::Ignore)
    }

    /// Decodes the picture `file`, for which there is an annotation of that size: turned as EXIF says where only that
    /// gives the size. A size with a side of 0 is not known. Otherwise as [`read`](Self::read).
    ///
    /// # Errors
    /// Where the file is missing, broken or of another size.
    pub fn read_sized(&self, file: &str, name: &str, size: Size) -> Result<RgbImage, DataError> {
        let known = size.height > 0 && size.width > 0;
        self.decode(file, name, if known { ExifOrientation::ToFit(size) } else { ExifOrientation::Ignore })
    }

    fn decode(&self, file: &str, name: &str, turned: ExifOrientation) -> Result<RgbImage, DataError> {
        let (path, bytes) = match &self.source {
            Source::Folder => {
                let path = self.find(file);
                let bytes = files::read(&path, &missing(name))?;
                (path, bytes)
            }
            Source::Zip(archive) => (self.place.join(file), self.unpack(archive, file, name)?),
        };
        let (picture, was_turned) = decode::decode(&bytes, turned).map_err(|source| DataError::Picture {
            name: name.to_string(),
            path: path.clone(),
            source,
        })?;
        if was_turned && !self.turned.swap(true, Ordering::Relaxed) {
            let path = path.display();
            tracing::warn!(
                "{path} is turned as its EXIF orientation says, since that gives the size of its annotation; so are all \
                 pictures like it"
            );
        }
        Ok(picture)
    }

    /// Where `file` lies; where it is not found, where it should.
    fn find(&self, file: &str) -> PathBuf {
        let slashed = file.replace('\\', "/");
        let parents = self.place.ancestors().take(if slashed.contains('/') { 1 + PARENTS } else { 1 });
        let mut places = parents.flat_map(|place| [place.join(file), place.join(&slashed)]);
        places.find(|path| path.is_file()).unwrap_or_else(|| self.place.join(file))
    }

    /// Whether there is a file of that name.
    pub fn has(&self, file: &str) -> bool {
        match &self.source {
            Source::Folder => self.place.join(file).is_file(),
            Source::Zip(archive) => {
                let archive = archive.lock().unwrap_or_else(PoisonError::into_inner);
                self.entries(file).iter().any(|entry| archive.index_for_name(entry).is_some())
            }
        }
    }

    /// Width and height of a picture as its file has them; `None` where it is missing or broken.
    pub fn size(&self, file: &str) -> Option<Size> {
        let bytes = match &self.source {
            // The head of a file is enough.
            Source::Folder => {
                let reader = image::ImageReader::open(self.place.join(file)).ok()?.with_guessed_format().ok()?;
                let (width, height) = reader.into_dimensions().ok()?;
                return Some(Size::new(height, width));
            }
            Source::Zip(archive) => self.unpack(archive, file, "").ok()?,
        };
        let reader = image::ImageReader::new(std::io::Cursor::new(bytes)).with_guessed_format().ok()?;
        let (width, height) = reader.into_dimensions().ok()?;
        Some(Size::new(height, width))
    }

    /// The names that a file may have in the zip file.
    fn entries(&self, file: &str) -> [String; 3] {
        let stem = self.place.file_stem().unwrap_or_default().to_string_lossy();
        let slashed = file.replace('\\', "/");
        let inner = slashed.strip_prefix(&format!("{stem}/")).unwrap_or(&slashed).to_string();
        [file.to_string(), format!("{stem}/{inner}"), inner]
    }

    fn unpack(
        &self,
        archive: &Mutex<ZipArchive<BufReader<File>>>,
        file: &str,
        name: &str,
    ) -> Result<Vec<u8>, DataError> {
        let path = self.place.join(file);
        // A thread that panicked in between leaves nothing half done: every entry is sought anew.
        let mut archive = archive.lock().unwrap_or_else(PoisonError::into_inner);
        for entry in self.entries(file) {
            let entry = match archive.by_name(&entry) {
                Err(ZipError::FileNotFound) => continue,
                entry => {
                    entry.map_err(|error| DataError::Annotation { path: path.clone(), problem: error.to_string() })?
                }
            };
            let mut bytes = Vec::new();
            entry
                .take(LONGEST_FILE)
                .read_to_end(&mut bytes)
                .map_err(|source| DataError::Read { path: path.clone(), source })?;
            return Ok(bytes);
        }
        Err(DataError::Missing { path, advice: missing(name) })
    }
}

fn missing(name: &str) -> String {
    format!("the picture of {name} is missing from the data set")
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{ImageFormat, Rgb};
    use std::io::{Cursor, Write};
    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    fn png(level: u8) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        let picture = RgbImage::from_pixel(40, 30, Rgb([level; 3]));
        picture.write_to(&mut bytes, ImageFormat::Png).expect("memory is writable");
        bytes.into_inner()
    }

    #[test]
    fn a_zip_file_beside_or_in_place_of_the_folder_gives_the_same_pictures() {
        let root = std::env::temp_dir().join(format!("ditn-pictures-{}", std::process::id()));
        std::fs::create_dir_all(&root).expect("the temporary folder is writable");
        let mut zip = ZipWriter::new(File::create(root.join("train.zip")).expect("the folder is writable"));
        for (name, level) in [("a.png", 10), ("train/b.png", 20)] {
            zip.start_file(name, SimpleFileOptions::default()).expect("the name is new");
            zip.write_all(&png(level)).expect("the folder is writable");
        }
        zip.finish().expect("the folder is writable");
        let level =
            |pictures: &Pictures, file: &str| pictures.read(file, "someone").map(|picture| picture[(3, 3)].0[0]);
        for place in ["train", "train.zip", "train.zip@"] {
            let pictures = Pictures::open(&root.join(place), "").expect("the zip file is there");
            assert_eq!([level(&pictures, "a.png").ok(), level(&pictures, "b.png").ok()], [Some(10), Some(20)]);
            assert_eq!(level(&pictures, "train/a.png").ok(), Some(10));
            assert_eq!(level(&pictures, "train\\b.png").ok(), Some(20));
            let error = level(&pictures, "c.png").expect_err("it is not there").to_string();
            assert!(error.contains("train.zip/c.png") && error.contains("someone"), "{error}");
        }
        std::fs::create_dir(root.join("train")).expect("the folder is writable");
        std::fs::write(root.join("train/a.png"), png(30)).expect("the folder is writable");
        let folder = Pictures::open(&root.join("train"), "").expect("the folder is there");
        assert_eq!(level(&folder, "a.png").ok(), Some(30));
        assert!(level(&folder, "b.png").is_err());
        // Names with folders, as merged sets and programs on Windows write them.
        for file in ["train/a.png", "train\\a.png", "./a.png"] {
            assert_eq!(level(&folder, file).ok(), Some(30), "{file}");
        }
        std::fs::write(root.join("d.png"), png(40)).expect("the folder is writable");
        assert!(level(&folder, "d.png").is_err(), "a bare name is not looked for elsewhere");
        assert!(folder.read_sized("a.png", "", Size::new(30, 40)).is_ok());
        let error = folder.read_sized("a.png", "someone", Size::new(40, 30)).expect_err("it lies").to_string();
        assert!(error.contains("someone") && error.contains("a.png: the picture is 40 wide"), "{error}");
        std::fs::write(root.join("broken.zip"), "PK").expect("the folder is writable");
        assert!(Pictures::open(&root.join("broken"), "").is_err());
        let error = Pictures::open(&root.join("val"), "get it there").err().map(|error| error.to_string());
        assert!(error.is_some_and(|error| error.contains("val.zip") && error.contains("get it there")));
        std::fs::remove_dir_all(&root).ok();
    }
}
