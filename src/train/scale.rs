//! How long a training step takes on several ranks: a model from the times of one rank's kernels, the bytes of its gradients
//! and the speed of the links. `docs/scale.md` has the equations and what they leave out.
//!
//! Each rank computes the gradients of pictures of its own. They go in [buckets](gradient_buckets), each as soon as the backward pass
//! has computed its last gradient: from the device to the host, from all ranks to the owner of each slice, which sums in the
//! order of ranks, from the owners to all ranks, and back to the device. Then every rank makes the same update.

use std::collections::{HashMap, HashSet};

use serde::Serialize;

use crate::graph::Plan;
use crate::ir::{ALIGNMENT, Cost, Node, Role, ValueId};
use crate::nn::{BUCKET_BYTES, Optimizer};

/// Operations in whose time an adapter moves a byte: where no kernel is measured, the longer of both is taken as its time. 20
/// by the data sheet of an H100 in float32.
const OPERATIONS_A_BYTE: f64 = 20.0;

/// What lies between the ranks. Bytes a second, of one rank and in each direction at once.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Link {
    /// Between a rank and the others.
    pub bandwidth: f64,
    /// Seconds that a message takes beside its bytes.
    pub latency: f64,
    /// Between a rank's device and its host.
    pub bus: f64,
    /// Received bytes that a rank's host sums in a second.
    pub host_sum: f64,
}

impl Link {
    /// Bytes that a rank sends, and as many that it receives, so that all of `ranks` have the sum of `bytes`.
    pub fn bytes_sent(ranks: u32, bytes: u64) -> f64 {
        2.0 * Self::others(ranks) * bytes as f64
    }

    /// The share of all slices that other ranks own.
    fn others(ranks: u32) -> f64 {
        (f64::from(ranks) - 1.0) / f64::from(ranks)
    }

    /// Seconds from the gradients of all hosts to their sum on every host.
    fn exchange(&self, ranks: u32, bytes: u64) -> f64 {
        let messages = 2.0 * (f64::from(ranks) - 1.0);
        let summed = Self::others(ranks) * bytes as f64;
        messages * self.latency + Self::bytes_sent(ranks, bytes) / self.bandwidth + summed / self.host_sum
    }
}

/// What ranks exchange at once.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Bucket {
    /// Its size.
    pub bytes: u64,
    /// Seconds from the beginning of the step until its last gradient is there.
    pub ready: f64,
}

/// A training step of one rank in time.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RankStep {
    /// Pictures that it computes.
    pub pictures: usize,
    /// Seconds of the forward pass and the losses.
    pub forward: f64,
    /// Seconds of the backward pass.
    pub backward: f64,
    /// Seconds of what needs all gradients.
    pub update: f64,
    /// What the ranks exchange, in the order in which it is there: gradients and running statistics.
    pub buckets: Vec<Bucket>,
}

/// When the ranks exchange their gradients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exchange {
    /// Each bucket as soon as it is there, while the device computes the next.
    Overlapped,
    /// All of them after the backward pass.
    AfterBackward,
}

/// How fast a step is on several ranks.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Speed {
    /// Seconds of a step.
    pub seconds: f64,
    /// Of all ranks.
    pub pictures_per_second: f64,
    /// Pictures a second over those of one rank times the number of ranks.
    pub efficiency: f64,
}

impl RankStep {
    /// A planned training step of `pictures`, each of whose [steps](Plan::steps) takes so many `seconds`. Its backward pass
    /// begins at what depends on `seeds`.
    pub fn new(plan: &Plan, seeds: &[ValueId], seconds: &[f64], pictures: usize) -> Self {
        let nodes = || plan.steps.iter().map(|step| &step.node).zip(seconds);
        let is_of_update = depending(plan, &Optimizer::gradients(plan));
        let is_of_backward = depending(plan, seeds);
        let (mut forward, mut backward, mut update) = (0.0, 0.0, 0.0);
        let mut has_begun = false;
        // When each value is computed, and when what the forward pass overwrites is.
        let mut computed: HashMap<ValueId, f64> = HashMap::new();
        let mut buckets = Vec::new();
        for (number, (node, seconds)) in nodes().enumerate() {
            has_begun |= is_of_backward[number];
            let pass = match (is_of_update[number], has_begun) {
                (true, _) => &mut update,
                (false, true) => &mut backward,
                (false, false) => &mut forward,
            };
            *pass += seconds;
            let now = forward + backward;
            computed.extend(node.outputs.iter().map(|&output| (output, now)));
            if !is_of_update[number] && !node.operator.overwrites().is_empty() {
                buckets.push(Bucket { bytes: overwritten_bytes(plan, node), ready: now });
            }
        }
        for bucket in gradient_buckets(plan, BUCKET_BYTES) {
            let ready = bucket.iter().filter_map(|gradient| computed.get(gradient)).copied().fold(0.0, f64::max);
            buckets.push(Bucket { bytes: bucket.iter().map(|&gradient| padded_bytes(plan, gradient)).sum(), ready });
        }
        buckets.sort_by(|a, b| a.ready.total_cmp(&b.ready));
        Self { pictures, forward, backward, update, buckets }
    }

