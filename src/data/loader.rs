//! Batches prepared on worker threads ahead of the step that uses them.
//!
//! What a batch holds is a pure function of the data set, the options and the place where it begins, so that a resumed
//! run sees what the interrupted one would have seen, with any number of workers.

use super::augmentation::{Augmentation, Placement};
use super::batch::Place;
use super::loader_options::{Broken, LoaderOptions, Share};
use super::{Batch, DataError, Dataset, Person};
use crossbeam_channel::{Receiver, Sender, bounded};
use image::RgbImage;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

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
    purpose: Purpose,
    /// Where the first step begins.
    first: Place,
    /// Steps of the first pass.
    rest: u64,
    /// Steps of each pass after it.
    steps: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Training,
    Evaluation,
}

impl Loader {
    /// Endless batches for training from `first` on, in an order shuffled anew each pass. The people left over at the end
    /// of a pass, too few for a step, are dropped.
    ///
    /// # Errors
    /// Where the set does not fill the batches of one step.
    pub fn training(
        dataset: Arc<dyn Dataset>,
        options: &LoaderOptions,
        augmentation: Option<Augmentation>,
        first: Place,
    ) -> Result<Loader, DataError> {
        let (people, batch) = (dataset.len(), options.batch * options.share.of);
        let steps = people.checked_div(batch).unwrap_or(0) as u64;
        if steps == 0 {
            let (name, what) = (dataset.name(), if options.share.of > 1 { "step" } else { "batch" });
            return Err(DataError::Unsuitable(format!("{name} has {people} people, fewer than one {what} of {batch}")));
        }
        let rest = (people.saturating_sub(first.people) / batch) as u64;
        let (options, purpose) = (options.clone(), Purpose::Training);
        Ok(Loader::start(Plan { dataset, options, augmentation, purpose, first, rest, steps }, u64::MAX))
    }

    /// One pass over the set in its order, without augmentation; the last batch is padded. An endless set is taken
    /// at pass 0. A share is of as many batches in a row, of which the last few may be fewer.
    ///
    /// # Errors
    /// Where the set is empty.
    pub fn evaluation(dataset: Arc<dyn Dataset>, options: &LoaderOptions) -> Result<Loader, DataError> {
        if dataset.is_empty() || options.batch == 0 {
            return Err(DataError::Unsuitable(format!("{} has no people to evaluate", dataset.name())));
        }
        let (batches, Share { of, own }) = (dataset.len().div_ceil(options.batch), &options.share);
        let total = (0..batches).filter(|number| own.contains(&(number % of))).count() as u64;
        let (options, purpose, first) = (options.clone(), Purpose::Evaluation, Place::default());
        Ok(Loader::start(
            Plan { dataset, options, augmentation: None, purpose, first, rest: u64::MAX, steps: 1 },
            total,
        ))
    }

