//! Data types: how the elements of tensors are stored. Kernels compute in float32 whichever it is.

/// How the elements of a tensor are stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum DType {
    /// 4 bytes.
    #[default]
    F32,
    /// 2 bytes, IEEE binary16: 11 significant bits, at most 65504.
    F16,
}

impl DType {
    /// Bytes of one element.
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 => 2,
        }
    }

    /// 4-byte words that so many elements take.
    pub fn words(self, elements: usize) -> usize {
        (elements * self.bytes()).div_ceil(4)
    }
}

/// The dtypes of a node's tensors; what it does not name is F32.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct DTypes {
    /// Of each input.
    pub inputs: Vec<DType>,
    /// Of each output.
    pub outputs: Vec<DType>,
}

impl DTypes {
    /// Of input number `number`.
    pub fn input(&self, number: usize) -> DType {
        self.inputs.get(number).copied().unwrap_or_default()
    }

    /// Of output number `number`.
    pub fn output(&self, number: usize) -> DType {
        self.outputs.get(number).copied().unwrap_or_default()
    }

    /// Whether any tensor is F16.
    pub fn any_f16(&self) -> bool {
        self.inputs.iter().chain(&self.outputs).any(|&dtype| dtype == DType::F16)
    }
}

/// The set of a dispatch's bindings whose tensors are stored as [`DType::F16`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct F16Bindings(u32);

impl F16Bindings {
    /// None of them.
    pub const NONE: Self = Self(0);

    /// Whether binding number `binding` is one of them.
    pub fn contains(self, binding: usize) -> bool {
        self.0 >> binding & 1 == 1
    }

    /// Whether all of them are in `other`.
    pub fn is_subset(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }
}

impl FromIterator<usize> for F16Bindings {
    fn from_iter<T: IntoIterator<Item = usize>>(bindings: T) -> Self {
        Self(bindings.into_iter().fold(0, |set, binding| set | 1 << binding))
    }
}
