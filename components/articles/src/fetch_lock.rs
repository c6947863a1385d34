//! The fetch lock in Redis: one reader fetches a missing key, and the others wait. The same Redis
//! hash, `fetch_locks`, holds the negative cache.

use afterword::key::Key;
use afterword::queue::{self, Error, Redis, milliseconds, number, script};
use std::cell::Cell;
use std::time::{Duration, Instant};

/// The lock expires after this time, so a crashed reader blocks others for at most that long.
const TTL: Duration = Duration::from_secs(3);

/// The time limit of acquiring. A crowd makes many instances connect at once, and each that gives
/// up sends the origin a request.
const LIMIT: Duration = Duration::from_secs(1);

/// How long an instance does not ask a Redis that did not respond, which would delay every miss by
/// [`LIMIT`].
const PAUSE: Duration = Duration::from_secs(2);

/// The result of trying to acquire the fetch lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchLock {
    /// This reader holds it, and fetches from the origin.
    Acquired,
    /// Another reader holds it.
    Held,
    /// Another reader got an error from the origin a moment ago.
    Remembered {
        /// The status of the error response.
        status: u16,
        /// How long it remains in the negative cache.
        ttl: Duration,
    },
}

/// Tries to acquire the fetch lock of a missing key. The reader that holds it releases it by
/// [`release`] or [`remember`].
pub async fn acquire(redis: &Redis, key: &Key) -> Result<FetchLock, Error> {
    thread_local! {
        static TIMED_OUT_AT: Cell<Option<Instant>> = const { Cell::new(None) };
    }
    if TIMED_OUT_AT.get().is_some_and(|at| at.elapsed() < PAUSE) {
        return Err(Error::TimedOut);
    }
    let arguments = [name(key), milliseconds(TTL)];
    let reply = queue::run_within(LIMIT, redis, script::ACQUIRE_FETCH_LOCK, &arguments).await;
    if let Err(Error::TimedOut) = reply {
        TIMED_OUT_AT.set(Some(Instant::now()));
    }
    let [status, ttl] = reply?.integers()?;
    Ok(match status {
        0 => FetchLock::Acquired,
        1 => FetchLock::Held,
        _ => FetchLock::Remembered {
            status: u16::try_from(status).map_err(|_| Error::Reply)?,
            ttl: Duration::from_millis(ttl.unsigned_abs()),
        },
    })
}

/// Releases the lock after a successful fetch, and requests the refresh that stores the content,
/// unless the key is new and the store is full. Returns whether the caller has to
/// [wake](afterword::wake) a worker.
pub async fn release(redis: &Redis, key: &Key, is_new: bool) -> Result<bool, Error> {
    let mut arguments = vec![name(key), b"releases_fetch_lock".to_vec()];
    if is_new {
        arguments.push(b"is_new".to_vec());
    }
    let reply = queue::run(redis, script::REQUEST_REFRESH, &arguments).await?;
    reply.caller_wakes()
}

/// Replaces the lock by an error status. The other readers of the key get that error for `ttl`.
pub async fn remember(redis: &Redis, key: &Key, status: u16, ttl: Duration) -> Result<(), Error> {
    let arguments = [name(key), number(status), milliseconds(ttl)];
    queue::run(redis, script::REMEMBER, &arguments).await?;
    Ok(())
}

fn name(key: &Key) -> Vec<u8> {
    key.to_string().into_bytes()
}
