//! The outbox: tasks that Redis did not take, in the key-value store, until a worker that reaches
//! Redis moves them there.
//!
//! Each webhook has a record of its own, `outbox/…`, so that no two writers share one; its value is
//! the tasks, a line each. A flag, `outbox`, says that there are some, and is written after them.
//! The worker that empties the outbox first turns it into a flag of its own, `outbox-emptying`, and
//! deletes that one last: a webhook that comes meanwhile sets the first flag again, and a worker
//! that dies over it leaves the second for the next.

use crate::limit::limit;
use crate::marks::{self, Queue, Task, Worker};
use crate::store::{Error, Store};
use spin_sdk::wasip3::random::random::get_random_u64;
use std::fmt;
use std::time::Duration;

const FLAG: &str = "outbox";
const EMPTYING: &str = "outbox-emptying";
const PREFIX: &str = "outbox/";

/// How long a webhook may wait for it: Redis has had its half of the second before.
const LIMIT: Duration = Duration::from_millis(500);

/// Why records are still there.
#[derive(Debug)]
pub enum NotEmptied {
    /// The store failed.
    Store(Error),
    /// Redis did not take their tasks.
    Redis(marks::Error),
    /// So many of them cannot be read yet.
    Unread(usize),
}

impl fmt::Display for NotEmptied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => error.fmt(f),
            Self::Redis(error) => error.fmt(f),
            Self::Unread(records) => write!(f, "{records} of its records cannot be read yet"),
        }
    }
}

impl std::error::Error for NotEmptied {}

impl From<Error> for NotEmptied {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

impl From<marks::Error> for NotEmptied {
    fn from(error: marks::Error) -> Self {
        Self::Redis(error)
    }
}

/// Keeps tasks; they are kept if this succeeds.
pub async fn put(tasks: &[Task]) -> Result<(), Error> {
    let lines: String = tasks.iter().map(|task| format!("{task}\n")).collect();
    limit(LIMIT, async {
        let store = Store::open().await?;
        let name = format!("{PREFIX}{:016x}{:016x}", get_random_u64(), get_random_u64());
        store.set(&name, lines.as_bytes()).await?;
        store.set(FLAG, b"").await
    })
    .await?
}

/// Whether there may be records.
pub async fn is_flagged(store: &Store) -> Result<bool, Error> {
    Ok(store.get(FLAG).await?.is_some() || store.get(EMPTYING).await?.is_some())
}

/// To be called before the store's keys are listed for [`empty`]: from now on, a webhook that is
/// missing in the list sets the flag again.
pub async fn begin(store: &Store) -> Result<(), Error> {
    store.set(EMPTYING, b"").await?;
    store.delete(FLAG).await
}

/// Moves to Redis all records among `names`, the keys of the store, and returns how many there
/// were. One that cannot be read yet stays, and so does the flag: some stores list a key before
/// they have its value.
pub async fn empty(store: &Store, worker: &Worker, names: &[String]) -> Result<usize, NotEmptied> {
    let records = names.iter().filter(|name| name.starts_with(PREFIX));
    let (mut read, mut tasks, mut unread) = (Vec::new(), Vec::new(), 0);
    for name in records {
        match store.get(name).await? {
            Some(lines) => {
                tasks.extend(
                    String::from_utf8_lossy(&lines)
                        .lines()
                        .filter_map(Task::parse),
                );
                read.push(name);
            }
            None => unread += 1,
        }
    }
    worker.queue(Queue::Changed, &tasks).await?;
    for name in &read {
        store.delete(name).await?;
    }
    if unread > 0 {
        return Err(NotEmptied::Unread(unread));
    }
    store.delete(EMPTYING).await?;
    Ok(read.len())
}
