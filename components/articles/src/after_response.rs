//! The work that a read leaves for after the response: request a refresh, release the fetch lock, or
//! remember an error.

use crate::failure::Failure;
use crate::lookup::lookup;
use crate::settings::Settings;
use crate::{fetch_lock, refresh_request};
use afterword::key::Key;
use afterword::log::{self, event};
use afterword::{freshness, host, variables, wake};
use http::StatusCode;
use std::cell::Cell;
use std::error::Error;
use std::time::{Duration, Instant};

/// What a read leaves to do after the response.
#[derive(Clone, Debug)]
pub enum AfterResponse {
    /// The entry was stale: request a refresh. `fetched_at` is in milliseconds since 1970.
    RequestRefresh {
        /// The stale key.
        key: Key,
        /// When the entry was fetched.
        fetched_at: u64,
    },
    /// The key was missing or expired, and was fetched: release the fetch lock and request a
    /// refresh.
    ReleaseLock {
        /// The key.
        key: Key,
        /// It was missing.
        is_new: bool,
    },
    /// The key was fetched because the store cannot return its content: release the fetch lock. A
    /// refresh for each such read would only add load.
    ReleaseLockOnly(Key),
    /// The fetch brought no content: remember why.
    Remember(Key, Failure),
}

impl AfterResponse {
    /// Does the work. Failures are logged.
    pub async fn run(self) {
        match self.call_redis().await {
            Ok(false) => {}
            Ok(true) => wake::wake().await,
            Err(error) => self.not_reported().error(error).emit(),
        }
        if let Self::RequestRefresh { key, fetched_at } = self {
            log_if_still_stale(&key, fetched_at).await;
        }
    }

    /// The log line of work that failed.
    fn not_reported(&self) -> log::Line {
        let (Self::RequestRefresh { key, .. }
        | Self::ReleaseLock { key, .. }
        | Self::ReleaseLockOnly(key)
        | Self::Remember(key, _)) = self;
        let message = format!("could not update Redis after a read of {key}");
        log::event(event::READ_NOT_REPORTED, message).key(key)
    }

    /// Returns whether the caller has to wake a worker.
    async fn call_redis(&self) -> Result<bool, Box<dyn Error>> {
        let redis = variables::redis().await?;
        Ok(match self {
            Self::RequestRefresh { key, .. } => {
                refresh_request::request_refresh(&redis, key).await?
            }
            Self::ReleaseLock { key, is_new } => fetch_lock::release(&redis, key, *is_new).await?,
            Self::ReleaseLockOnly(key) => {
                // An outcome that expires at once replaces the lock: that releases it.
                let status = StatusCode::OK.as_u16();
                fetch_lock::remember(&redis, key, status, Duration::ZERO).await?;
                false
            }
            Self::Remember(key, failure) => {
                let status = failure.problem.status.as_u16();
                fetch_lock::remember(&redis, key, status, failure.remembered_for()).await?;
                false
            }
        })
    }
}

/// Logs an entry that no worker refreshes although readers request it. An instance looks at most
/// once a minute. If each read has an instance of its own, one in `READS_PER_LOOK` looks, because a
/// look keeps the instance alive.
async fn log_if_still_stale(key: &Key, fetched_at: u64) {
    /// Entries that have been stale for less time are ignored.
    const OVERDUE: Duration = Duration::from_secs(60);
    const INTERVAL: Duration = Duration::from_secs(60);
    /// A healthy worker refreshes the entry in this time.
    const GRACE: Duration = Duration::from_secs(5);
    const READS_PER_LOOK: u64 = 64;
    thread_local! {
        static LOOKED_AT: Cell<Option<Instant>> = const { Cell::new(None) };
    }
    let Ok(settings) = Settings::read().await else {
        return;
    };
    let stale_for = || {
        let age = freshness::age(fetched_at, host::now());
        age.saturating_sub(settings.lifetime.max_age)
    };
    if stale_for() < OVERDUE || LOOKED_AT.get().is_some_and(|at| at.elapsed() < INTERVAL) {
        return;
    }
    if !host::REUSES_INSTANCES && !host::random().is_multiple_of(READS_PER_LOOK) {
        return;
    }
    LOOKED_AT.set(Some(Instant::now()));
    host::sleep(GRACE).await;
    if let Ok(Some(entry)) = lookup(key, &settings).await
        && entry.fetched_at() <= fetched_at
        && !refresh_request::worker_is_paused()
    {
        let stale_for = stale_for();
        let message = format!(
            "{key} has been stale for {} s, and no worker has refreshed it although it is queued: \
             see \"Entries that stay stale\" in docs/operating.md",
            stale_for.as_secs()
        );
        log::event(event::ENTRY_STAYS_STALE, message)
            .key(key)
            .ms(stale_for)
            .emit();
    }
}
