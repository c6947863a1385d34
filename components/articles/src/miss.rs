//! What a reader gets of whom the store has nothing: from the origin, and such that a crowd of readers asks it a few times at most.
//!
//! Within an instance, one reader asks for all who miss the same key ([`Flights`]). Among instances, Redis says whose turn it is
//! ([`marks::turn`]); the others look into the store until it is there. Where Redis is away, each instance asks once.

use crate::collapse::Flights;
use crate::stored;
use afterword::cache_status::{CacheStatus, Forward};
use afterword::entry::Entry;
use afterword::freshness::{self, Freshness, Lifetime};
use afterword::key::Key;
use afterword::limit::limit;
use afterword::marks::{self, Turn};
use afterword::postgrest::{self, fetch};
use afterword::problem::{self, Problem};
use afterword::variables;
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

/// How long an outcome serves all readers of an instance while Redis cannot say whose turn it is.
const WITHOUT_REDIS: Duration = Duration::from_secs(1);

/// How long it holds for all readers that there is no such article. An entry that comes meanwhile is looked at first.
const ABSENT: Duration = Duration::from_secs(5);

/// How long it holds for all readers that the origin failed.
const FAILED: Duration = Duration::from_secs(1);

/// How a miss ended.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// Another reader had it stored.
    Stored(Entry),
    /// The origin had it; with its status.
    Fetched(Entry, StatusCode),
    /// It had not, or failed; with its status, if it answered.
    Failed(&'static Problem, Option<StatusCode>),
    /// It had not, or failed, for another reader a moment ago; for how much longer that holds.
    Known(&'static Problem, Duration),
}

/// What is left to do after the response.
#[derive(Clone, Debug)]
pub enum After {
    /// The reader got a stale entry.
    Stale(Key),
    /// The reader got it from the origin.
    Fetched(Key),
    /// The reader got this error.
    Failed(Key, &'static Problem),
}

/// Gets `key`, which the store has not, or not any more, or could not be asked for.
pub async fn miss(
    key: Key,
    why: Forward,
    lifetime: Lifetime,
) -> (Outcome, CacheStatus, Option<After>) {
    thread_local! {
        static FLIGHTS: Rc<Flights<Outcome>> = Rc::default();
    }
    let flights = FLIGHTS.with(Rc::clone);
    let (outcome, collapsed) = flights.share(&key, lead(&key, why, lifetime)).await;
    let forwarded = |status: Option<StatusCode>| CacheStatus::Forwarded {
        why,
        status: status.map(|status| status.as_u16()),
        collapsed,
    };
    let (status, after) = match &outcome {
        Outcome::Stored(entry) => {
            let now = freshness::now();
            let stale = lifetime.judge(entry.fetched_at, now) == Freshness::Stale;
            let ttl = lifetime.ttl(entry.fetched_at, now);
            (CacheStatus::Hit { ttl }, stale.then_some(After::Stale(key)))
        }
        Outcome::Known(_, ttl) => {
            let ttl = i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX);
            (CacheStatus::NegativeHit { ttl }, None)
        }
        Outcome::Fetched(_, status) => (forwarded(Some(*status)), Some(After::Fetched(key))),
        Outcome::Failed(problem, status) => (forwarded(*status), Some(After::Failed(key, problem))),
    };
    (outcome, status, after.filter(|_| !collapsed))
}

async fn lead(key: &Key, why: Forward, lifetime: Lifetime) -> (Outcome, Duration) {
    // What cannot be read from the store is not waited for there.
    if why == Forward::Bypass {
        return (fetch(key).await, Duration::ZERO);
    }
    match others(key, lifetime).await {
        Ok(Some(outcome)) => (outcome, Duration::ZERO),
        Ok(None) => (fetch(key).await, Duration::ZERO),
        Err(error) => {
            eprintln!("could not tell other readers of {key}: {error}");
            (fetch(key).await, WITHOUT_REDIS)
        }
    }
}

/// What other readers come to; `None` when it is this one's turn, or its patience ends.
async fn others(key: &Key, lifetime: Lifetime) -> Result<Option<Outcome>, Box<dyn Error>> {
    let redis = variables::redis().await?;
    let patience = PATIENCE.mul_f64(1.0 + f64::from(get_random_u64() as u32) / f64::from(u32::MAX));
    let began = Instant::now();
    loop {
        match marks::turn(&redis, key).await? {
            Turn::Ask => return Ok(None),
            Turn::Answered { status, ttl } => {
                return Ok(Some(Outcome::Known(with_status(status), ttl)));
            }
            Turn::Wait if began.elapsed() >= patience => return Ok(None),
            Turn::Wait => spin_sdk::time::sleep(LOOK).await,
        }
        if let Ok(Some(entry)) = stored(key).await
            && lifetime.serves(entry.fetched_at, freshness::now())
        {
            return Ok(Some(Outcome::Stored(entry)));
        }
    }
}

/// Asks the origin. The entry is not written here: a reader that fetched before a change and wrote after it would put the old row
/// back. The worker writes it, soon after.
async fn fetch(key: &Key) -> Outcome {
    let fetched_at = freshness::now();
    let origin = match variables::origin().await {
        Ok(origin) => origin,
        Err(error) => {
            eprintln!("{error}");
            return Outcome::Failed(&problem::NOT_SET_UP, None);
        }
    };
    let read = limit(fetch::WHOLE, origin.read(key))
        .await
        .unwrap_or(Err(postgrest::Error::TimedOut));
    match read {
        Ok(read) => match read.content {
            Some(content) => Outcome::Fetched(
                Entry::new(content, fetched_at, origin.source(key)),
                read.status,
            ),
            None => Outcome::Failed(&problem::NO_SUCH_ARTICLE, Some(read.status)),
        },
        Err(error) => {
            eprintln!("could not fetch {key}: {error}");
            failed(&error)
        }
    }
}

/// RFC 9110, section 15.6: 504 where the origin did not answer in time, 503 where it asks for patience, else 502.
fn failed(error: &postgrest::Error) -> Outcome {
    match error {
        postgrest::Error::TimedOut => Outcome::Failed(&problem::ORIGIN_TIMED_OUT, None),
        postgrest::Error::Status { status, .. } => {
            let asks_for_patience = matches!(
                *status,
                StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS
            );
            let problem = if asks_for_patience {
                &problem::ORIGIN_UNAVAILABLE
            } else {
                &problem::ORIGIN_FAILED
            };
            Outcome::Failed(problem, Some(*status))
        }
        _ => Outcome::Failed(&problem::ORIGIN_FAILED, None),
    }
}

/// The problem that a reader came to who noted this status.
fn with_status(status: u16) -> &'static Problem {
    [
        &problem::NO_SUCH_ARTICLE,
        &problem::ORIGIN_UNAVAILABLE,
        &problem::ORIGIN_TIMED_OUT,
    ]
    .into_iter()
    .find(|problem| problem.status.as_u16() == status)
    .unwrap_or(&problem::ORIGIN_FAILED)
}

