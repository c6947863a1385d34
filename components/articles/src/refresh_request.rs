//! A reader's requests to the worker: refresh a stale entry, and wake up if a task is overdue. The
//! functions return whether the caller has to [wake](afterword::wake) a worker itself.

use afterword::key::Key;
use afterword::queue::{self, Error, Redis};
use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

/// Queues `key` unless it is queued, and wakes a worker. An instance does this at most once a
/// second for each key, because a thousand readers of a stale entry need one refresh.
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
    let reply = queue::run(redis, "request_refresh", &arguments).await?;
    reply.caller_wakes()
}

/// Whether this instance has not called [`check`] for ten seconds. If so, counts as a call at `now`
/// (milliseconds since 1970).
pub fn check_is_due(now: u64) -> bool {
    const INTERVAL: u64 = 10_000;
    thread_local! {
        static CHECKED_AT: Cell<Option<u64>> = const { Cell::new(None) };
    }
    let due = CHECKED_AT
        .get()
        .is_none_or(|at| now.abs_diff(at) >= INTERVAL);
    if due {
        CHECKED_AT.set(Some(now));
    }
    due
}

/// Wakes a worker if a task is overdue or the alarm is missing: the safety net in case every
/// wake-up got lost. For responses that have nothing else to tell Redis.
pub async fn check(redis: &Redis) -> Result<bool, Error> {
    let reply = queue::run(redis, "check", &[]).await?;
    reply.caller_wakes()
}
