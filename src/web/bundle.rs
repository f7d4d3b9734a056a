//! The files of a bundle as they are gathered and written.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use half::f16;
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde::Serialize;

use super::plan::PlanFile;
use super::{Summary, WebError};
use crate::files::write_atomically;
use crate::ir::Kernel;

/// Tensors of a file.
#[derive(Default)]
pub(super) struct Tensors(BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>);

impl Tensors {
    /// Float32.
    pub fn floats(&mut self, name: String, shape: Vec<usize>, numbers: &[f32]) {
        self.0.insert(name, (Dtype::F32, shape, bytemuck::cast_slice(numbers).to_vec()));
    }

    /// Float32, rounded to 16 bits.
    ///
    /// # Errors
    /// [`WebError::TooLarge`] for a number that 16 bits cannot hold.
    pub fn halves(&mut self, name: String, shape: Vec<usize>, numbers: &[f32]) -> Result<(), WebError> {
        if let Some(&number) = numbers.iter().find(|&&number| !f16::from_f32(number).is_finite()) {
            return Err(WebError::TooLarge { name, number });
        }
        let bytes = numbers.iter().flat_map(|&number| f16::from_f32(number).to_le_bytes()).collect();
        self.0.insert(name, (Dtype::F16, shape, bytes));
        Ok(())
    }

    /// The 16 upper bits of numbers that are not negative, rounded up.
    pub fn upper_halves(&mut self, name: String, shape: Vec<usize>, numbers: &[f64]) {
        let upper = |number: f64| {
            let nearest = number as f32;
            let above = if f64::from(nearest) < number { nearest.next_up() } else { nearest };
            (above.to_bits().div_ceil(1 << 16) as u16).to_le_bytes()
        };
        self.0.insert(name, (Dtype::BF16, shape, numbers.iter().flat_map(|&number| upper(number)).collect()));
    }

    /// Words.
    pub fn words(&mut self, name: String, shape: Vec<usize>, words: &[u32]) {
        self.0.insert(name, (Dtype::U32, shape, bytemuck::cast_slice(words).to_vec()));
    }

    /// Signed words.
    pub fn integers(&mut self, name: String, shape: Vec<usize>, words: &[i32]) {
        self.0.insert(name, (Dtype::I32, shape, bytemuck::cast_slice(words).to_vec()));
    }
}

/// The files of a bundle, in memory until they are [written](Bundle::write) or [served](super::Server).
#[derive(Default)]
pub struct Bundle {
    files: BTreeMap<String, Vec<u8>>,
    kernels: BTreeSet<&'static str>,
    pub(super) kernel_cases: usize,
}

impl Bundle {
    /// The bytes of a file.
    pub fn file(&self, path: &str) -> Option<&[u8]> {
        self.files.get(path).map(Vec::as_slice)
    }

    /// How much there is.
    pub fn summary(&self) -> Summary {
        let bytes = self.files.values().map(Vec::len).sum();
        Summary { files: self.files.len(), bytes, kernel_cases: self.kernel_cases }
    }