    /// Seconds of the step on one rank.
    pub fn seconds(&self) -> f64 {
        self.forward + self.backward + self.update
    }

    /// Bytes of all buckets.
    pub fn bytes(&self) -> u64 {
        self.buckets.iter().map(|bucket| bucket.bytes).sum()
    }

    /// How much of the backward pass is over when a bucket is there, 0 for what is there before it.
    pub fn ready_share(&self, bucket: &Bucket) -> f64 {
        if self.backward > 0.0 { ((bucket.ready - self.forward) / self.backward).clamp(0.0, 1.0) } else { 1.0 }
    }

    /// The step on `ranks`, each on an adapter of its own.
    pub fn on(&self, ranks: u32, link: &Link, exchange: Exchange) -> Speed {
        let alone = self.seconds();
        let seconds = if ranks <= 1 { alone } else { self.exchanged(ranks, link, exchange) };
        let pictures_per_second = f64::from(ranks) * self.pictures as f64 / seconds;
        Speed { seconds, pictures_per_second, efficiency: alone / seconds }
    }

    /// Seconds of the step with its exchange. The device and the link do one thing after another each.
    fn exchanged(&self, ranks: u32, link: &Link, exchange: Exchange) -> f64 {
        let passes = self.forward + self.backward;
        let (mut device, mut computed) = (0.0, 0.0);
        let mut on_host = Vec::with_capacity(self.buckets.len());
        for bucket in &self.buckets {
            let ready = match exchange {
                Exchange::Overlapped => bucket.ready,
                Exchange::AfterBackward => passes,
            };
            device += ready - computed + bucket.bytes as f64 / link.bus;
            computed = ready;
            on_host.push(device);
        }
        device += passes - computed;
        let mut network: f64 = 0.0;
        for (bucket, on_host) in self.buckets.iter().zip(on_host) {
            network = network.max(on_host) + link.exchange(ranks, bucket.bytes);
            device = device.max(network) + bucket.bytes as f64 / link.bus;
        }
        device + self.update
    }
}

/// All gradients of a planned training step in buckets of at most `limit` bytes, in the order of the parameters: a bucket is
/// closed where the next gradient would not fit.
pub fn gradient_buckets(plan: &Plan, limit: u64) -> Vec<Vec<ValueId>> {
    let mut buckets: Vec<Vec<ValueId>> = Vec::new();
    let mut room = 0;
    for gradient in gradients(plan) {
        let bytes = padded_bytes(plan, gradient);
        match buckets.last_mut() {
            Some(bucket) if bytes <= room => {
                bucket.push(gradient);
                room -= bytes;
            }
            _ => {
                buckets.push(vec![gradient]);
                room = limit.saturating_sub(bytes);
            }
        }
    }
    buckets
}

/// The gradient of each parameter. Flat values are made, and lie, in the order of the parameters.
fn gradients(plan: &Plan) -> Vec<ValueId> {
    let graph = &plan.graph;
    let mut read = Optimizer::gradients(plan);
    read.sort();
    let mut gradients = Vec::new();
    for id in read {
        if graph.value(id).role != Role::Flat {
            gradients.push(id);
            continue;
        }
        let parts =
            graph.value_ids().filter_map(|(part, value)| Some((part, value.part.filter(|part| part.of == id)?)));
        let mut parts: Vec<_> = parts.map(|(part, place)| (place.offset, part)).collect();
        parts.sort();
        gradients.extend(parts.into_iter().map(|(_, part)| part));
    }
    gradients
}

/// Bytes of a value where others lie behind it.
fn padded_bytes(plan: &Plan, id: ValueId) -> u64 {
    4 * plan.graph.value(id).words().next_multiple_of(ALIGNMENT) as u64
}

fn overwritten_bytes(plan: &Plan, node: &Node) -> u64 {
    node.operator.overwrites().iter().map(|&number| padded_bytes(plan, node.inputs[number])).sum()
}

/// Which steps of a plan need one of these values, be it through others.
fn depending(plan: &Plan, values: &[ValueId]) -> Vec<bool> {
    let mut needing: HashSet<ValueId> = values.iter().copied().collect();
    let mut depends = Vec::with_capacity(plan.steps.len());
    for step in &plan.steps {
        let node = &step.node;
        let does = node.inputs.iter().any(|&input| needing.contains(&input));
        if does {
            needing.extend(&node.outputs);
            needing.extend(node.operator.overwrites().iter().map(|&number| node.inputs[number]));
        }
        depends.push(does);
    }
    depends
}

