//! A reader's request to the worker: refresh a stale entry.

use afterword::key::Key;
use afterword::queue::{self, Error, Redis, script};
use std::cell::RefCell;
use std::time::{Duration, Instant};

/// What became of a request.
#[derive(Clone, Copy, Default)]
pub struct Requested {
    /// Whether the caller has to [wake](afterword::wake) a worker itself.
    pub caller_wakes: bool,
    /// Whether the worker should refresh the key soon.
    pub is_expected: bool,
}

/// Queues `key` unless it is queued, and wakes a worker. An instance does this at most once a
/// second for each key, because a thousand readers of a stale entry need one refresh.
pub async fn request_refresh(redis: &Redis, key: &Key) -> Result<Requested, Error> {
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
        return Ok(Requested::default());
    }
    let arguments = [key.to_string().into_bytes()];
    let reply = queue::run(redis, script::REQUEST_REFRESH, &arguments).await?;
    let [_, caller_wakes, is_paused] = reply.integers()?;
    Ok(Requested {
        caller_wakes: caller_wakes == 1,
        is_expected: is_paused == 0,
    })
}
