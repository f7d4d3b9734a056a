//! Batches prepared on worker threads ahead of the step that uses them.
//!
//! What a batch holds is a pure function of the data set, the options, the epoch and its number in the epoch, so that
//! a resumed run sees what the interrupted one would have seen, with any number of workers.

use super::augmentation::{Augmentation, Placement};
use super::{Batch, DataError, Dataset, Size};
use crossbeam_channel::{Receiver, Sender, bounded};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use std::ops::Range;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What batches are made like.
#[derive(Clone, Debug)]
pub struct LoaderOptions {
    /// People in a batch.
    pub batch: usize,
    /// Size of the network's input.
    pub input: Size,
    /// Seed of the order and of the augmentation.
    pub seed: u64,
    /// Threads that prepare batches.
    pub workers: usize,
    /// Batches that each worker prepares ahead.
    pub ahead: usize,
}

/// An iterator over batches in order.
///
/// Dropping it stops the workers. An error is the last item. A worker's panic is passed on to the caller.
pub struct Loader {
    /// Worker w makes the batches w, w + workers, ... of this loader, and no others: taking turns gives the order.
    workers: Vec<(Receiver<Prepared>, JoinHandle<()>)>,
    taken: u64,
    total: u64,
    waited: Duration,
}

type Prepared = Result<Batch, DataError>;

/// What all workers share.
struct Plan {
    dataset: Arc<dyn Dataset>,
    options: LoaderOptions,
    augmentation: Option<Augmentation>,
    shuffled: bool,
    steps: usize,
}

impl Loader {
    /// Endless batches for training from batch `first_step` of epoch `first_pass` on, in an order shuffled anew each
    /// epoch. The people left over at the end of an epoch are dropped.
    ///
    /// # Errors
    /// Where the set does not fill one batch.
    pub fn training(
        dataset: Arc<dyn Dataset>,
        options: &LoaderOptions,
        augmentation: Option<Augmentation>,
        first_pass: u64,
        first_step: usize,
    ) -> Result<Loader, DataError> {
        let steps = steps_in_epoch(&*dataset, options);
        if steps == 0 {
            let (name, people, batch) = (dataset.name(), dataset.len(), options.batch);
            return Err(DataError::Unsuitable(format!("{name} has {people} people, fewer than one batch of {batch}")));
        }
        let plan = Plan { dataset, options: options.clone(), augmentation, shuffled: true, steps };
        let first = first_pass * steps as u64 + first_step as u64;
        Ok(Loader::start(plan, first..u64::MAX))
    }

    /// One pass over the set in its order, without augmentation; the last batch is padded. An endless set is taken
    /// at pass 0.
    ///
    /// # Errors
    /// Where the set is empty.
    pub fn evaluation(dataset: Arc<dyn Dataset>, options: &LoaderOptions) -> Result<Loader, DataError> {
        if dataset.is_empty() || options.batch == 0 {
            return Err(DataError::Unsuitable(format!("{} has no people to evaluate", dataset.name())));
        }
        let steps = dataset.len().div_ceil(options.batch);
        let plan = Plan { dataset, options: options.clone(), augmentation: None, shuffled: false, steps };
        Ok(Loader::start(plan, 0..steps as u64))
    }

    fn start(plan: Plan, range: Range<u64>) -> Loader {
        let total = range.end - range.start;
        let count = (plan.options.workers.max(1) as u64).min(total);
        let plan = Arc::new(plan);
        let workers = (0..count)
            .map(|worker| {
                let (sender, receiver) = bounded(plan.options.ahead.max(1));
                let (plan, numbers) = (plan.clone(), (range.start + worker..range.end).step_by(count as usize));
                (receiver, std::thread::spawn(move || plan.work(numbers, &sender)))
            })
            .collect();
        Loader { workers, taken: 0, total, waited: Duration::ZERO }
    }

    /// Time that callers of [`next`](Iterator::next) have waited for batches so far.
    pub fn waited(&self) -> Duration {
        self.waited
    }
}

