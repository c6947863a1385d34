//! A reader's request to the worker: refresh a stale entry.

use afterword::key::Key;
use afterword::queue::{self, Error, Redis, script};
use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

thread_local! {
    /// Whether the requests of this hour were used up at the last refresh request.
    static IS_PAUSED: Cell<bool> = const { Cell::new(false) };
}

/// Whether the worker waits, because `max_requests_per_hour` is used up.
pub fn worker_is_paused() -> bool {
    IS_PAUSED.get()
}

/// Queues `key` unless it is queued, and wakes a worker. An instance does this at most once a
/// second for each key, because a thousand readers of a stale entry need one refresh. Returns
/// whether the caller has to [wake](afterword::wake) a worker itself.
pub async fn request_refresh(redis: &Redis, key: &Key) -> Result<bool, Error> {
    const INTERVAL: Duration = Duration::from_secs(1);
    thread_local! {
        static REQUESTED: RefCell<Vec<(Key, Instant)>> = const { RefCell::new(Vec::new()) };
    }
    let is_recent = REQUESTED.with_borrow_mut(|requested| {
        requested.retain(|(_, at)| at.elapsed() < INTERVAL);
        let is_recent = requested.iter().any(|(other, _)| other == key);
        if !is_recent {
            requested.push((key.clone(), Instant::now()));
        }
        is_recent
    });
    if is_recent {
        return Ok(false);
    }
    let arguments = [key.to_string().into_bytes()];
    let reply = queue::run(redis, script::REQUEST_REFRESH, &arguments).await?;
    let [_, caller_wakes, is_paused] = reply.integers()?;
    IS_PAUSED.set(is_paused == 1);
    Ok(caller_wakes == 1)
}
