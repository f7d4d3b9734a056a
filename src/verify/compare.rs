//! Groups of tensors against a dump's, by the noise in the dump.

use std::collections::BTreeMap;

use super::Group;
use crate::graph::Tensor;
use crate::nn::Precision;

/// What a group of tensors may differ by, as multiples of PyTorch's noise plus a constant.
struct Allowance {
    group: &'static str,
    whole: (f64, f64),
    /// For one tensor; `None` where only the whole group counts.
    tensor: Option<(f64, f64)>,
    /// A tensor whose norm is below this share of the group's is zero to rounding: its group alone counts.
    zero: f64,
}

/// These allowances are the definition of "the same network"; an exceeding tensor is a finding.
const ALLOWANCES: [Allowance; 7] = [
    Allowance { group: "eval", whole: (3.0, 1e-5), tensor: Some((10.0, 1e-4)), zero: 0.0 },
    Allowance { group: "train", whole: (3.0, 1e-5), tensor: Some((10.0, 1e-4)), zero: 0.0 },
    Allowance { group: "loss", whole: (3.0, 1e-5), tensor: Some((10.0, 1e-4)), zero: 0.0 },
    // A ReLU at a tie may flip.
    Allowance { group: "grad", whole: (3.0, 5e-4), tensor: Some((10.0, 5e-3)), zero: ZERO_GRADIENT },
    Allowance { group: "stats", whole: (3.0, 1e-5), tensor: Some((10.0, 1e-4)), zero: 0.0 },
    // The optimizer on the dump's own gradients.
    Allowance { group: "after", whole: (0.0, 1e-6), tensor: Some((0.0, 1e-5)), zero: 0.0 },
    Allowance { group: "trajectory", whole: (10.0, 1e-3), tensor: None, zero: 0.0 },
];

/// The same where feature maps are stored as F16, as multiples of the noise that F16 would have. Gradients of single tensors
/// are left to the group: where a ReLU flips, those of a small layer change by their own size.
const F16_ALLOWANCES: [Allowance; 5] = [
    Allowance { group: "eval", whole: (3.0, 2e-3), tensor: Some((10.0, 1e-2)), zero: 0.0 },
    Allowance { group: "train", whole: (3.0, 2e-3), tensor: Some((10.0, 1e-2)), zero: 0.0 },
    Allowance { group: "loss", whole: (3.0, 2e-3), tensor: Some((10.0, 1e-2)), zero: 0.0 },
    Allowance { group: "grad", whole: (3.0, 0.1), tensor: None, zero: ZERO_GRADIENT },
    Allowance { group: "stats", whole: (3.0, 2e-3), tensor: Some((10.0, 1e-2)), zero: 0.0 },
];

/// F16 rounds to 11 bits and float32 to 24: what float32's noise is multiplied by.
const F16_NOISE: f64 = 8192.0;

/// The norm of a gradient that is zero but for float64's rounding, as a share of the norm of all gradients.
///
/// A bias in front of a batch normalisation does not change the loss. float64 leaves some 1e-16 of the summed terms there
/// and float32 some 1e-8, so that their ratio says nothing. Gradients on which the loss depends are above 1e-6.
const ZERO_GRADIENT: f64 = 1e-12;

/// Compares every group of a dump's tensors that is computed at this precision with the computed ones of the same names.
pub(super) fn groups(
    dump: &BTreeMap<String, Tensor>,
    computed: &BTreeMap<String, Tensor>,
    precision: Precision,
) -> Vec<Group> {
    let (allowances, noise): (&[Allowance], f64) = match precision {
        Precision::F32 => (&ALLOWANCES, 1.0),
        Precision::F16 => (&F16_ALLOWANCES, F16_NOISE),
    };
    allowances.iter().map(|allowance| compare(allowance, noise, dump, computed)).collect()
}

/// Squared norms of a difference and of what it is relative to.
#[derive(Clone, Copy, Default)]
struct Norms {
    difference: f64,
    expected: f64,
}

impl Norms {
    fn of(found: &[f32], expected: &[f32]) -> Self {
        let mut norms = Self::default();
        for (&a, &b) in found.iter().zip(expected) {
            norms.difference += (f64::from(a) - f64::from(b)).powi(2);
            norms.expected += f64::from(b).powi(2);
        }
        norms
    }

    fn relative(self) -> f64 {
        self.difference.sqrt() / self.expected.sqrt().max(1e-30)
    }
}

/// What PyTorch's float32 errs in this tensor or group; `None` where the dump does not say.
fn noise_of(dump: &BTreeMap<String, Tensor>, name: &str) -> Option<f64> {
    dump.get(&format!("noise.{name}"))?.data.first().copied().map(f64::from)
}

