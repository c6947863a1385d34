//! Marks: what is dirty. The durable state is in Redis, as a set of keys and not as a queue of messages, so that marks
//! coalesce by themselves and their number is bounded by the number of keys.
//!
//! Everything that knows Redis is here. [`changed`] and [`wanted`] are the two verbs of the HTTP components; [`Worker`] and
//! [`Lease`] are the worker's side. The script, a file for each verb in `lua/`, says what is atomic and why.

mod connection;
pub mod script;
mod worker;

pub use connection::Error;
pub use worker::{Cleared, Lease, Mark, Released, Setup, Timers, Worker};

use crate::key::Key;
use std::cell::RefCell;
use std::time::{Duration, Instant};

/// The Redis channel that wakes a worker.
pub const CHANNEL: &str = "afterword.refresh";

/// What woke a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// The word on [`CHANNEL`].
    Called,
    /// A timer ran out, or a lease.
    Rung,
}

/// What a message's payload wakes a worker for. On the keyspace channels a server may tell of every command too (`set`, `del`, …): if
/// those counted, the worker's own writes would wake it for ever.
pub fn woken(payload: &[u8]) -> Option<Woken> {
    match payload {
        b"wake" => Some(Woken::Called),
        b"expired" => Some(Woken::Rung),
        _ => None,
    }
}

/// A webhook said that `keys` may have changed: marks them, whatever is known of them, and wakes a worker. Returns their
/// sequence number.
pub async fn changed(redis_url: &str, keys: &[Key]) -> Result<i64, Error> {
    connection::kept(redis_url, "changed", &changed_arguments(keys))
        .await?
        .integer()
}

fn changed_arguments(keys: &[Key]) -> Vec<Vec<u8>> {
    let names = keys.iter().map(|key| key.to_string().into_bytes());
    std::iter::once(CHANNEL.as_bytes().to_vec())
        .chain(names)
        .collect()
}

/// A reader found the entry of `key` missing or stale: marks it if it is not marked, and wakes a worker. At most once a second
/// for a key in an instance: what a thousand readers want is one refresh.
pub async fn wanted(redis_url: &str, key: &Key) -> Result<(), Error> {
    const PAUSE: Duration = Duration::from_secs(1);
    thread_local! {
        // As short as an instance's life: a hundred and some requests.
        static ASKED: RefCell<Vec<(Key, Instant)>> = const { RefCell::new(Vec::new()) };
    }
    let asked_lately = ASKED.with_borrow_mut(|asked| {
        asked.retain(|(_, at)| at.elapsed() < PAUSE);
        let lately = asked.iter().any(|(asked, _)| asked == key);
        if !lately {
            asked.push((key.clone(), Instant::now()));
        }
        lately
    });
    if asked_lately {
        return Ok(());
    }
    connection::kept(
        redis_url,
        "wanted",
        &changed_arguments(std::slice::from_ref(key)),
    )
    .await?;
    Ok(())
}