/// Seconds of each step of a plan that takes `seconds` as a whole, by their costs: the longer of operations and bytes, of an
/// adapter that is fast at neither in particular.
pub fn by_cost(plan: &Plan, seconds: f64) -> Vec<f64> {
    let weights: Vec<f64> = plan
        .steps
        .iter()
        .map(|step| {
            let Cost { flops, bytes } = step.cost;
            flops.max(OPERATIONS_A_BYTE * bytes)
        })
        .collect();
    in_all(&weights, seconds)
}

/// Numbers in these proportions whose sum is `seconds`.
pub fn in_all(weights: &[f64], seconds: f64) -> Vec<f64> {
    let sum: f64 = weights.iter().sum();
    weights
        .iter()
        .map(|weight| if sum > 0.0 { weight / sum * seconds } else { seconds / weights.len() as f64 })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINK: Link = Link { bandwidth: 4.0, latency: 0.5, bus: 8.0, host_sum: 8.0 };

    fn step() -> RankStep {
        let buckets = vec![Bucket { bytes: 8, ready: 4.0 }, Bucket { bytes: 16, ready: 6.0 }];
        RankStep { pictures: 3, forward: 2.0, backward: 4.0, update: 1.0, buckets }
    }

    #[test]
    fn a_step_by_hand() {
        // Two ranks: 8 bytes take 2 messages of 0.5 s, 8 sent at 4 a second and 4 summed at 8; 16 bytes 1 + 4 + 1.
        assert_eq!([8, 16].map(|bytes| LINK.exchange(2, bytes)), [3.5, 6.0]);
        // Copied from 4 to 5 and from 7 to 9, when the backward pass is over too; exchanged until 8.5 and from 9 to 15;
        // copied back until 10 and until 17; the update.
        assert_eq!(step().on(2, &LINK, Exchange::Overlapped).seconds, 18.0);
        // Copied until 7 and 9; exchanged until 10.5 and 16.5; copied back until 11.5 and 18.5; the update.
        let speed = step().on(2, &LINK, Exchange::AfterBackward);
        assert_eq!(speed, Speed { seconds: 19.5, pictures_per_second: 6.0 / 19.5, efficiency: 7.0 / 19.5 });
    }

    #[test]
    fn one_rank_exchanges_nothing() {
        for exchange in [Exchange::Overlapped, Exchange::AfterBackward] {
            let speed = step().on(1, &LINK, exchange);
            assert_eq!(speed, Speed { seconds: 7.0, pictures_per_second: 3.0 / 7.0, efficiency: 1.0 });
        }
        assert_eq!(Link::bytes_sent(1, 24), 0.0);
        assert_eq!((Link::bytes_sent(2, 24), Link::bytes_sent(4, 24)), (24.0, 36.0));
    }

    #[test]
    fn a_link_that_takes_no_time_costs_nothing_and_each_part_of_a_slow_one_costs() {
        let free = Link { bandwidth: f64::INFINITY, latency: 0.0, bus: f64::INFINITY, host_sum: f64::INFINITY };
        let slow = [
            Link { bandwidth: 4.0, ..free },
            Link { latency: 0.5, ..free },
            Link { bus: 8.0, ..free },
            Link { host_sum: 8.0, ..free },
        ];
        for ranks in [2, 3, 256] {
            let seconds = |link: &Link, exchange| step().on(ranks, link, exchange).seconds;
            for exchange in [Exchange::Overlapped, Exchange::AfterBackward] {
                assert_eq!(seconds(&free, exchange), 7.0);
                assert!(slow.iter().all(|link| seconds(link, exchange) > 7.0), "{ranks} ranks {exchange:?}");
            }
            for link in &slow {
                assert!(seconds(link, Exchange::Overlapped) <= seconds(link, Exchange::AfterBackward), "{link:?}");
            }
        }
    }

    #[test]
    fn the_backward_pass_is_over_in_part_when_a_bucket_is_there() {
        let (step, at) = (step(), |ready| Bucket { bytes: 4, ready });
        assert_eq!([1.0, 2.0, 4.0, 6.0].map(|ready| step.ready_share(&at(ready))), [0.0, 0.0, 0.5, 1.0]);
        assert_eq!(step.bytes(), 24);
    }

    #[test]
    fn seconds_are_dealt_out_in_proportion() {
        assert_eq!(in_all(&[1.0, 3.0], 2.0), [0.5, 1.5]);
        assert_eq!(in_all(&[0.0, 0.0], 2.0), [1.0, 1.0]);
    }
}
