//! What the processes of a run agree on, so that all of them go the same way.

use super::error::TrainError;
use crate::ranks::Communicator;

/// What a rank is about to do.
#[derive(Debug)]
pub enum Intent<T> {
    /// To go on, with this.
    GoOn(T),
    /// To save and stop.
    Stop,
}

/// How ranks tell each other their intents.
const GOES_ON: u8 = 0;
const STOPS: u8 = 1;
const HAS_FAILED: u8 = 2;
const HAS_DIVERGED: u8 = 3;

/// One way for all: to go on where all are, to stop where one is, and where one has failed the error, as the first to fail
/// has it; the others have [`TrainError::OtherRank`].
///
/// # Errors
/// That of a rank.
pub fn agree<T>(ranks: &dyn Communicator, own: Result<Intent<T>, TrainError>) -> Result<Intent<T>, TrainError> {
    if ranks.size() == 1 {
        return own;
    }
    let state = match &own {
        Ok(Intent::GoOn(_)) => GOES_ON,
        Ok(Intent::Stop) => STOPS,
        Err(error) if error.is_not_finite() => HAS_DIVERGED,
        Err(_) => HAS_FAILED,
    };
    let states = ranks.all_gather(&[state]).concat();
    if let Some(failed) = states.iter().position(|&state| state == HAS_FAILED || state == HAS_DIVERGED) {
        return Err(match own {
            Err(error) if failed == ranks.rank() => error.on_rank(ranks),
            _ => TrainError::OtherRank { rank: failed, not_finite: states[failed] == HAS_DIVERGED },
        });
    }
    if states.contains(&STOPS) { Ok(Intent::Stop) } else { own }
}

/// `own`, where all ranks have succeeded.
///
/// # Errors
/// As [`agree`].
pub fn all_succeed<T>(ranks: &dyn Communicator, own: Result<T, TrainError>) -> Result<T, TrainError> {
    match agree(ranks, own.map(Intent::GoOn))? {
        Intent::GoOn(own) => Ok(own),
        Intent::Stop => {
            tracing::error!("ranks are at different places of the run");
            ranks.abort(2)
        }
    }
}
