//! Values of any type between ranks, as JSON.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Communicator;

/// What each rank gives, in their order. Ends all ranks where they do not understand each other.
pub fn gather<T: Serialize + DeserializeOwned>(ranks: &dyn Communicator, own: &T) -> Vec<T> {
    let all = ranks.all_gather(&written(ranks, own));
    all.iter().map(|bytes| understood(ranks, bytes)).collect()
}

/// What rank 0 gives. Ends all ranks where they do not understand it.
pub fn broadcast<T: Serialize + DeserializeOwned>(ranks: &dyn Communicator, own: &T) -> T {
    understood(ranks, &ranks.broadcast(written(ranks, own)))
}

fn written<T: Serialize>(ranks: &dyn Communicator, own: &T) -> Vec<u8> {
    serde_json::to_vec(own).unwrap_or_else(|error| {
        tracing::error!("rank {} cannot tell the others what it has: {error}", ranks.rank());
        ranks.abort(2)
    })
}

fn understood<T: DeserializeOwned>(ranks: &dyn Communicator, bytes: &[u8]) -> T {
    serde_json::from_slice(bytes).unwrap_or_else(|error| {
        tracing::error!("rank {} does not understand another: is it another version? ({error})", ranks.rank());
        ranks.abort(2)
    })
}
