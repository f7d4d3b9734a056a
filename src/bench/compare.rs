//! Two reports side by side.

use serde::Serialize;

use super::Report;

/// One figure that both reports have.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// What was measured.
    pub what: String,
    /// The first report's seconds.
    pub before: f64,
    /// The second report's seconds.
    pub after: f64,
    /// before / after: above 1 where the second is faster.
    pub speedup: f64,
    /// The same of the shares of the ceilings, which do not depend on how fast the machine was at the time; absent for
    /// networks.
    pub share_ratio: Option<f64>,
}

/// What both reports have, in the first one's order. Kernels are matched by operator, pass and case, the fastest variant
/// of each counting.
pub fn compare(before: &Report, after: &Report) -> Vec<Comparison> {
    let mut found: Vec<Comparison> = Vec::new();
    for kernel in &before.kernels {
        let same = |other: &&super::KernelTime| {
            (&other.operator, &other.pass, &other.case) == (&kernel.operator, &kernel.pass, &kernel.case)
        };
        let fastest = |report: &'_ Report| {
            report.kernels.iter().filter(same).min_by(|a, b| a.seconds.total_cmp(&b.seconds)).cloned()
        };
        let what = format!("{} {} {}", kernel.operator, kernel.pass, kernel.case);
        if let (Some(a), Some(b)) = (fastest(before), fastest(after))
            && found.iter().all(|known| known.what != what)
        {
            let (before, after) = (a.seconds, b.seconds);
            let share_ratio = Some(b.share / a.share);
            found.push(Comparison { what, before, after, speedup: before / after, share_ratio });
        }
    }
    for network in &before.networks {
        let same = |other: &&super::NetworkTime| {
            (&other.name, &other.pass, other.size, other.batch)
                == (&network.name, &network.pass, network.size, network.batch)
        };
        if let Some(other) = after.networks.iter().find(same) {
            let what = format!("{} {} batch {}", network.name, network.pass, network.batch);
            let (before, after) = (network.seconds, other.seconds);
            found.push(Comparison { what, before, after, speedup: before / after, share_ratio: None });
        }
    }
    found
}
