//! Cache misses: fetches from the origin, and coalesces concurrent requests for a key.
//!
//! Within an instance, readers of a key share one fetch ([`SingleFlight`]). Among instances, one
//! reader holds the fetch lock ([`fetch_lock`]) and the others poll the store. While Redis is away,
//! or while the store cannot be read, an instance fetches a key at most once a second. If only the
//! store fails, instances fetch it one after the other.
//!
//! A miss never writes the entry: a reader that fetched before a change and wrote after it would
//! restore the old row. The worker writes the entry, soon after the response.

use crate::after_response::AfterResponse;
use crate::cache_status::{CacheStatus, Forward, Forwarded};
use crate::failure::Failure;
use crate::fetch_lock::{self, FetchLock};
use crate::lookup::{Stored, lookup};
use crate::settings::Settings;
use crate::single_flight::SingleFlight;
use crate::window::Window;
use afterword::entry::Entry;
use afterword::freshness::Freshness;
use afterword::key::Key;
use afterword::limit::limit;
use afterword::log::{self, event};
use afterword::metrics::{self, Counter};
use afterword::postgrest::Error as OriginError;
use afterword::postgrest::request::REQUEST_LIMIT;
use afterword::{host, variables};
use http::StatusCode;
use std::error::Error;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// How long a reader waits for another reader's fetch, at least. The maximum is twice as long, and
/// random, so that waiting readers of a slow origin do not all give up at once.
const MIN_PATIENCE: Duration = Duration::from_secs(8);

/// The interval between polls of a waiting reader.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// How long an instance shares an outcome among its readers if it cannot share it through Redis and
/// the store.
const SHARED_FOR: Duration = Duration::from_secs(1);

/// The longest list that a reader fetches, in bytes. It is in memory up to three times, and some
/// hosts give an instance 128 MiB. Once the worker has stored a longer one, readers get it.
const MAX_LIST: usize = 32 << 20;

/// The outcome of a miss.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The store has it: a refresh stored it, or it is stale and the origin failed.
    Stored(Stored),
    /// The origin returned the content, with this status.
    Fetched(Entry, StatusCode),
    /// The origin has no such row, or failed.
    Failed(Failure),
    /// Another reader got this error a moment ago: the negative cache has it.
    Remembered(Failure),
}

impl Outcome {
    /// The counter of reads with this outcome.
    pub fn counter(&self, status: CacheStatus) -> Counter {
        match (self, status) {
            (Self::Stored(_), CacheStatus::StaleIfError { .. }) => metrics::READ_STALE_IF_ERROR,
            // A refresh or another reader's fetch stored it meanwhile.
            (Self::Stored(_), _) => metrics::READ_MISS,
            (Self::Fetched(..), CacheStatus::Forwarded(forwarded))
                if !forwarded.why.leads_to_an_entry() =>
            {
                metrics::READ_BYPASS
            }
            (Self::Fetched(..), _) => metrics::READ_MISS,
            (Self::Failed(failure), _) if failure.is_the_origins() => metrics::READ_FAILED,
            (Self::Failed(_), _) => metrics::READ_NOT_FOUND,
            (Self::Remembered(_), _) => metrics::READ_NEGATIVE,
        }
    }
}

/// Gets a key that the store lacks, whose entry is too old, or whose content the store cannot
/// return. `window` is the part of the list that is wanted. `stale` may be served if the origin
/// fails.
pub async fn miss(
    key: Key,
    window: Option<Window>,
    why: Forward,
    stale: Option<Stored>,
    settings: &Settings,
) -> (Outcome, CacheStatus, Option<AfterResponse>) {
    thread_local! {
        static FLIGHTS: Rc<SingleFlight<(Key, Option<Window>), Outcome>> = Rc::default();
    }
    let flights = FLIGHTS.with(Rc::clone);
    let wanted = (key.clone(), window);
    let fetch = resolve(&key, window, why, settings);
    let (outcome, collapsed) = flights.run(&wanted, fetch).await;
    let (now, lifetime) = (host::now(), settings.lifetime);
    let forwarded = |status: Option<StatusCode>| Forwarded {
        why,
        status: status.map(|status| status.as_u16()),
        collapsed,
    };
    let stale = stale.map(|stored| (lifetime.ttl(stored.fetched_at(), now), stored));
    let (outcome, status, after) = match (outcome, stale) {
        (Outcome::Remembered(failure), Some((ttl, entry))) if failure.is_the_origins() => {
            let forwarded = None;
            let status = CacheStatus::StaleIfError { ttl, forwarded };
            (Outcome::Stored(entry), status, None)
        }
        (Outcome::Failed(failure), Some((ttl, entry))) if failure.is_the_origins() => {
            let forwarded = Some(forwarded(failure.status));
            let status = CacheStatus::StaleIfError { ttl, forwarded };
            let after = AfterResponse::Remember(key, failure);
            (Outcome::Stored(entry), status, Some(after))
        }
        (Outcome::Stored(entry), _) => {
            let fetched_at = entry.fetched_at();
            let stale = lifetime.judge(fetched_at, now) == Freshness::Stale;
            let after = stale.then_some(AfterResponse::RequestRefresh { key, fetched_at });
            let ttl = lifetime.ttl(fetched_at, now);
            (Outcome::Stored(entry), CacheStatus::Hit { ttl }, after)
        }
        (Outcome::Remembered(failure), _) => {
            let ttl = i64::try_from(failure.lasts.as_secs()).unwrap_or(i64::MAX);
            let status = CacheStatus::NegativeHit { ttl };
            (Outcome::Remembered(failure), status, None)
        }
        (Outcome::Fetched(entry, status), _) => {
            let after = if why.leads_to_an_entry() {
                // The list takes precedence over items: there is always room for it.
                let is_new = why == Forward::UriMiss && key != Key::List;
                AfterResponse::ReleaseLock { key, is_new }
            } else {
                AfterResponse::ReleaseLockOnly(key)
            };
            let cache_status = CacheStatus::Forwarded(forwarded(Some(status)));
            (Outcome::Fetched(entry, status), cache_status, Some(after))
        }
        (Outcome::Failed(failure), _) => {
            let status = CacheStatus::Forwarded(forwarded(failure.status));
            let after = AfterResponse::Remember(key, failure.clone());
            (Outcome::Failed(failure), status, Some(after))
        }
    };
    // The leader of a shared fetch does the work for all.
    (outcome, status, after.filter(|_| !collapsed))
}