impl Iterator for Loader {
    type Item = Result<Batch, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.taken == self.total {
            return None;
        }
        let worker = (self.taken % self.workers.len() as u64) as usize;
        let start = Instant::now();
        let received = self.workers[worker].0.recv();
        self.waited += start.elapsed();
        self.taken += 1;
        if let Ok(Err(_)) = received {
            // What other workers have prepared does not follow an error: the same batches come with any number of them.
            self.taken = self.total;
        }
        received.ok().or_else(|| {
            // The worker is gone before its last batch: it panicked.
            self.taken = self.total;
            let (_, thread) = self.workers.swap_remove(worker);
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
            None
        })
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        for (receiver, thread) in self.workers.drain(..) {
            // Without a receiver the worker's next send fails, and it ends.
            drop(receiver);
            // A panic that nobody was waiting for must not become a second one here.
            drop(thread.join());
        }
    }
}

impl Plan {
    fn work(&self, numbers: impl Iterator<Item = u64>, sender: &Sender<Prepared>) {
        let mut order = (u64::MAX, Vec::new());
        for number in numbers {
            let (pass, step) = (number / self.steps as u64, (number % self.steps as u64) as usize);
            if order.0 != pass {
                order = (pass, self.order(pass));
            }
            let batch = self.batch(pass, step, &order.1);
            let failed = batch.is_err();
            if sender.send(batch).is_err() || failed {
                return;
            }
        }
    }

    fn order(&self, pass: u64) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.dataset.len()).collect();
        if self.shuffled {
            order.shuffle(&mut generator(self.options.seed, pass, 0, Purpose::Order));
        }
        order
    }

    fn batch(&self, pass: u64, step: usize, order: &[usize]) -> Result<Batch, DataError> {
        let (size, input, skeleton) = (self.options.batch, self.options.input, self.dataset.skeleton());
        let mut batch = Batch { pass, step, ..Batch::default() };
        for &index in order.iter().skip(step * size).take(size) {
            let person = self.dataset.load(pass, index)?;
            let placement = match &self.augmentation {
                Some(augmentation) => {
                    let mut rng = generator(self.options.seed, pass, index as u64, Purpose::Augmentation);
                    augmentation.draw(&person, skeleton, input, &mut rng)
                }
                None => Placement::upright(&person, input),
            };
            batch.push(index, person, &placement, skeleton, input)?;
        }
        batch.pad(size, skeleton);
        Ok(batch)
    }
}

/// Whole batches of training in one epoch of the set.
pub fn steps_in_epoch(dataset: &dyn Dataset, options: &LoaderOptions) -> usize {
    dataset.len().checked_div(options.batch).unwrap_or(0)
}

/// What a generator's numbers are for: different purposes draw independent numbers from the same seed.
#[derive(Clone, Copy)]
pub(crate) enum Purpose {
    /// The order of an epoch.
    Order = 1,
    /// A sample's augmentation.
    Augmentation = 2,
    /// A synthetic person to learn from.
    TrainingPerson = 3,
    /// A synthetic person to be scored on.
    HeldOutPerson = 4,
}

/// The generator of the sample `index` in epoch `pass`.
pub(crate) fn generator(seed: u64, pass: u64, index: u64, purpose: Purpose) -> ChaCha8Rng {
    let mut key = [0; 32];
    for (bytes, number) in key.chunks_exact_mut(8).zip([seed, pass, index, purpose as u64]) {
        bytes.copy_from_slice(&number.to_le_bytes());
    }
    ChaCha8Rng::from_seed(key)
}

#[cfg(test)]
mod tests {
    use super::super::skeleton::LSP;
    use super::super::{Annotation, Joint, Person, Skeleton};
    use super::*;
    use image::{Rgb, RgbImage};

    /// Small one-coloured pictures; person `broken` cannot be loaded.
    struct Plain {
        people: usize,
        broken: Option<usize>,
    }

