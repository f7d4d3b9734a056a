//! Values of any type between ranks, as JSON.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Communicator;

/// What each rank gives, in their order. Ends all ranks where they do not understand each other.
pub fn gather<T: Serialize + DeserializeOwned>(ranks: &dyn Communicator, own: &T) -> Vec<T> {
    let all = ranks.all_gather(&serde_json::to_vec(own).unwrap_or_default());
    all.iter().map(|bytes| understood(ranks, bytes)).collect()
}

/// What rank 0 gives. Ends all ranks where they do not understand it.
pub fn broadcast<T: Serialize + DeserializeOwned>(ranks: &dyn Communicator, own: &T) -> T {
    understood(ranks, &ranks.broadcast(serde_json::to_vec(own).unwrap_or_default()))
}

fn understood<T: DeserializeOwned>(ranks: &dyn Communicator, bytes: &[u8]) -> T {
    serde_json::from_slice(bytes).unwrap_or_else(|error| {
        tracing::error!("rank {} does not understand another: is it another version? ({error})", ranks.rank());
        ranks.abort(2)
    })
}