/// Resolves a miss for all readers of this instance, and tells for how long they share the outcome.
async fn resolve(
    key: &Key,
    window: Option<Window>,
    why: Forward,
    settings: &Settings,
) -> (Outcome, Duration) {
    let unshared = match wait_for_others(key, why, settings).await {
        Ok(Some(outcome)) => return (outcome, Duration::ZERO),
        // Other readers cannot read the outcome from the store.
        Ok(None) => !why.leads_to_an_entry(),
        Err(error) => {
            log::event(
                event::FETCH_LOCK_FAILED,
                format!("could not acquire the fetch lock of {key}"),
            )
            .key(key)
            .error(error)
            .emit();
            true
        }
    };
    let outcome = fetch(key, window, settings).await;
    let shared_for = match &outcome {
        _ if !unshared => Duration::ZERO,
        Outcome::Failed(failure) if failure.is_the_origins() => failure.remembered_for(),
        _ => SHARED_FOR,
    };
    (outcome, shared_for)
}

/// Waits while another reader holds the fetch lock. Returns the other reader's outcome; `None` if
/// this reader acquired the lock, or has waited too long. Polls the lock alone if the store cannot
/// return the content.
async fn wait_for_others(
    key: &Key,
    why: Forward,
    settings: &Settings,
) -> Result<Option<Outcome>, Box<dyn Error>> {
    let redis = variables::redis().await?;
    let fraction = f64::from(host::random() as u32) / f64::from(u32::MAX);
    let patience = MIN_PATIENCE.mul_f64(1.0 + fraction);
    let began = Instant::now();
    loop {
        match fetch_lock::acquire(&redis, key).await? {
            FetchLock::Acquired => return Ok(None),
            FetchLock::Remembered { status, ttl } => {
                let failure = Failure::remembered(status, ttl);
                return Ok(Some(Outcome::Remembered(failure)));
            }
            FetchLock::Held if began.elapsed() >= patience => return Ok(None),
            FetchLock::Held => host::sleep(POLL_INTERVAL).await,
        }
        if why.leads_to_an_entry()
            && let Ok(Some(entry)) = lookup(key, settings).await
            && settings.lifetime.serves(entry.fetched_at(), host::now())
        {
            let stored = Some(entry).filter(|entry| !entry.is_too_large());
            return Ok(stored.map(Outcome::Stored));
        }
    }
}

/// Fetches from the origin.
async fn fetch(key: &Key, window: Option<Window>, settings: &Settings) -> Outcome {
    let (fetched_at, origin) = (host::now(), &settings.origin);
    let read = async {
        let pages = match (key, window) {
            (Key::Item(id), _) => return origin.item(id).await,
            (Key::List, None) => origin.list(),
            (Key::List, Some(window)) => origin.window(window.offset, window.limit),
        };
        origin.read_pages(pages, MAX_LIST).await
    };
    let fetched = limit(REQUEST_LIMIT, read).await;
    let fetched = fetched.unwrap_or_else(|_| {
        metrics::count(metrics::READER_REQUEST_FAILED);
        Err(OriginError::TimedOut)
    });
    match fetched {
        Ok(fetched) => match fetched.content {
            Some(content) => {
                let entry = Entry::new(content, fetched_at, settings.source(key));
                Outcome::Fetched(entry, fetched.status)
            }
            None => Outcome::Failed(Failure::not_found(fetched.status)),
        },
        Err(error) => {
            log::event(event::FETCH_FAILED, format!("could not fetch {key}"))
                .key(key)
                .error(&error)
                .emit();
            Outcome::Failed(Failure::of_origin(&error))
        }
    }
}