    /// That a folder is new, empty or holds a bundle, be it an unfinished one.
    ///
    /// # Errors
    /// [`WebError::OtherFolder`], [`WebError::File`].
    pub fn check_folder(folder: &Path) -> Result<(), WebError> {
        let mut entries = match std::fs::read_dir(folder) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            entries => entries.map_err(|error| failed(folder, error))?,
        };
        let is_ours = entries.next().is_none() || [CONTENTS, FIRST].iter().any(|file| folder.join(file).is_file());
        if is_ours { Ok(()) } else { Err(WebError::OtherFolder { path: folder.to_owned() }) }
    }

    /// A hash of all files so far, which tells bundles apart.
    pub(super) fn id(&self) -> String {
        let bytes = self.files.iter().flat_map(|(path, bytes)| path.bytes().chain([0]).chain(bytes.iter().copied()));
        // FNV-1a, the same everywhere.
        let hash =
            bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        format!("{hash:016x}")
    }

    /// A file of these bytes at a path below the folder.
    pub(super) fn bytes(&mut self, path: &str, bytes: Vec<u8>) {
        self.files.insert(path.to_owned(), bytes);
    }

    /// A file of JSON.
    ///
    /// # Errors
    /// [`WebError::File`] for what JSON cannot hold.
    pub(super) fn json(&mut self, path: &str, value: &impl Serialize) -> Result<(), WebError> {
        let bytes = serde_json::to_vec(value).map_err(|error| failed(Path::new(path), error.into()))?;
        self.bytes(path, bytes);
        Ok(())
    }

    /// A plan with its kernels; returns the size of its file in bytes.
    ///
    /// # Errors
    /// As [`Bundle::json`].
    pub(super) fn plan(&mut self, path: &str, plan: &PlanFile) -> Result<usize, WebError> {
        self.kernels(plan.kernels());
        self.json(path, plan)?;
        Ok(self.files[path].len())
    }

    /// The shaders of these kernels.
    pub(super) fn kernels(&mut self, kernels: &[&'static Kernel]) {
        for kernel in kernels.iter().filter(|kernel| self.kernels.insert(kernel.name)) {
            self.files.insert(format!("shaders/{}.wgsl", kernel.name), kernel.source.as_bytes().to_vec());
        }
    }

    /// A file of tensors; returns its size in bytes.
    ///
    /// # Errors
    /// [`WebError::File`] where they are not what their shapes say.
    pub(super) fn tensors(&mut self, path: &str, tensors: &Tensors) -> Result<usize, WebError> {
        let problem = |error: safetensors::SafeTensorError| failed(Path::new(path), std::io::Error::other(error));
        let views = tensors.0.iter().map(|(name, (dtype, shape, bytes))| {
            Ok((name, TensorView::new(*dtype, shape.clone(), bytes).map_err(problem)?))
        });
        let views = views.collect::<Result<Vec<_>, WebError>>()?;
        let bytes = safetensors::serialize(views, None).map_err(problem)?;
        let size = bytes.len();
        self.bytes(path, bytes);
        Ok(size)
    }

    /// Writes all files to a folder, over those of an earlier bundle. While it does, the folder has no `bundle.json`, without
    /// which the pages refuse it; files that this bundle does not have stay.
    ///
    /// # Errors
    /// As [`Bundle::check_folder`].
    pub fn write(&self, folder: &Path) -> Result<(), WebError> {
        Self::check_folder(folder)?;
        let contents = folder.join(CONTENTS);
        if contents.exists() {
            std::fs::remove_file(&contents).map_err(|error| failed(&contents, error))?;
        }
        let rest = self.files.keys().map(String::as_str).filter(|path| ![FIRST, CONTENTS].contains(path));
        for path in [FIRST].into_iter().chain(rest).chain([CONTENTS]) {
            let Some(bytes) = self.files.get(path) else { continue };
            let target = folder.join(path);
            let parent = target.parent().unwrap_or(folder);
            std::fs::create_dir_all(parent).map_err(|error| failed(parent, error))?;
            write_atomically(&target, bytes).map_err(|error| failed(&target, error))?;
        }
        Ok(())
    }
}

/// The file that says what is in a bundle.
pub(super) const CONTENTS: &str = "bundle.json";
/// The file that is written first: a folder that has it is ours.
const FIRST: &str = "runtime.js";

fn failed(path: &Path, error: std::io::Error) -> WebError {
    WebError::File { path: PathBuf::from(path), error }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_written_over_even_when_unfinished_but_not_another_one() {
        let folder = std::env::temp_dir().join(format!("ditn-bundle-{}", std::process::id()));
        let mut bundle = Bundle::default();
        for path in ["runtime.js", "plans/a.json", CONTENTS] {
            bundle.bytes(path, path.as_bytes().to_vec());
        }
        bundle.write(&folder).unwrap();
        // As a process that was killed leaves it.
        std::fs::remove_file(folder.join(CONTENTS)).unwrap();
        std::fs::write(folder.join("plans/a.json"), "half").unwrap();
        bundle.write(&folder).unwrap();
        assert_eq!(std::fs::read_to_string(folder.join("plans/a.json")).unwrap(), "plans/a.json");
        assert!(folder.join(CONTENTS).is_file());
        std::fs::remove_file(folder.join(CONTENTS)).unwrap();
        std::fs::remove_file(folder.join(FIRST)).unwrap();
        assert!(matches!(bundle.write(&folder), Err(WebError::OtherFolder { .. })));
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_number_that_16_bits_cannot_hold_is_named() {
        let error = Tensors::default().halves("w".into(), vec![2], &[1.0, 70_000.0]).unwrap_err();
        assert!(error.to_string().contains("70000") && error.to_string().contains("--weights f32"), "{error}");
    }

    #[test]
    fn magnitudes_are_rounded_up_by_less_than_a_hundredth() {
        let mut tensors = Tensors::default();
        let numbers = [0.0, 1.0, 1.000_001, 0.3, 1e-30, 2.99e7];
        tensors.upper_halves("m".into(), vec![6], &numbers);
        let read =
            tensors.0["m"].2.chunks(2).map(|b| f32::from_bits(u32::from(u16::from_le_bytes([b[0], b[1]])) << 16));
        for (number, read) in numbers.into_iter().zip(read) {
            assert!(f64::from(read) >= number && f64::from(read) <= 1.01 * number, "{number} {read}");
        }
    }
}
