//! What is done after the response: the key is queued, a failure is remembered, the fetch lock is
//! released.

use crate::failure::Failure;
use crate::stored;
use afterword::freshness;
use afterword::key::Key;
use afterword::{marks, variables};
use http::StatusCode;
use std::cell::Cell;
use std::error::Error;
use std::time::{Duration, Instant};

/// What is left to do after the response.
#[derive(Clone, Debug)]
pub enum After {
    /// The reader got a fresh entry: an occasion to see whether a worker is needed.
    Fresh(Key),
    /// The reader got a stale entry, fetched at this millisecond since 1970.
    Stale(Key, u64),
    /// The reader got it from the origin.
    Fetched(Key),
    /// The same, but the store could not be read: it may well hold the entry.
    Bypassed(Key),
    /// The origin failed, or has no such row.
    Failed(Key, Failure),
}

impl After {
    /// Does it, and says in the log if it could not be done.
    pub async fn carry_out(self) {
        let (Self::Fresh(key)
        | Self::Stale(key, _)
        | Self::Fetched(key)
        | Self::Bypassed(key)
        | Self::Failed(key, _)) = &self;
        if let Self::Fresh(_) = self {
            // The response leaves first. A call to the host at once would keep its body waiting: Spin
            // then sends the head alone, and the body waits for a delayed ACK of 40 ms.
            spin_sdk::time::sleep(Duration::from_millis(100)).await;
        }
        if let Err(error) = self.in_redis(key).await {
            eprintln!("could not note what came of a read of {key}: {error}");
        }
        if let Self::Stale(key, fetched_at) = self {
            report_if_it_stays_stale(&key, fetched_at).await;
        }
    }

    async fn in_redis(&self, key: &Key) -> Result<(), Box<dyn Error>> {
        let redis = variables::redis().await?;
        match self {
            Self::Fresh(_) => marks::check(&redis).await?,
            Self::Stale(..) => marks::wanted(&redis, key).await?,
            Self::Fetched(_) => marks::fetched(&redis, key).await?,
            // Releases the fetch lock, and queues nothing: each read of a failing store would cost
            // a refresh.
            Self::Bypassed(_) => {
                let status = StatusCode::OK.as_u16();
                marks::answered(&redis, key, status, Duration::ZERO).await?;
            }
            Self::Failed(_, failure) => {
                let status = failure.problem.status.as_u16();
                marks::answered(&redis, key, status, failure.remembered_for()).await?;
            }
        }
        Ok(())
    }
}

/// Says in the log that no worker refreshes an entry that readers ask for. Looks at most once a
/// minute in an instance.
async fn report_if_it_stays_stale(key: &Key, fetched_at: u64) {
    /// An entry that has been stale for less is not looked at.
    const OVERDUE: Duration = Duration::from_secs(60);
    const EVERY: Duration = Duration::from_secs(60);
    /// A worker that is well has refreshed the entry by then.
    const GRACE: Duration = Duration::from_secs(5);
    thread_local! {
        static LOOKED: Cell<Option<Instant>> = const { Cell::new(None) };
    }
    let Ok(reading) = variables::reading().await else {
        return;
    };
    let stale_for = || {
        let age = freshness::age(fetched_at, freshness::now());
        age.saturating_sub(reading.lifetime.max_age)
    };
    if stale_for() < OVERDUE || LOOKED.get().is_some_and(|at| at.elapsed() < EVERY) {
        return;
    }
    LOOKED.set(Some(Instant::now()));
    spin_sdk::time::sleep(GRACE).await;
    if let Ok(Some(entry)) = stored(key, &reading).await
        && entry.fetched_at <= fetched_at
    {
        eprintln!(
            "{key} has been stale for {} s, and no worker has refreshed it although it is queued: \
             see \"Entries that stay stale\" in docs/operating.md",
            stale_for().as_secs()
        );
    }
}
