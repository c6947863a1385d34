//! Marks: what is dirty. The durable state is in Redis, as a set of keys and not as a queue of messages, so that marks
//! coalesce by themselves and their number is bounded by the number of keys.
//!
//! Everything that knows Redis is here. [`changed`] and [`wanted`] are the two verbs of the HTTP components; [`turn`], [`fetched`] and
//! [`answered`] keep a crowd that misses a key from the origin; [`Worker`] and [`Lease`] are the worker's side. The script, a file for each verb in `lua/`, says what is atomic and why.

mod connection;
pub mod script;
mod worker;

pub use connection::Error;
pub use worker::{Application, Claim, Lease, Mark, Queue, Released, Taken, Worker};

use crate::key::Key;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::time::{Duration, Instant};

/// The Redis server, and the application's keys there.
pub struct Redis {
    /// The server's URL, which may hold a password.
    url: String,
    /// The full names of [`script::NAMES`].
    keys: [String; script::NAMES.len()],
}

impl Redis {
    /// The keys of the application with this prefix, at the server with this URL. Two applications
    /// on one server need two prefixes. A prefix in braces is a hash tag: it keeps the keys on one
    /// node of a cluster.
    ///
    /// # Errors
    /// A prefix that cannot be part of a key and of a channel's name.
    pub fn new(url: String, prefix: &str) -> Result<Self, &'static str> {
        let fits =
            (1..=100).contains(&prefix.len()) && prefix.bytes().all(|it| it.is_ascii_graphic());
        if !fits {
            return Err("it must be 1 to 100 visible ASCII characters, such as `{afterword}`");
        }
        let keys = script::NAMES.map(|name| format!("{prefix}:{name}"));
        Ok(Self { url, keys })
    }

    /// The full name of the key that is `name` in [`script::NAMES`].
    fn key(&self, name: &str) -> &str {
        let at = script::NAMES.iter().position(|other| *other == name);
        &self.keys[at.expect("the name is one of `script::NAMES`")]
    }
}

/// What a member of the work queue stands for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Task {
    /// Refresh the entry of this key.
    Refresh(Key),
    /// Compare the stored items with the list.
    Reconcile,
    /// A related table has changed: the same, and refresh every item whose columns the list does
    /// not all show.
    RefreshRelated,
}

impl Task {
    /// The task with this name in the queue; `None` for a name that Afterword did not write.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "reconcile" => Some(Self::Reconcile),
            "related" => Some(Self::RefreshRelated),
            path => Key::from_path(path).map(Self::Refresh),
        }
    }
}

impl From<Key> for Task {
    fn from(key: Key) -> Self {
        Self::Refresh(key)
    }
}

impl fmt::Display for Task {
    /// The name in the queue.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refresh(key) => key.fmt(f),
            Self::Reconcile => f.write_str("reconcile"),
            Self::RefreshRelated => f.write_str("related"),
        }
    }
}

/// Whether a message with this payload wakes a worker: the word on the channel, or an expiry. On
/// the keyspace channels a server may tell of every command too (`set`, `del`, …): if those
/// counted, the worker's own writes would wake it for ever.
pub fn wakes(payload: &[u8]) -> bool {
    matches!(payload, b"wake" | b"expired")
}

/// A webhook said that something has changed: queues these tasks with a new version, whatever is
/// known of them, and wakes a worker. Returns the version's number.
pub async fn changed(redis: &Redis, tasks: &[Task]) -> Result<i64, Error> {
    connection::kept(redis, "changed", &names(tasks))
        .await?
        .integer()
}

fn names(tasks: &[Task]) -> Vec<Vec<u8>> {
    let name = |task: &Task| task.to_string().into_bytes();
    tasks.iter().map(name).collect()
}