impl After {
    /// Does it, and says in the log if it could not be done.
    pub async fn carry_out(self) {
        let (key, done) = match &self {
            Self::Stale(key) | Self::Fetched(key) | Self::Failed(key, _) => {
                (key, self.in_redis(key).await)
            }
        };
        if let Err(error) = done {
            eprintln!("could not note what came of a read of {key}: {error}");
        }
    }

    async fn in_redis(&self, key: &Key) -> Result<(), Box<dyn Error>> {
        let redis = variables::redis().await?;
        match self {
            Self::Stale(_) => marks::wanted(&redis, key).await?,
            Self::Fetched(_) => marks::fetched(&redis, key).await?,
            // What is wrong here says nothing about another instance.
            Self::Failed(_, problem) if **problem == problem::NOT_SET_UP => {}
            Self::Failed(_, problem) => {
                let absent = problem.status == StatusCode::NOT_FOUND;
                let ttl = if absent { ABSENT } else { FAILED };
                marks::answered(&redis, key, problem.status.as_u16(), ttl).await?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_noted_status_is_the_problem_that_was_noted() {
        for problem in [
            &problem::NO_SUCH_ARTICLE,
            &problem::ORIGIN_FAILED,
            &problem::ORIGIN_UNAVAILABLE,
            &problem::ORIGIN_TIMED_OUT,
        ] {
            assert_eq!(with_status(problem.status.as_u16()), problem);
        }
    }
}
