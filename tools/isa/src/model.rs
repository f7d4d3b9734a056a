//! How long a dispatch would take on an idealised GPU of the target's kind: the longer of arithmetic and traffic, and a launch.
//!
//! Arithmetic: the operations over the peak rate, over the share of the main loop's issue slots that are multiply-adds, over the
//! share of processors that have work. Traffic: each bound tensor once over the bandwidth, over the share of the bytes in
//! flight that the bandwidth needs. What it leaves out: caches, waiting inside a workgroup, clocks that fall under load.

use crate::listing::Classes;
use crate::plans::PlannedDispatch;
use crate::report::Pipeline;
use crate::targets::Vendor;

/// An idealised GPU.
pub struct Gpu {
    pub name: &'static str,
    /// Multiply and add counted as two.
    flops: f64,
    bytes: f64,
    processors: f64,
    /// Bytes in flight that the bandwidth needs: bandwidth times latency.
    in_flight: f64,
    /// Subgroups that hide the latency of arithmetic, a processor.
    subgroups: f64,
    /// Instructions other than float ones take so many slots, an access to workgroup memory so many.
    slots: [f64; 2],
}

/// Seconds from one dispatch to the next where each waits for the one before.
const LAUNCH: f64 = 4e-6;

/// Bytes that a lane asks for before it waits.
const BYTES_A_LANE: f64 = 32.0;

/// Arithmetic of kernels that are no products of matrices: the share of the peak that they reach at most.
const OTHER_SHARE: f64 = 0.25;

impl Gpu {
    /// A large GPU of the vendor: an RX 7900 XTX or an H100, by their data sheets.
    pub fn of(vendor: Vendor) -> Self {
        match vendor {
            Vendor::Amd => Self {
                name: "RX 7900 XTX",
                flops: 61e12,
                bytes: 0.96e12,
                processors: 96.0,
                in_flight: 0.75e6,
                subgroups: 4.0,
                slots: [2.0, 8.0],
            },
            Vendor::Nvidia => Self {
                name: "H100",
                flops: 67e12,
                bytes: 3.35e12,
                processors: 132.0,
                in_flight: 2.3e6,
                subgroups: 8.0,
                slots: [1.0, 16.0],
            },
        }
    }

    /// Seconds of a dispatch, its launch included.
    pub fn seconds(&self, dispatch: &PlannedDispatch, pipeline: &Pipeline) -> f64 {
        let workgroups = dispatch.workgroups as f64;
        let lanes = pipeline.workgroup.iter().product::<u32>() as f64;
        let waves = (workgroups / self.processors).ceil().max(1.0);
        let subgroups = lanes / f64::from(pipeline.subgroup_size.max(1)) * waves;
        let fill = workgroups / (self.processors * waves) * (subgroups / self.subgroups).min(1.0);
        let share = match (&pipeline.main_loop, dispatch.item.contains("gemm")) {
            (Some(classes), true) => self.fma_share(classes),
            _ => OTHER_SHARE,
        };
        let arithmetic = dispatch.flops / self.flops / share / fill;
        let resident = workgroups.min(self.processors * 32.0);
        let traffic = dispatch.bytes / self.bytes / (resident * lanes * BYTES_A_LANE / self.in_flight).min(1.0);
        arithmetic.max(traffic) + LAUNCH
    }

    /// The share of issue slots of the main loop in which multiply-adds begin.
    fn fma_share(&self, classes: &Classes) -> f64 {
        let [other, shared] = self.slots;
        let Classes { fma, float, integer, memory, control, .. } = *classes;
        let issued = f64::from(fma + float) + other * f64::from(integer + memory + control);
        f64::from(fma) / issued.max(shared * f64::from(classes.shared)).max(1.0)
    }
}
