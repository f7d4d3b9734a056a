//! The files of a bundle as they are gathered and written.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use half::f16;
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde::Serialize;

use super::WebError;
use super::plan::PlanFile;
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
    pub fn halves(&mut self, name: String, shape: Vec<usize>, numbers: &[f32]) {
        let bytes = numbers.iter().flat_map(|&number| f16::from_f32(number).to_le_bytes()).collect();
        self.0.insert(name, (Dtype::F16, shape, bytes));
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

/// The files of a bundle.
#[derive(Default)]
pub(super) struct Bundle {
    files: BTreeMap<String, Vec<u8>>,
    kernels: BTreeSet<&'static str>,
}

impl Bundle {
    /// A file of these bytes at a path below the folder.
    pub fn bytes(&mut self, path: &str, bytes: Vec<u8>) {
        self.files.insert(path.to_owned(), bytes);
    }

    /// A file of JSON.
    ///
    /// # Errors
    /// [`WebError::File`] for what JSON cannot hold.
    pub fn json(&mut self, path: &str, value: &impl Serialize) -> Result<(), WebError> {
        let bytes = serde_json::to_vec(value).map_err(|error| failed(Path::new(path), error.into()))?;
        self.bytes(path, bytes);
        Ok(())
    }

    /// A plan with its kernels; returns the size of its file in bytes.
    ///
    /// # Errors
    /// As [`Bundle::json`].
    pub fn plan(&mut self, path: &str, plan: &PlanFile) -> Result<usize, WebError> {
        self.kernels(plan.kernels());
        self.json(path, plan)?;
        Ok(self.files[path].len())
    }

    /// The shaders of these kernels.
    pub fn kernels(&mut self, kernels: &[&'static Kernel]) {
        for kernel in kernels.iter().filter(|kernel| self.kernels.insert(kernel.name)) {
            self.files.insert(format!("shaders/{}.wgsl", kernel.name), kernel.source.as_bytes().to_vec());
        }
    }

    /// A file of tensors; returns its size in bytes.
    ///
    /// # Errors
    /// [`WebError::File`] where they are not what their shapes say.
    pub fn tensors(&mut self, path: &str, tensors: &Tensors) -> Result<usize, WebError> {
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

    /// Writes all files, `bundle.json` last, so that a folder that has one is whole. Returns their number and their bytes.
    ///
    /// # Errors
    /// [`WebError::File`].
    pub fn write(&self, folder: &Path) -> Result<(usize, usize), WebError> {
        let is_contents = |path: &&String| path.as_str() == CONTENTS;
        for path in self.files.keys().filter(|path| !is_contents(path)).chain(self.files.keys().filter(is_contents)) {
            let target = folder.join(path);
            let parent = target.parent().unwrap_or(folder);
            std::fs::create_dir_all(parent).map_err(|error| failed(parent, error))?;
            write_atomically(&target, &self.files[path]).map_err(|error| failed(&target, error))?;
        }
        Ok((self.files.len(), self.files.values().map(Vec::len).sum()))
    }
}

/// The file that says what is in a bundle.
pub(super) const CONTENTS: &str = "bundle.json";

fn failed(path: &Path, error: std::io::Error) -> WebError {
    WebError::File { path: PathBuf::from(path), error }
}

#[cfg(test)]
mod tests {
    use super::*;

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