    impl Dataset for Plain {
        fn name(&self) -> &str {
            "plain"
        }
        fn skeleton(&self) -> &Arc<Skeleton> {
            &LSP
        }
        fn len(&self) -> usize {
            self.people
        }
        fn annotation(&self, _: u64, index: usize) -> Result<Annotation, DataError> {
            let joints = vec![Joint { x: index as f32, y: 5.0, labelled: true, visible: true }; 14];
            Ok(Annotation {
                name: format!("person {index}"),
                joints,
                center: [8.0; 2],
                scale: [0.08; 2],
                head_size: None,
            })
        }
        fn load(&self, pass: u64, index: usize) -> Result<Person, DataError> {
            if self.broken == Some(index) {
                return Err(DataError::Unsuitable(format!("person {index} is broken")));
            }
            let picture = RgbImage::from_pixel(16, 16, Rgb([index as u8, pass as u8, 7]));
            Ok(Person::new(self.annotation(pass, index)?, picture))
        }
    }

    fn plain(people: usize) -> Arc<dyn Dataset> {
        Arc::new(Plain { people, broken: None })
    }

    fn options(batch: usize, workers: usize) -> LoaderOptions {
        LoaderOptions { batch, input: Size { width: 16, height: 16 }, seed: 9, workers, ahead: 2 }
    }

    fn training(people: usize, workers: usize, pass: u64, step: usize, count: usize) -> Vec<Batch> {
        let loader = Loader::training(plain(people), &options(3, workers), Some(Augmentation::default()), pass, step);
        loader.expect("the set fills a batch").take(count).map(|batch| batch.expect("nothing is broken")).collect()
    }

    #[test]
    fn batches_do_not_depend_on_the_number_of_workers() {
        let one = training(11, 1, 0, 0, 10);
        assert_eq!(one, training(11, 2, 0, 0, 10));
        assert_eq!(one, training(11, 5, 0, 0, 10));
    }

    #[test]
    fn a_resumed_loader_goes_on_as_if_never_stopped() {
        let all = training(11, 2, 0, 0, 10);
        assert_eq!(all[5..], training(11, 3, 1, 2, 5));
        assert_eq!((all[5].pass, all[5].step), (1, 2));
    }

    #[test]
    fn every_epoch_has_another_order_of_different_people() {
        let batches = training(11, 2, 0, 0, 6);
        let epoch = |range: Range<usize>| -> Vec<usize> {
            batches[range].iter().flat_map(|batch| batch.people.iter().map(|person| person.index)).collect()
        };
        let (first, second) = (epoch(0..3), epoch(3..6));
        assert_ne!(first, second);
        for mut people in [first, second] {
            people.sort_unstable();
            people.dedup();
            assert_eq!(people.len(), 9);
        }
    }

    #[test]
    fn an_evaluation_has_everyone_once_in_order_and_full_batches() {
        let batches: Vec<Batch> = Loader::evaluation(plain(11), &options(4, 3))
            .expect("the set has people")
            .map(|batch| batch.expect("nothing is broken"))
            .collect();
        let people: Vec<usize> = batches.iter().flat_map(|batch| batch.people.iter().map(|p| p.index)).collect();
        assert_eq!(people, (0..11).collect::<Vec<_>>());
        assert!(batches.iter().all(|batch| batch.len() == 4 && batch.joints.len() == 4 * 14));
        assert_eq!(batches[2].people.len(), 3);
    }

    #[test]
    fn an_error_names_the_person_and_ends_the_batches() {
        for workers in [1, 2, 4] {
            let dataset = Arc::new(Plain { people: 12, broken: Some(5) });
            let mut loader = Loader::evaluation(dataset, &options(2, workers)).expect("the set has people");
            assert!(loader.next().is_some_and(|batch| batch.is_ok()));
            assert!(loader.next().is_some_and(|batch| batch.is_ok()));
            let error = loader.next().and_then(Result::err).map(|error| error.to_string());
            assert_eq!(error.as_deref(), Some("person 5 is broken"));
            assert!(loader.next().is_none());
        }
    }

    #[test]
    fn a_set_smaller_than_a_batch_is_refused() {
        assert!(Loader::training(plain(2), &options(3, 1), None, 0, 0).is_err());
        assert!(Loader::evaluation(plain(0), &options(3, 1)).is_err());
    }

    #[test]
    fn dropping_a_loader_ends_its_workers() {
        let dataset = plain(40);
        let mut loader = Loader::training(dataset.clone(), &options(4, 3), None, 0, 0).expect("the set fills a batch");
        loader.next();
        drop(loader);
        assert_eq!(Arc::strong_count(&dataset), 1);
    }
}
