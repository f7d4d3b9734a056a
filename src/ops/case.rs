//! Cases of operators: the one table that value checks, gradient checks and benchmarks go through.

use std::sync::Arc;

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::tolerances;
use crate::ir::{Operator, Shape};

/// How the elements of a case's input are drawn.
#[derive(Debug, Clone, PartialEq)]
pub enum Fill {
    /// Uniform between two numbers.
    Uniform(f32, f32),
    /// Uniform in [-1, 1] but nowhere nearer to zero than this: away from the kink of ReLU.
    AwayFromZero(f32),
    /// A shuffled ladder of numbers, no two nearer than 1/100: no ties for maxima.
    Distinct,
    /// 0 or 1, seven ones for every zero: weights of maps.
    Weights,
    /// These numbers.
    Given(Vec<f32>),
    /// These words, for an input that kernels bind as `array<u32>`. The reference gets their values.
    Words(Vec<u32>),
}

impl Fill {
    /// Draws `elements` numbers; [`Fill::Words`] gives the numbers with the bits of its words.
    pub fn draw(&self, elements: usize, random: &mut impl Rng) -> Vec<f32> {
        match self {
            Self::Uniform(low, high) => (0..elements).map(|_| random.random_range(*low..=*high)).collect(),
            Self::AwayFromZero(gap) => (0..elements)
                .map(|_| {
                    let size = random.random_range(*gap..=1.0_f32);
                    if random.random_bool(0.5) { size } else { -size }
                })
                .collect(),
            Self::Distinct => {
                let mut ladder: Vec<f32> =
                    (0..elements).map(|step| (step as f32 - elements as f32 / 2.0) / 64.0).collect();
                for index in (1..elements).rev() {
                    ladder.swap(index, random.random_range(0..=index));
                }
                ladder
            }
            Self::Weights => (0..elements).map(|_| f32::from(u8::from(random.random_bool(0.875)))).collect(),
            Self::Given(numbers) => numbers.clone(),
            Self::Words(words) => words.iter().map(|&word| f32::from_bits(word)).collect(),
        }
    }
}

/// An operator at given shapes with random contents, and how exact it must be.
#[derive(Debug, Clone)]
pub struct OperatorCase {
    /// The operator with its attributes.
    pub operator: Arc<dyn Operator>,
    /// Shape and contents of each input.
    pub inputs: Vec<(Shape, Fill)>,
    /// Most that an element of the outputs may differ from the reference, in units of 2^-24 of its magnitude
    /// ([`Operator::magnitudes`]).
    pub tolerance: f64,
    /// The same where tensors are stored as F16, beyond the rounding of outputs that are.
    pub f16_tolerance: f64,
    /// Numbers of the inputs whose gradients are checked against numeric ones.
    pub differentiable: Vec<usize>,
    /// How many of the outputs, from the first on, gradients flow back from.
    pub differentiable_outputs: usize,
}

impl OperatorCase {
    /// A case with inputs uniform in [-1, 1] that is not differentiated.
    pub fn new<S: Into<Shape> + Clone>(operator: impl Operator, shapes: &[S]) -> Self {
        let inputs = shapes.iter().map(|shape| (shape.clone().into(), Fill::Uniform(-1.0, 1.0))).collect();
        let tolerance = tolerances::of(&tolerances::entry(operator.name(), &operator.attributes()));
        Self {
            operator: Arc::new(operator),
            inputs,
            tolerance: tolerance.f32,
            f16_tolerance: tolerance.f16,
            differentiable: Vec::new(),
            differentiable_outputs: usize::MAX,
        }
    }

    /// The same with other contents of one input.
    #[must_use]
    pub fn fill(mut self, input: usize, fill: Fill) -> Self {
        self.inputs[input].1 = fill;
        self
    }

    /// The same with gradients of these inputs checked.
    #[must_use]
    pub fn differentiate(mut self, inputs: &[usize]) -> Self {
        self.differentiable = inputs.to_vec();
        self
    }

    /// The same with gradients flowing back from the first `outputs` outputs only.
    #[must_use]
    pub fn differentiate_outputs(mut self, outputs: usize) -> Self {
        self.differentiable_outputs = outputs;
        self
    }

    /// What its tolerance is called: the operator's name, with its attributes where they have a tolerance of their own.
    pub fn judged_as(&self) -> String {
        tolerances::entry(self.operator.name(), &self.operator.attributes())
    }

    /// Contents of the inputs, the same for the same seed.
    pub fn draw(&self, seed: u64) -> Vec<Vec<f32>> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        self.inputs.iter().map(|(shape, fill)| fill.draw(shape.elements(), &mut random)).collect()
    }

    /// Contents of the inputs as the reference takes them: numbers as they are, words by their values.
    pub fn exact(&self, data: &[Vec<f32>]) -> Vec<Vec<f64>> {
        let inputs = self.inputs.iter().zip(data);
        inputs
            .map(|((_, fill), input)| match fill {
                Fill::Words(_) => input.iter().map(|x| f64::from(x.to_bits())).collect(),
                _ => input.iter().map(|&x| f64::from(x)).collect(),
            })
            .collect()
    }

    /// Operator and shapes in a line: `relu [2, 3, 5, 7]`.
    pub fn describe(&self) -> String {
        let shapes: Vec<_> = self.inputs.iter().map(|(shape, _)| shape.to_string()).collect();
        format!("{} {}", self.operator.name(), shapes.join(" "))
    }
}