    fn start(plan: Plan, total: u64) -> Loader {
        let count = (plan.options.workers.max(1) as u64).min(total.max(1));
        let plan = Arc::new(plan);
        let workers = (0..count)
            .map(|worker| {
                let (sender, receiver) = bounded(plan.options.ahead.max(1));
                let (plan, numbers) = (plan.clone(), (worker..total).step_by(count as usize));
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
            let (place, end) = self.place(number);
            if order.0 != place.pass {
                order = (place.pass, self.order(place.pass));
            }
            let batch = self.batch(place, &order.1).map(|batch| Batch { end, ..batch });
            let failed = batch.is_err();
            if sender.send(batch).is_err() || failed {
                return;
            }
        }
    }

    /// Where the batch of this number, from 0, begins, and where its step ends.
    fn place(&self, number: u64) -> (Place, Place) {
        let (first, batch, Share { of, own }) = (self.first, self.options.batch, &self.options.share);
        let (step, turn) = (number / own.len() as u64, number as usize % own.len());
        let step = if step < self.rest {
            Place { people: first.people + step as usize * batch * of, ..first }
        } else {
            let step = step - self.rest;
            let pass = first.pass.saturating_add(1 + step / self.steps);
            Place { pass, people: (step % self.steps) as usize * batch * of }
        };
        let behind = |batches: usize| Place { people: step.people + batches * batch, ..step };
        (behind(own.start + turn), behind(*of))
    }

    fn order(&self, pass: u64) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.dataset.len()).collect();
        if self.purpose == Purpose::Training {
            order.shuffle(&mut generator(self.options.seed, pass, 0, Stream::Order));
        }
        order
    }

    fn batch(&self, place: Place, order: &[usize]) -> Result<Batch, DataError> {
        let size = self.options.batch;
        let mut batch = Batch { place, ..Batch::default() };
        for turn in place.people..order.len().min(place.people + size) {
            self.add(&mut batch, turn, order)?;
        }
        batch.pad(size, self.dataset.skeleton());
        Ok(batch)
    }

    /// Appends the person whose turn it is, or what stands in.
    fn add(&self, batch: &mut Batch, turn: usize, order: &[usize]) -> Result<(), DataError> {
        let (pass, index) = (batch.place.pass, order[turn]);
        let Err(error) = self.dataset.load(pass, index).and_then(|person| self.push(batch, index, index, person))
        else {
            return Ok(());
        };
        if self.options.broken == Broken::Stop {
            return Err(error);
        }
        if self.purpose == Purpose::Evaluation {
            self.push(batch, index, index, blank(&*self.dataset, pass, index)?)?;
            batch.skipped.push(error.to_string());
            return Ok(());
        }
        for &other in order[turn + 1..].iter().chain(&order[..turn]) {
            if self.dataset.load(pass, other).and_then(|person| self.push(batch, other, index, person)).is_ok() {
                batch.skipped.push(error.to_string());
                return Ok(());
            }
        }
        let (people, name) = (order.len(), self.dataset.name());
        Err(DataError::Unsuitable(format!("none of the {people} people of {name} can be used; {error}")))
    }

    /// Appends a person in the augmentation of the person `drawn_for`.
    fn push(&self, batch: &mut Batch, index: usize, drawn_for: usize, person: Person) -> Result<(), DataError> {
        let (input, skeleton) = (self.options.input, self.dataset.skeleton());
        let placement = match &self.augmentation {
            Some(augmentation) => {
                let pass = batch.place.pass;
                let mut rng = generator(self.options.seed, pass, drawn_for as u64, Stream::Augmentation);
                augmentation.draw(&person, skeleton, input, &mut rng)
            }
            None => Placement::upright(&person, input),
        };
        batch.push(index, person, &placement, skeleton, input)
    }
}

/// A person with a black picture, of one pixel: outside of pictures all is black.
///
/// # Errors
/// Where the annotation cannot be had.
pub fn blank(dataset: &dyn Dataset, pass: u64, index: usize) -> Result<Person, DataError> {
    Ok(Person::new(dataset.annotation(pass, index)?, RgbImage::new(1, 1)))
}

/// What a generator's numbers are for: different purposes draw independent numbers from the same seed.
#[derive(Clone, Copy)]
pub(crate) enum Stream {
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
pub(crate) fn generator(seed: u64, pass: u64, index: u64, stream: Stream) -> ChaCha8Rng {
    let mut key = [0; 32];
    for (bytes, number) in key.chunks_exact_mut(8).zip([seed, pass, index, stream as u64]) {
        bytes.copy_from_slice(&number.to_le_bytes());
    }
    ChaCha8Rng::from_seed(key)
}

#[cfg(test)]
mod tests {
    use super::super::skeleton::LSP;
    use super::super::{Annotation, Joint, Person, Size, Skeleton};
    use super::*;
    use image::{Rgb, RgbImage};
    use std::ops::Range;

    /// Small one-coloured pictures; `broken` people cannot be loaded.
    struct Plain {
        people: usize,
        broken: Vec<usize>,
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
            if self.broken.contains(&index) {
                return Err(DataError::Unsuitable(format!("person {index} is broken")));
            }
            let picture = RgbImage::from_pixel(16, 16, Rgb([index as u8, pass as u8, 7]));
            Ok(Person::new(self.annotation(pass, index)?, picture))
        }
    }

    const START: Place = Place { pass: 0, people: 0 };