/// A reader was sent a stale entry of `key`: marks it if it is not marked, and wakes a worker. At most once a second for a key in
/// an instance: what a thousand readers want is one refresh.
pub async fn wanted(redis: &Redis, key: &Key) -> Result<(), Error> {
    const PAUSE: Duration = Duration::from_secs(1);
    thread_local! {
        // As short as an instance's life: a hundred and some requests.
        static ASKED: RefCell<Vec<(Key, Instant)>> = const { RefCell::new(Vec::new()) };
    }
    let asked_lately = ASKED.with_borrow_mut(|asked| {
        asked.retain(|(_, at)| at.elapsed() < PAUSE);
        let lately = asked.iter().any(|(asked, _)| asked == key);
        if !lately {
            asked.push((key.clone(), Instant::now()));
        }
        lately
    });
    if asked_lately {
        return Ok(());
    }
    let arguments = [key.to_string().into_bytes()];
    connection::kept(redis, "wanted", &arguments)
        .await
        .map(drop)
}

/// Whether this instance has not [checked](check) for ten seconds, by this host's clock in
/// milliseconds. If so, it counts as having checked now.
pub fn check_is_due(now: u64) -> bool {
    const PAUSE: u64 = 10_000;
    thread_local! {
        static CHECKED: Cell<Option<u64>> = const { Cell::new(None) };
    }
    let due = CHECKED.get().is_none_or(|at| now.abs_diff(at) >= PAUSE);
    if due {
        CHECKED.set(Some(now));
    }
    due
}

/// Wakes a worker if something is overdue, or the alarm is gone: the safety net that depends on no
/// single message. For a response that has nothing else to tell Redis.
pub async fn check(redis: &Redis) -> Result<(), Error> {
    connection::kept(redis, "check", &[]).await.map(drop)
}

/// A reader whose [`Turn`] it was got what it missed from the origin: marks `key` if it is not marked, and wakes a worker, which
/// stores it. Who misses it before that may ask the origin in turn.
pub async fn fetched(redis: &Redis, key: &Key) -> Result<(), Error> {
    let arguments = [key.to_string().into_bytes(), b"asked".to_vec()];
    connection::kept(redis, "wanted", &arguments)
        .await
        .map(drop)
}

/// What a reader does who found no entry of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Asks the origin: nobody else does.
    Ask,
    /// Waits for what the reader who asks gets stored.
    Wait,
    /// Gives the answer that another got from the origin a moment ago.
    Answered {
        /// Its status.
        status: u16,
        /// For how much longer it holds.
        ttl: Duration,
    },
}

/// A reader found no entry of `key`: whose turn it is to ask the origin. Nobody else's is it for three seconds, or until the reader
/// says what came of it ([`fetched`], [`answered`]): so long does one that died hold up the others.
///
/// A Redis that does not answer is not asked again for two seconds in an instance: it would hold up each cold read by a second.
pub async fn turn(redis: &Redis, key: &Key) -> Result<Turn, Error> {
    const CLAIM: Duration = Duration::from_secs(3);
    // A crowd makes many instances connect at once, and each that gives up asks the origin.
    const LIMIT: Duration = Duration::from_secs(1);
    const PAUSE: Duration = Duration::from_secs(2);
    thread_local! {
        static SILENT: Cell<Option<Instant>> = const { Cell::new(None) };
    }
    if SILENT.get().is_some_and(|since| since.elapsed() < PAUSE) {
        return Err(Error::TimeUp);
    }
    let arguments = [key.to_string().into_bytes(), milliseconds(CLAIM)];
    let reply = connection::kept_within(LIMIT, redis, "miss", &arguments).await;
    if let Err(Error::TimeUp) = reply {
        SILENT.set(Some(Instant::now()));
    }
    let reply = reply?;
    let [status, ttl] = reply.integers()?;
    Ok(match status {
        0 => Turn::Ask,
        1 => Turn::Wait,
        _ => Turn::Answered {
            status: u16::try_from(status).map_err(|_| Error::Reply)?,
            ttl: Duration::from_millis(ttl.unsigned_abs()),
        },
    })
}

/// A reader whose [`Turn`] it was came to this error's status, which holds for so long, for all who miss the key.
pub async fn answered(redis: &Redis, key: &Key, status: u16, ttl: Duration) -> Result<(), Error> {
    let arguments = [
        key.to_string().into_bytes(),
        number(status),
        milliseconds(ttl),
    ];
    connection::kept(redis, "answered", &arguments)
        .await
        .map(drop)
}

fn milliseconds(duration: Duration) -> Vec<u8> {
    number(duration.as_millis())
}

fn number(number: impl std::fmt::Display) -> Vec<u8> {
    number.to_string().into_bytes()
}
