//! The worker: claims due tasks, fetches the current rows from Supabase, writes the entries, and
//! completes the tasks. It is the only writer of entries. However many replicas are woken, one
//! works: the holder of the lease.
//!
//! | module | content |
//! | --- | --- |
//! | this file | from a wake-up to a drain |
//! | `drain` | claims tasks and runs requests until no task is due |
//! | `batches` | which tasks share a request |
//! | `refresh` | fetches items |
//! | `list` | fetches the list, or the parts of it that have changed |
//! | `places`, `chunking` | which chunks have changed; where a list is cut |
//! | `write`, `write_list` | writes and removes entries, chunks and directories |
//! | `compress` | the content codings of an entry |
//! | `reconcile`, `compare` | compares the stored items with the list |
//! | `listing` | lists the store, empties the outbox |
//! | `failures`, `retry` | back-off and circuit breaker |
//! | `work_queue`, `lease` | the operations in Redis |
//! | `application` | refuses to share a prefix with another application |
//! | `capacity`, `pace` | the number of keys in the store; spaces the writes |
//! | `settings` | the variables that only the worker needs |

mod application;
mod batches;
mod capacity;
mod chunking;
mod compare;
mod compress;
mod drain;
mod failures;
mod lease;
mod list;
mod listing;
mod pace;
mod places;
mod reconcile;
mod refresh;
mod retry;
mod settings;
mod work_queue;
mod write;
mod write_list;

use afterword::log::{self, event};
use afterword::store::Store;
use afterword::{host, metrics, variables};
use application::Application;
use capacity::Capacity;
use drain::Deadline;
use failures::Failures;
use futures_util::future::{Either, pending, select};
use lease::{Acquired, Lease};
use list::ListRefresher;
use pace::Pace;
use reconcile::Reconciler;
use refresh::Refresher;
use settings::Settings;
use std::convert::Infallible;
use std::error::Error;
use std::pin::pin;
use std::time::Duration;
use work_queue::WorkQueue;
use write::Writer;

/// What a worker did.
pub enum Outcome {
    /// It worked on the queue.
    Drained(Report),
    /// Another worker holds the lease.
    Held,
    /// Another application uses the same prefix. The log says which.
    Refused,
}

/// What a worker did with the queue.
pub struct Report {
    /// The number of completed tasks.
    pub completed: u32,
    /// The number of tasks that failed, each as often as it failed.
    pub failed: u32,
    /// The number of tasks that are due; `None` if the lease was lost.
    pub due: Option<u64>,
    /// The time until the next task or reconciliation; `None` if the lease was lost.
    pub wait: Option<Duration>,
    /// Whether the caller has to wake the next worker after `wait`.
    pub wakes: bool,
}

/// Handles a message of the wake-up channel or of an expiry channel.
///
/// Any other payload is dropped without a call to Redis. A server may report every command (`set`,
/// `del`, …) on the expiry channels, and the worker would wake itself forever.
pub async fn on_message(payload: &[u8]) -> Result<(), Box<dyn Error>> {
    if !matches!(payload, b"wake" | b"expired") {
        return Ok(());
    }
    let queue = WorkQueue::open(variables::redis().await?).await?;
    // Before the lease: if a dead worker holds it, its expiry must be reported. An expiry event
    // shows that the events are enabled.
    if payload != b"expired" {
        queue.enable_expiry_events().await;
    }
    run(&queue, Deadline::default(), payload == b"expired").await?;
    Ok(())
}

/// Works on the queue for at most this time, for hosts without a Redis trigger.
pub async fn on_request(time: Duration) -> Result<Outcome, Box<dyn Error>> {
    let deadline = Deadline::after(time);
    let queue = WorkQueue::open(variables::redis().await?).await?;
    run(&queue, deadline, false).await
}

/// The log line about an error of [`on_message`] or [`on_request`].
pub fn failure(error: &(dyn Error + 'static)) -> log::Line {
    match error.downcast_ref() {
        Some(error) => log::not_configured(error),
        None => log::event(event::WORKER_FAILED, "could not work on the queue").error(error),
    }
}

/// `by_expiry`: Redis's report of an expired key woke the worker.
async fn run(
    queue: &WorkQueue,
    deadline: Deadline,
    by_expiry: bool,
) -> Result<Outcome, Box<dyn Error>> {
    let origin =
        variables::origin([metrics::WORKER_REQUEST_OK, metrics::WORKER_REQUEST_FAILED]).await?;
    let (lifetime, settings) = (variables::lifetime().await?, Settings::read().await?);
    let store = Store::open().await?;
    let application = Application::identify(&store, &origin).await;
    let lease = match Lease::acquire(queue, &application, by_expiry).await? {
        Acquired::Lease(lease) => lease,
        Acquired::Held => return Ok(Outcome::Held),
        Acquired::Refused { origin, free_in } => {
            let message = format!(
                "refused: `redis_prefix` is in use by another application, in front of {origin}. \
                 Give this one, in front of {}, a prefix of its own. If the other one is gone, its \
                 prefix is free in {} s",
                application.origin,
                free_in.as_secs()
            );
            log::event(event::PREFIX_IN_USE, message).emit();
            return Ok(Outcome::Refused);
        }
    };
    let failures = Failures::new(&lease, origin.configuration_digest());
    let writer = Writer {
        lease: &lease,
        origin: &origin,
        store: &store,
        failures: &failures,
        settings: &settings,
        pace: Pace::new(settings.limits.writes_per_second),
        capacity: Capacity::new(settings.limits.keys),
    };
    let refresher = Refresher {
        lease: &lease,
        origin: &origin,
        failures: &failures,
        writer: &writer,
    };
    let list = ListRefresher {
        lease: &lease,
        origin: &origin,
        failures: &failures,
        writer: &writer,
    };
    let reconciler = Reconciler {
        lease: &lease,
        origin: &origin,
        store: &store,
        failures: &failures,
        writer: &writer,
        list: &list,
        lifetime,
    };
    let drain = drain::drain(&refresher, &reconciler, deadline);
    let released = match select(pin!(drain), pin!(renew_forever(&lease))).await {
        Either::Left((drained, _)) => drained?,
        Either::Right((never, _)) => match never {},
    };
    queue.report().await?;
    Ok(Outcome::Drained(Report {
        completed: lease.completed(),
        failed: failures.failed(),
        due: released.map(|released| released.due),
        wait: released.map(|released| released.wait),
        wakes: released.is_some_and(|released| released.wakes),
    }))
}

/// Renews the lease during the drain. The loss of the lease does not end the drain: a write that is
/// under way must reach its completion, which queues the task again.
async fn renew_forever(lease: &Lease<'_>) -> Infallible {
    loop {
        host::sleep(Lease::RENEW_INTERVAL).await;
        if matches!(lease.renew().await, Ok(false)) {
            return pending().await;
        }
    }
}
