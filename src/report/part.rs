//! The parts of a report: their names, what they are called on the page, and their shares of the time.

/// A part of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Gradients of operators against numeric ones.
    Gradcheck,
    /// Every variant of the kernels against its float64 reference.
    Kernels,
    /// Small networks against dumps of PyTorch's, by every variant.
    Verify,
    /// The most that the adapter does.
    Ceilings,
    /// The kernels of DITN-W32's training step.
    Step,
    /// HRNet-W32 and DITN-W32, inference and training.
    Networks,
    /// Choosing kernels by measuring, and the networks before and after.
    Tune,
}

impl Part {
    /// All parts, in the order in which they run: what is right goes before what is fast.
    pub const ALL: [Self; 7] =
        [Self::Gradcheck, Self::Kernels, Self::Verify, Self::Ceilings, Self::Step, Self::Networks, Self::Tune];

    /// The name on the command line and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gradcheck => "gradcheck",
            Self::Kernels => "kernels",
            Self::Verify => "verify",
            Self::Ceilings => "ceilings",
            Self::Step => "step",
            Self::Networks => "networks",
            Self::Tune => "tune",
        }
    }

    /// The part of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|part| part.name() == name)
    }

    /// What it is called on the page.
    pub fn title(self) -> &'static str {
        match self {
            Self::Gradcheck => "Gradients",
            Self::Kernels => "Kernels against references",
            Self::Verify => "Networks against PyTorch",
            Self::Ceilings => "Ceilings",
            Self::Step => "Kernels of a training step",
            Self::Networks => "Networks",
            Self::Tune => "Tuning",
        }
    }

    /// The title of the part of this name; the name itself of a part that a newer program added.
    pub fn title_of(name: &str) -> &str {
        match Self::named(name) {
            Some(part) => part.title(),
            None => name,
        }
    }

    /// Its share of the time, in relation to the others'. What a part leaves over goes to those after it.
    pub fn weight(self) -> f64 {
        match self {
            Self::Ceilings => 0.3,
            Self::Gradcheck => 1.0,
            Self::Step | Self::Tune => 2.0,
            Self::Kernels | Self::Verify | Self::Networks => 3.0,
        }
    }
}