/// One group; the dump's noise counts `times_noise`.
fn compare(
    allowance: &Allowance,
    times_noise: f64,
    dump: &BTreeMap<String, Tensor>,
    computed: &BTreeMap<String, Tensor>,
) -> Group {
    let prefix = format!("{}.", allowance.group);
    let mut unmatched: Vec<String> = computed
        .keys()
        .filter(|name| name.starts_with(&prefix) && !dump.contains_key(name.as_str()))
        .map(|name| format!("{name} is not in the dump"))
        .collect();

    let mut compared = Vec::new();
    for (name, expected) in dump.iter().filter(|(name, _)| name.starts_with(&prefix)) {
        match computed.get(name).filter(|found| found.shape == expected.shape) {
            Some(found) => {
                let norms = Norms::of(&found.data, &expected.data);
                compared.push((name, norms, noise_of(dump, name).unwrap_or(0.0)));
            }
            None => unmatched.push(format!("{name} {:?} was not computed", expected.shape)),
        }
    }

    let (mut whole, mut noise) = (Norms::default(), Norms::default());
    for (_, norms, own_noise) in &compared {
        whole.difference += norms.difference;
        whole.expected += norms.expected;
        noise.difference += own_noise.powi(2) * norms.expected;
        noise.expected += norms.expected;
    }
    let zero = allowance.zero.powi(2) * whole.expected;
    let mut worst = (String::new(), 0.0_f64, f64::INFINITY);
    let mut all_pass = true;
    for (name, norms, own_noise) in compared {
        if norms.expected < zero {
            continue;
        }
        let limit = allowance.tensor.map_or(f64::INFINITY, |(times, plus)| times * times_noise * own_noise + plus);
        let error = norms.relative();
        // Written so that NaN fails.
        all_pass &= error <= limit;
        let share = |error: f64, limit: f64| if error.is_nan() { f64::INFINITY } else { error / limit };
        if worst.0.is_empty() || share(error, limit) > share(worst.1, worst.2) {
            worst = (name.clone(), error, limit);
        }
    }

    let (times, plus) = allowance.whole;
    // Dumps of one order of summation leave the group's noise to be put together from the tensors'.
    let limit = times * times_noise * noise_of(dump, allowance.group).unwrap_or_else(|| noise.relative()) + plus;
    let error = whole.relative();
    Group {
        name: allowance.group,
        error,
        allowance: limit,
        pass: error <= limit && all_pass && unmatched.is_empty(),
        worst_tensor: worst.0,
        worst_error: worst.1,
        worst_allowance: worst.2,
        unmatched,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensors(named: &[(&str, &[f32])]) -> BTreeMap<String, Tensor> {
        let tensor = |data: &[f32]| Tensor { shape: vec![data.len()], data: data.to_vec() };
        named.iter().map(|&(name, data)| (name.to_string(), tensor(data))).collect()
    }

    fn group(name: &str, dump: &[(&str, &[f32])], computed: &[(&str, &[f32])]) -> Group {
        let groups = groups(&tensors(dump), &tensors(computed), Precision::F32);
        groups.into_iter().find(|group| group.name == name).unwrap()
    }

    #[test]
    fn a_gradient_that_is_zero_to_rounding_is_judged_by_its_group_alone() {
        let dump: [(&str, &[f32]); 3] =
            [("grad.weight", &[3.0, 4.0]), ("grad.bias", &[1e-17, -2e-17]), ("grad.dead", &[0.0, 0.0])];
        let with = |bias: f32, dead: f32| {
            group(
                "grad",
                &dump,
                &[("grad.weight", &[3.0, 4.0]), ("grad.bias", &[bias, 0.0]), ("grad.dead", &[dead, 0.0])],
            )
        };
        let rounding = with(1e-7, 2e-7);
        assert!(rounding.pass && rounding.error < 1e-7 && rounding.worst_tensor == "grad.weight", "{rounding:?}");
        assert!(!with(5e-3, 0.0).pass, "a thousandth of the group");
        assert!(!with(0.0, 5e-3).pass, "a thousandth of the group");
        assert!(!with(f32::NAN, 0.0).pass);
    }

    #[test]
    fn a_small_gradient_is_judged_by_itself() {
        let dump: [(&str, &[f32]); 2] = [("grad.weight", &[3.0, 4.0]), ("grad.bias", &[1e-9])];
        assert!(group("grad", &dump, &[("grad.weight", &[3.0, 4.0]), ("grad.bias", &[1.004e-9])]).pass);
        assert!(!group("grad", &dump, &[("grad.weight", &[3.0, 4.0]), ("grad.bias", &[1.01e-9])]).pass);
    }

    #[test]
    fn a_zero_is_judged_by_itself_where_it_is_no_gradient() {
        let dump: [(&str, &[f32]); 2] = [("eval.joints", &[3.0, 4.0]), ("eval.bones", &[0.0])];
        assert!(group("eval", &dump, &[("eval.joints", &[3.0, 4.0]), ("eval.bones", &[0.0])]).pass);
        assert!(!group("eval", &dump, &[("eval.joints", &[3.0, 4.0]), ("eval.bones", &[1e-7])]).pass);
    }

    #[test]
    fn the_noise_of_a_group_is_the_dumps_or_that_of_its_tensors() {
        let old: [(&str, &[f32]); 4] = [
            ("eval.joints", &[3.0]),
            ("eval.bones", &[4.0]),
            ("noise.eval.joints", &[0.1]),
            ("noise.eval.bones", &[0.05]),
        ];
        let found: [(&str, &[f32]); 2] = [("eval.joints", &[3.0]), ("eval.bones", &[4.0])];
        let tensors_noise = (0.3_f64.powi(2) + 0.2_f64.powi(2)).sqrt() / 5.0;
        assert!((group("eval", &old, &found).allowance - (3.0 * tensors_noise + 1e-5)).abs() < 1e-6);
        let new: Vec<_> = old.into_iter().chain([("noise.eval", &[0.02_f32] as &[f32])]).collect();
        assert!((group("eval", &new, &found).allowance - (3.0 * 0.02 + 1e-5)).abs() < 1e-6);
    }
}
