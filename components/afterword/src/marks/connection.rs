//! A connection to Redis, with time limits, and what comes back from a script.

use super::Redis;
use super::script::{SHA1, TEXT};
use crate::limit::{TimeUp, limit};
use spin_sdk::redis::{self, RedisParameter, RedisResult};
use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

/// How long Redis may keep an HTTP component waiting in all, a second try on a new connection included. With the outbox's
/// own limit, a webhook is answered within a second whatever is dead.
const ANSWER_LIMIT: Duration = Duration::from_millis(500);

/// How long one call of the worker may take.
const CALL_LIMIT: Duration = Duration::from_secs(5);

/// Why Redis did not do it. Never holds the URL, which may hold a password.
#[derive(Debug)]
pub enum Error {
    /// No answer in time.
    TimeUp,
    /// The address is not allowed by `allowed_outbound_hosts`, or is none.
    Address,
    /// Redis, or the way to it, failed.
    Redis(String),
    /// A script answered what no version of it answers.
    Reply,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimeUp => f.write_str("Redis: no answer in time"),
            Self::Address => f.write_str("Redis: `redis_url` is no address, or `redis_address` does not name the same host and port"),
            Self::Redis(text) => write!(f, "Redis: {text}"),
            Self::Reply => f.write_str("Redis: a script gave an unexpected answer"),
        }
    }
}

impl std::error::Error for Error {}

impl Error {
    /// Redis refused to write, for want of memory (`maxmemory` with `noeviction`): trying again at
    /// once is of no use.
    pub(super) fn is_out_of_memory(&self) -> bool {
        matches!(self, Self::Redis(text) if text.contains("OOM"))
    }
}

impl From<TimeUp> for Error {
    fn from(TimeUp(_): TimeUp) -> Self {
        Self::TimeUp
    }
}

impl From<redis::Error> for Error {
    fn from(error: redis::Error) -> Self {
        match error {
            redis::Error::InvalidAddress => Self::Address,
            redis::Error::TooManyConnections => Self::Redis("too many open connections".into()),
            redis::Error::TypeError => Self::Reply,
            redis::Error::Other(text) => Self::Redis(text),
        }
    }
}

/// What a script returned: Spin hands nested arrays over as one flat list.
pub(super) struct Reply(Vec<RedisResult>);

impl Reply {
    /// The script returned `nil`.
    pub(super) fn is_nil(&self) -> bool {
        matches!(self.0[..], [RedisResult::Nil])
    }

    /// A single integer.
    pub(super) fn integer(&self) -> Result<i64, Error> {
        match self.0[..] {
            [RedisResult::Int64(value)] => Ok(value),
            _ => Err(Error::Reply),
        }
    }

    /// Two integers.
    pub(super) fn integers(&self) -> Result<[i64; 2], Error> {
        match self.0[..] {
            [RedisResult::Int64(first), RedisResult::Int64(second)] => Ok([first, second]),
            _ => Err(Error::Reply),
        }
    }

    /// A single string.
    pub(super) fn text(&self) -> Result<&[u8], Error> {
        match &self.0[..] {
            [RedisResult::Binary(text)] => Ok(text),
            _ => Err(Error::Reply),
        }
    }

    /// The elements of a list.
    pub(super) fn list(&self) -> &[RedisResult] {
        &self.0
    }
}

/// An open connection. Each is a TCP connection of its own, closed on drop.
pub(super) struct Connection(redis::Connection);

impl Connection {
    /// Connects to `url`, which may hold a user and a password.
    pub(super) async fn open(url: &str) -> Result<Self, Error> {
        Ok(Self(
            limit(CALL_LIMIT, redis::Connection::open(url)).await??,
        ))
    }

    /// Runs a command.
    pub(super) async fn command(&self, name: &str, arguments: &[&[u8]]) -> Result<Reply, Error> {
        let arguments = arguments
            .iter()
            .map(|bytes| RedisParameter::Binary(bytes.to_vec()));
        Ok(Reply(
            limit(CALL_LIMIT, self.0.execute(name, arguments)).await??,
        ))
    }

    /// Runs a verb of the script: by its SHA-1, and with its text where the server does not know it (yet, or after a restart).
    pub(super) async fn run(
        &self,
        redis: &Redis,
        verb: &str,
        arguments: &[Vec<u8>],
    ) -> Result<Reply, Error> {
        let keys = &redis.keys;
        match self.evaluate("EVALSHA", &SHA1, keys, verb, arguments).await {
            Err(Error::Redis(text))
                if text.contains("NOSCRIPT") || text.contains("NoScriptError") =>
            {
                self.evaluate("EVAL", TEXT.as_bytes(), keys, verb, arguments)
                    .await
            }
            other => other,
        }
    }

    async fn evaluate(
        &self,
        command: &str,
        script: &[u8],
        keys: &[String],
        verb: &str,
        arguments: &[Vec<u8>],
    ) -> Result<Reply, Error> {
        let count = keys.len().to_string();
        let mut all = vec![script, count.as_bytes()];
        all.extend(keys.iter().map(|key| key.as_bytes()));
        all.push(verb.as_bytes());
        all.extend(arguments.iter().map(Vec::as_slice));
        self.command(command, &all).await
    }
}

thread_local! {
    static KEPT: RefCell<Option<Rc<Connection>>> = const { RefCell::new(None) };
}

/// Runs a verb on the connection that this instance keeps; a kept connection that turns out broken is replaced, once. That
/// it may have run before its connection broke does no harm: marking twice is marking.
pub(super) async fn kept(redis: &Redis, verb: &str, arguments: &[Vec<u8>]) -> Result<Reply, Error> {
    kept_within(ANSWER_LIMIT, redis, verb, arguments).await
}

/// The same, with a limit of its own.
pub(super) async fn kept_within(
    most: Duration,
    redis: &Redis,
    verb: &str,
    arguments: &[Vec<u8>],
) -> Result<Reply, Error> {
    let reply = limit(most, on_kept_or_new(redis, verb, arguments)).await;
    if reply.is_err() {
        // It may be one that is dead without having said so: the next request is not to wait for it again.
        KEPT.set(None);
    }
    reply?
}

async fn on_kept_or_new(redis: &Redis, verb: &str, arguments: &[Vec<u8>]) -> Result<Reply, Error> {
    if let Some(connection) = KEPT.with_borrow(Clone::clone) {
        match connection.run(redis, verb, arguments).await {
            Err(_) => KEPT.set(None),
            done => return done,
        }
    }
    let connection = Rc::new(Connection::open(&redis.url).await?);
    let reply = connection.run(redis, verb, arguments).await?;
    KEPT.set(Some(connection));
    Ok(reply)
}
