//! Ranks as threads of one process: MPI without MPI, for tests.

use std::ops::Range;
use std::sync::{Arc, Barrier, Mutex};

use ditn::ranks::Communicator;

/// What the threads share.
struct Shared {
    barrier: Barrier,
    given: Mutex<Vec<Vec<u8>>>,
}

struct Thread {
    rank: usize,
    size: usize,
    shared: Arc<Shared>,
}

/// What `work` returns on each of `size` ranks.
pub fn on_ranks<R: Send>(size: usize, work: impl Fn(std::rc::Rc<dyn Communicator>) -> R + Sync) -> Vec<R> {
    let shared = Arc::new(Shared { barrier: Barrier::new(size), given: Mutex::new(vec![Vec::new(); size]) });
    std::thread::scope(|scope| {
        let start = |rank| {
            let (shared, work) = (Arc::clone(&shared), &work);
            scope.spawn(move || work(std::rc::Rc::new(Thread { rank, size, shared })))
        };
        let threads: Vec<_> = (0..size).map(start).collect();
        threads.into_iter().map(|thread| thread.join().expect("no rank panics")).collect()
    })
}

impl Communicator for Thread {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn all_to_all(&self, words: &[f32], parts: &[Range<usize>], received: &mut [f32]) {
        let all = self.all_gather(bytemuck::cast_slice(words));
        let own = all.iter().map(|bytes| &bytemuck::cast_slice::<u8, f32>(bytes)[parts[self.rank].clone()]);
        received.copy_from_slice(&own.collect::<Vec<_>>().concat());
    }

    fn all_gather_parts(&self, words: &mut [f32], parts: &[Range<usize>]) {
        let all = self.all_gather(bytemuck::cast_slice(&words[parts[self.rank].clone()]));
        words.copy_from_slice(bytemuck::cast_slice(&all.concat()));
    }

    fn all_gather(&self, bytes: &[u8]) -> Vec<Vec<u8>> {
        self.shared.given.lock().expect("no rank panics")[self.rank] = bytes.to_vec();
        self.shared.barrier.wait();
        let all = self.shared.given.lock().expect("no rank panics").clone();
        self.shared.barrier.wait();
        all
    }

    fn broadcast(&self, bytes: Vec<u8>) -> Vec<u8> {
        self.all_gather(&bytes).swap_remove(0)
    }

    fn abort(&self, status: u8) -> ! {
        std::process::exit(status.into())
    }
}
