//! The outbox: tasks that Redis did not accept. They wait in the key-value store until a worker
//! that reaches Redis moves them to the work queue.
//!
//! Each webhook writes its own record, `outbox/…`, so writers do not conflict. The value is one
//! task a line. After the record, the webhook writes the flag `outbox`, whose value is the time of
//! the first record. The worker replaces that flag by `outbox-emptying` before it lists the store,
//! and deletes `outbox-emptying` last. So a webhook that arrives meanwhile sets `outbox` again, and
//! a worker that dies leaves `outbox-emptying` for the next one.

use crate::host;
use crate::limit::limit;
use crate::queue::Task;
use crate::store::{Error, Store};
use std::collections::HashSet;
use std::time::Duration;

const FLAG: &str = "outbox";
const EMPTYING: &str = "outbox-emptying";
const PREFIX: &str = "outbox/";

/// The time limit for a webhook's record. A webhook is answered within 1 s, and the attempt in
/// Redis takes up to 500 ms of it.
const PUT_LIMIT: Duration = Duration::from_millis(500);

/// Stores tasks durably.
pub async fn put(tasks: &[Task]) -> Result<(), Error> {
    let lines: String = tasks.iter().map(|task| format!("{task}\n")).collect();
    limit(PUT_LIMIT, async {
        let store = Store::open().await?;
        let name = format!("{PREFIX}{:016x}{:016x}", host::random(), host::random());
        store.set(&name, lines.as_bytes()).await?;
        let since = match store.get(FLAG).await? {
            Some(since) => since,
            None => host::now().to_string().into_bytes(),
        };
        store.set(FLAG, &since).await
    })
    .await?
}

/// Whether this is a key of the outbox.
pub fn has(key: &str) -> bool {
    matches!(key, FLAG | EMPTYING) || key.starts_with(PREFIX)
}

/// Whether there may be records.
pub async fn is_flagged(store: &Store) -> Result<bool, Error> {
    Ok(pending(store).await?.is_some())
}

/// Since when there may be records, in milliseconds since 1970: `None` if there are none,
/// `Some(None)` if the time is unknown.
pub async fn pending(store: &Store) -> Result<Option<Option<u64>>, Error> {
    let flag = match store.get(EMPTYING).await? {
        None => store.get(FLAG).await?,
        flag => flag,
    };
    Ok(flag.map(|since| str::from_utf8(&since).ok()?.parse().ok()))
}

/// Must be called before the store is listed for [`Records::read`]. A webhook whose record is
/// missing in the listing then sets the flag again.
pub async fn begin_emptying(store: &Store) -> Result<(), Error> {
    if store.get(EMPTYING).await?.is_none() {
        let since = store.get(FLAG).await?.unwrap_or_default();
        store.set(EMPTYING, &since).await?;
    }
    store.delete(FLAG).await
}

/// The records of the outbox.
pub struct Records<'a> {
    /// The tasks of all records that could be read, each once.
    pub tasks: Vec<Task>,
    /// The number of records that could not be read yet: some stores list a key before its value
    /// is readable.
    pub unreadable: usize,
    read: Vec<&'a str>,
}

impl<'a> Records<'a> {
    /// Reads all records among `names`, the keys of the store.
    pub async fn read(store: &Store, names: &'a [String]) -> Result<Self, Error> {
        let mut records = Self {
            tasks: Vec::new(),
            unreadable: 0,
            read: Vec::new(),
        };
        let mut seen = HashSet::new();
        for name in names.iter().filter(|name| name.starts_with(PREFIX)) {
            match store.get(name).await? {
                Some(lines) => {
                    let lines = String::from_utf8_lossy(&lines);
                    let new = lines.lines().filter(|line| seen.insert((*line).to_owned()));
                    records.tasks.extend(new.filter_map(Task::parse));
                    records.read.push(name);
                }
                None => records.unreadable += 1,
            }
        }
        Ok(records)
    }

    /// The number of records that were read.
    pub fn count(&self) -> usize {
        self.read.len()
    }

    /// Deletes the records that were read, whose tasks must be in Redis. Clears the flag unless
    /// there are unreadable records.
    pub async fn delete(self, store: &Store) -> Result<(), Error> {
        for name in self.read {
            store.delete(name).await?;
        }
        if self.unreadable == 0 {
            store.delete(EMPTYING).await?;
        }
        Ok(())
    }
}
