//! The outbox: marks that Redis did not take, in the key-value store, until a worker that reaches Redis moves them there.
//!
//! Each webhook has a key of its own, `outbox/…`, so that no two writers share one; its value is the marked keys, a line each. A
//! flag, `outbox`, says that there are some, and is written after them. It is deleted last, when there is none left: who empties the
//! outbox may die over it, and the flag is still there for the next.

use crate::limit::limit;
use crate::marks::{Task, Worker};
use crate::store::{Error, Store};
use spin_sdk::wasip3::random::random::get_random_u64;
use std::time::Duration;

const FLAG: &str = "outbox";
const PREFIX: &str = "outbox/";

/// How long a webhook may wait for it: Redis has had its half of the second before.
const LIMIT: Duration = Duration::from_millis(500);

/// Keeps marks; they are kept if this succeeds.
pub async fn put(tasks: &[Task]) -> Result<(), Error> {
    let lines: String = tasks.iter().map(|task| format!("{task}\n")).collect();
    limit(LIMIT, async {
        let store = Store::open().await?;
        let name = format!("{PREFIX}{:016x}{:016x}", get_random_u64(), get_random_u64());
        store.set(&name, lines.as_bytes()).await?;
        store.set(FLAG, b"").await
    })
    .await?
}

/// Moves all kept marks to Redis, and returns how many webhooks they were of: if the flag says that there are some, or if
/// `all_the_same`, since a flag may have got lost.
///
/// Nothing else of this instance may use the store meanwhile (see [`Store::keys`]).
pub async fn empty(
    store: &Store,
    worker: &Worker,
    all_the_same: bool,
) -> Result<usize, Box<dyn std::error::Error>> {
    let mut moved = 0;
    if !all_the_same && store.get(FLAG).await?.is_none() {
        return Ok(moved);
    }
    loop {
        let names = names(store).await?;
        if names.is_empty() {
            store.delete(FLAG).await?;
            // Whose marks were kept between the listing and the deletion has lost its flag.
            if self::names(store).await?.is_empty() {
                return Ok(moved);
            }
            store.set(FLAG, b"").await?;
            continue;
        }
        let mut keys = Vec::new();
        for name in &names {
            let lines = store.get(name).await?.unwrap_or_default();
            keys.extend(
                String::from_utf8_lossy(&lines)
                    .lines()
                    .filter_map(Task::parse),
            );
        }
        keys.sort_unstable();
        keys.dedup();
        worker.changed(&keys).await?;
        for name in &names {
            store.delete(name).await?;
        }
        moved += names.len();
    }
}

async fn names(store: &Store) -> Result<Vec<String>, Error> {
    let mut names = store.keys().await?;
    names.retain(|name| name.starts_with(PREFIX));
    Ok(names)
}