    fn plain(people: usize) -> Arc<dyn Dataset> {
        Arc::new(Plain { people, broken: Vec::new() })
    }

    fn options(batch: usize, workers: usize) -> LoaderOptions {
        let input = Size { width: 16, height: 16 };
        LoaderOptions { batch, input, seed: 9, workers, ahead: 2, broken: Broken::Stop, share: Share::default() }
    }

    fn training(people: usize, workers: usize, first: Place, count: usize) -> Vec<Batch> {
        let loader = Loader::training(plain(people), &options(3, workers), Some(Augmentation::default()), first);
        loader.expect("the set fills a batch").take(count).map(|batch| batch.expect("nothing is broken")).collect()
    }

    #[test]
    fn batches_do_not_depend_on_the_number_of_workers() {
        let one = training(11, 1, START, 10);
        assert_eq!(one, training(11, 2, START, 10));
        assert_eq!(one, training(11, 5, START, 10));
    }

    #[test]
    fn a_resumed_loader_goes_on_as_if_never_stopped() {
        let all = training(11, 2, START, 10);
        assert_eq!(all[4].end, Place { pass: 1, people: 6 });
        assert_eq!(all[5..], training(11, 3, all[4].end, 5));
        assert_eq!(all[3..], training(11, 3, all[2].end, 7), "the two people left over are dropped");
    }

