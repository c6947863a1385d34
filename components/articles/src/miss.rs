//! Cache misses: fetches from the origin, coalescing concurrent requests for the same key.
//!
//! Within an instance, readers of a key share one fetch ([`Flights`]). Among instances, the fetch
//! lock in Redis ([`marks::turn`]) lets one of them fetch, while the others poll the store. While
//! Redis is away or the store cannot be read, each instance fetches at most once a second; with
//! Redis, one instance after the other.

use crate::after::After;
use crate::collapse::Flights;
use crate::failure::Failure;
use crate::stored;
use afterword::cache_status::{CacheStatus, Forward, Forwarded};
use afterword::entry::Entry;
use afterword::freshness::{self, Freshness};
use afterword::key::Key;
use afterword::limit::limit;
use afterword::marks::{self, Turn};
use afterword::postgrest::{self, fetch};
use afterword::variables::{self, Reading};
use http::StatusCode;
use spin_sdk::wasip3::random::random::get_random_u64;
use std::error::Error;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// How long a reader waits for what another is getting, in all, and up to as long again, by chance: those of a slow origin are not to lose
/// their patience all at once.
const PATIENCE: Duration = Duration::from_secs(8);

/// How often it looks meanwhile.
const LOOK: Duration = Duration::from_millis(100);

/// How long an outcome serves all readers of an instance that cannot share it through Redis and the
/// store.
const UNSHARED: Duration = Duration::from_secs(1);

/// How a miss ended.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The store holds an entry: another reader got it stored, or it is stale and the origin
    /// failed.
    Stored(Entry),
    /// The origin had it; with its status.
    Fetched(Entry, StatusCode),
    /// The origin had not, or failed.
    Failed(Failure),
    /// The same a moment ago, for another reader: from the negative cache.
    Known(Failure),
}

/// Gets `key`, which the store has not, or not fresh enough, or could not be asked for. `held` is
/// what the store has that may be served if the origin fails.
pub async fn miss(
    key: Key,
    why: Forward,
    held: Option<Entry>,
    reading: &Reading,
) -> (Outcome, CacheStatus, Option<After>) {
    thread_local! {
        static FLIGHTS: Rc<Flights<Outcome>> = Rc::default();
    }
    let flights = FLIGHTS.with(Rc::clone);
    let (outcome, collapsed) = flights.share(&key, lead(&key, why, reading)).await;
    let (now, lifetime) = (freshness::now(), reading.lifetime);
    let forwarded = |status: Option<StatusCode>| Forwarded {
        why,
        status: status.map(|status| status.as_u16()),
        collapsed,
    };
    // What is sent instead of an error, and for how long it is fresh.
    let instead = held.map(|held| (lifetime.ttl(held.fetched_at, now), held));
    let (outcome, status, after) = match (outcome, instead) {
        (Outcome::Known(failure), Some((ttl, held))) if failure.is_origins() => {
            let forwarded = None;
            let status = CacheStatus::StaleIfError { ttl, forwarded };
            (Outcome::Stored(held), status, None)
        }
        (Outcome::Failed(failure), Some((ttl, held))) if failure.is_origins() => {
            let forwarded = Some(forwarded(failure.status));
            let status = CacheStatus::StaleIfError { ttl, forwarded };
            let after = After::Failed(key, failure);
            (Outcome::Stored(held), status, Some(after))
        }
        (Outcome::Stored(entry), _) => {
            let stale = lifetime.judge(entry.fetched_at, now) == Freshness::Stale;
            let after = stale.then_some(After::Stale(key, entry.fetched_at));
            let ttl = lifetime.ttl(entry.fetched_at, now);
            (Outcome::Stored(entry), CacheStatus::Hit { ttl }, after)
        }
        (Outcome::Known(failure), _) => {
            let ttl = i64::try_from(failure.lasts.as_secs()).unwrap_or(i64::MAX);
            (
                Outcome::Known(failure),
                CacheStatus::NegativeHit { ttl },
                None,
            )
        }
        (Outcome::Fetched(entry, status), _) => {
            let after = match why {
                Forward::Bypass => After::Bypassed(key),
                Forward::UriMiss | Forward::Stale => After::Fetched(key),
            };
            let told = CacheStatus::Forwarded(forwarded(Some(status)));
            (Outcome::Fetched(entry, status), told, Some(after))
        }
        (Outcome::Failed(failure), _) => {
            let told = CacheStatus::Forwarded(forwarded(failure.status));
            let after = After::Failed(key, failure.clone());
            (Outcome::Failed(failure), told, Some(after))
        }
    };
    (outcome, status, after.filter(|_| !collapsed))
}

async fn lead(key: &Key, why: Forward, reading: &Reading) -> (Outcome, Duration) {
    let unshared = match others(key, why, reading).await {
        Ok(Some(outcome)) => return (outcome, Duration::ZERO),
        // Other readers cannot get it from the store.
        Ok(None) => why == Forward::Bypass,
        Err(error) => {
            eprintln!("could not tell other readers of {key}: {error}");
            true
        }
    };
    let outcome = fetch(key, reading).await;
    let lasts = match &outcome {
        _ if !unshared => Duration::ZERO,
        Outcome::Failed(failure) if failure.is_origins() => failure.remembered_for(),
        _ => UNSHARED,
    };
    (outcome, lasts)
}

/// What other readers come to; `None` when this one holds the fetch lock, or its patience ends. A
/// store that could not be read is not polled, only the lock.
async fn others(
    key: &Key,
    why: Forward,
    reading: &Reading,
) -> Result<Option<Outcome>, Box<dyn Error>> {
    let redis = variables::redis().await?;
    let patience = PATIENCE.mul_f64(1.0 + f64::from(get_random_u64() as u32) / f64::from(u32::MAX));
    let began = Instant::now();
    loop {
        match marks::turn(&redis, key).await? {
            Turn::Ask => return Ok(None),
            Turn::Answered { status, ttl } => {
                return Ok(Some(Outcome::Known(Failure::known(status, ttl))));
            }
            Turn::Wait if began.elapsed() >= patience => return Ok(None),
            Turn::Wait => spin_sdk::time::sleep(LOOK).await,
        }
        if why != Forward::Bypass
            && let Ok(Some(entry)) = stored(key, reading).await
            && reading.lifetime.serves(entry.fetched_at, freshness::now())
        {
            return Ok(Some(Outcome::Stored(entry)));
        }
    }
}

/// Asks the origin. The entry is not written here: a reader that fetched before a change and wrote after it would put the old row
/// back. The worker writes it, soon after.
async fn fetch(key: &Key, reading: &Reading) -> Outcome {
    let fetched_at = freshness::now();
    let read = limit(fetch::WHOLE, reading.origin.read(key))
        .await
        .unwrap_or(Err(postgrest::Error::TimedOut));
    match read {
        Ok(read) => match read.content {
            Some(content) => {
                let entry = Entry::new(content, fetched_at, reading.source(key));
                Outcome::Fetched(entry, read.status)
            }
            None => Outcome::Failed(Failure::absent(read.status)),
        },
        Err(error) => {
            eprintln!("could not fetch {key}: {error}");
            Outcome::Failed(Failure::of(&error))
        }
    }
}