    #[test]
    fn a_loader_goes_on_within_a_pass_with_another_batch_and_with_a_smaller_set() {
        let indices = |batch: &Batch| batch.people.iter().map(|person| person.index).collect::<Vec<_>>();
        let first = training(11, 2, START, 2);
        let two = Loader::training(plain(11), &options(2, 2), None, first[1].end).expect("the set fills a batch");
        let two: Vec<Batch> = two.take(3).map(|batch| batch.expect("nothing is broken")).collect();
        let mut seen: Vec<usize> = first.iter().chain(&two[..2]).flat_map(&indices).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 10, "everyone has one turn in the pass");
        assert_eq!(two[2].place, Place { pass: 1, people: 0 });
        // Of a set with nobody left in the pass, and of one that ends in the middle of a batch, the next pass.
        for people in [5, 8] {
            assert_eq!(training(people, 2, Place { pass: 4, people: 6 }, 1)[0].place, Place { pass: 5, people: 0 });
        }
    }

    #[test]
    fn shares_of_a_step_are_its_batches_in_order_and_end_with_it() {
        let shared = |of, own: Range<usize>, first| -> Vec<Batch> {
            let options = LoaderOptions { share: Share { of, own }, ..options(3, 2) };
            let loader = Loader::training(plain(20), &options, Some(Augmentation::default()), first);
            loader.expect("the set fills a step").take(4).map(|batch| batch.expect("nothing is broken")).collect()
        };
        let whole = shared(2, 0..2, START);
        let (even, odd) = (shared(2, 0..1, START), shared(2, 1..2, START));
        for (number, batch) in whole.iter().enumerate() {
            assert_eq!(batch, [&even, &odd][number % 2].get(number / 2).expect("four of each"));
        }
        // 20 people are three steps of 6 and two people left over.
        let places: Vec<_> =
            even.iter().map(|batch| (batch.place.pass, batch.place.people, batch.end.people)).collect();
        assert_eq!(places, [(0, 0, 6), (0, 6, 12), (0, 12, 18), (1, 0, 6)]);
        assert_eq!(odd[2..], shared(2, 1..2, even[1].end)[..2]);
        let alone: Vec<Batch> = training(20, 1, START, 2);
        assert!(
            alone.iter().zip(&whole).all(|(one, other)| one.people == other.people),
            "people come in the same order"
        );
        let options = LoaderOptions { share: Share { of: 7, own: 0..7 }, ..options(3, 2) };
        let error = Loader::training(plain(20), &options, None, START).err().map(|error| error.to_string());
        assert_eq!(error.as_deref(), Some("plain has 20 people, fewer than one step of 21"));
    }

    #[test]
    fn shares_of_an_evaluation_are_everyone_once() {
        let indices = |own: Range<usize>| -> Vec<usize> {
            let options = LoaderOptions { share: Share { of: 3, own }, ..options(4, 2) };
            let batches = Loader::evaluation(plain(18), &options).expect("the set has people");
            let batches = batches.map(|batch| batch.expect("nothing is broken"));
            batches.flat_map(|batch| batch.people.into_iter().map(|person| person.index)).collect()
        };
        assert_eq!(indices(0..1), (0..4).chain(12..16).collect::<Vec<_>>());
        assert_eq!(indices(1..2), (4..8).chain(16..18).collect::<Vec<_>>());
        assert_eq!(indices(2..3), (8..12).collect::<Vec<_>>());
        let options = LoaderOptions { share: Share { of: 9, own: 8..9 }, ..options(4, 2) };
        assert_eq!(Loader::evaluation(plain(18), &options).expect("others have people").count(), 0);
    }

    #[test]
    fn someone_stands_in_for_a_broken_person_whatever_the_workers_and_where_the_run_resumed() {
        let set = |broken: Vec<usize>| Arc::new(Plain { people: 11, broken });
        let skipping = |workers| LoaderOptions { broken: Broken::Skip, ..options(3, workers) };
        let batches = |broken: &[usize], workers, first, count| -> Vec<Batch> {
            let augmentation = Some(Augmentation::default());
            let loader = Loader::training(set(broken.to_vec()), &skipping(workers), augmentation, first);
            loader.expect("the set fills a batch").take(count).map(|batch| batch.expect("others stand in")).collect()
        };
        let whole = batches(&[], 1, START, 9);
        assert_eq!(whole, training(11, 1, START, 9), "where nobody is broken nothing changes");
        let some = batches(&[5, 9], 1, START, 9);
        assert_eq!(some, batches(&[5, 9], 4, START, 9));
        assert_eq!(some[4..], batches(&[5, 9], 3, some[3].end, 5));
        for (batch, before) in some.iter().zip(&whole) {
            let broken = before.people.iter().filter(|person| [5, 9].contains(&person.index)).count();
            assert_eq!((batch.skipped.len(), batch.people.len()), (broken, 3));
            assert!(batch.people.iter().all(|person| ![5, 9].contains(&person.index)));
            assert!(broken > 0 || batch == before);
        }
        assert!(some.iter().any(|batch| batch.skipped == ["person 5 is broken"]));

        let mut all = Loader::training(set((0..11).collect()), &skipping(2), None, START).expect("the set fills one");
        let error = all.next().and_then(Result::err).map(|error| error.to_string()).expect("nobody can be used");
        assert!(error.starts_with("none of the 11 people of plain can be used; person"), "{error}");
    }

    #[test]
    fn a_broken_person_of_an_evaluation_is_a_black_picture() {
        let set = Arc::new(Plain { people: 4, broken: vec![2] });
        let options = LoaderOptions { broken: Broken::Skip, ..options(4, 1) };
        let mut loader = Loader::evaluation(set, &options).expect("the set has people");
        let batch = loader.next().expect("a batch").expect("it goes on");
        assert_eq!((batch.people[2].index, batch.skipped.as_slice()), (2, &["person 2 is broken".to_owned()][..]));
        assert!(batch.view(2, options.input).pixels().all(|pixel| pixel.0 == [0; 3]));
        assert!(batch.view(3, options.input).pixels().any(|pixel| pixel.0 != [0; 3]));
    }

    #[test]
    fn every_epoch_has_another_order_of_different_people() {
        let batches = training(11, 2, START, 6);
        let epoch = |range: std::ops::Range<usize>| -> Vec<usize> {
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
            let dataset = Arc::new(Plain { people: 12, broken: vec![5] });
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
        assert!(Loader::training(plain(2), &options(3, 1), None, START).is_err());
        assert!(Loader::evaluation(plain(0), &options(3, 1)).is_err());
    }

    #[test]
    fn dropping_a_loader_ends_its_workers() {
        let dataset = plain(40);
        let mut loader = Loader::training(dataset.clone(), &options(4, 3), None, START).expect("the set fills a batch");
        loader.next();
        drop(loader);
        assert_eq!(Arc::strong_count(&dataset), 1);
    }
}
