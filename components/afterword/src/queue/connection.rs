//! Connections to Redis, with time limits.

use super::redis::Redis;
use super::script::Operation;
use crate::host::redis::{self, RedisParameter, RedisResult};
use crate::limit::{TimedOut, limit};
use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

/// The time limit of an operation of an HTTP component, including a second attempt on a new
/// connection. Together with the outbox's limit, a webhook is answered within a second whatever
/// fails.
const REQUEST_LIMIT: Duration = Duration::from_millis(500);

/// The time limit of one call on a connection.
const CALL_LIMIT: Duration = Duration::from_secs(5);

/// Why an operation failed. Never contains the URL, which may contain a password.
#[derive(Debug)]
pub enum Error {
    /// No response in time.
    TimedOut,
    /// `allowed_outbound_hosts` does not include the address, or it is invalid.
    Address,
    /// Redis or the connection failed.
    Redis(String),
    /// The reply has an unexpected type.
    Reply,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut => f.write_str("Redis: no response in time"),
            Self::Address => f.write_str(
                "Redis: `redis_url` is not an address, or `redis_address` does not name the same \
                 host and port",
            ),
            Self::Redis(text) => write!(f, "Redis: {text}"),
            Self::Reply => f.write_str("Redis: the script returned an unexpected reply"),
        }
    }
}

impl std::error::Error for Error {}

impl Error {
    /// Redis refused a write because its memory is full (`maxmemory` with `noeviction`). An
    /// immediate retry would fail, too.
    pub fn is_out_of_memory(&self) -> bool {
        matches!(self, Self::Redis(text) if text.contains("OOM"))
    }
}

impl From<TimedOut> for Error {
    fn from(TimedOut(_): TimedOut) -> Self {
        Self::TimedOut
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

/// The result of a command. Spin returns nested arrays as one flat list.
pub struct Reply(Vec<RedisResult>);

impl Reply {
    /// Whether it is `nil`.
    pub fn is_nil(&self) -> bool {
        matches!(self.0[..], [RedisResult::Nil])
    }

    /// A single integer.
    pub fn integer(&self) -> Result<i64, Error> {
        match self.0[..] {
            [RedisResult::Int64(value)] => Ok(value),
            _ => Err(Error::Reply),
        }
    }

    /// Several integers.
    pub fn integers<const N: usize>(&self) -> Result<[i64; N], Error> {
        let replies: &[RedisResult; N] = self.0[..].try_into().map_err(|_| Error::Reply)?;
        let mut integers = [0; N];
        for (integer, reply) in integers.iter_mut().zip(replies) {
            let RedisResult::Int64(value) = reply else {
                return Err(Error::Reply);
            };
            *integer = *value;
        }
        Ok(integers)
    }

    /// The second integer: whether the caller has to wake a worker.
    pub fn caller_wakes(&self) -> Result<bool, Error> {
        match self.0[..] {
            [_, RedisResult::Int64(wakes), ..] => Ok(wakes == 1),
            _ => Err(Error::Reply),
        }
    }

    /// A single string.
    pub fn text(&self) -> Result<&[u8], Error> {
        match &self.0[..] {
            [RedisResult::Binary(text)] => Ok(text),
            _ => Err(Error::Reply),
        }
    }

    /// The elements of a list.
    pub fn list(&self) -> &[RedisResult] {
        &self.0
    }
}

/// An open connection: a TCP connection of its own, closed on drop.
pub struct Connection(redis::Connection);

impl Connection {
    /// Connects to the server.
    pub async fn open(redis: &Redis) -> Result<Self, Error> {
        let connection = limit(CALL_LIMIT, redis::Connection::open(redis.url())).await??;
        Ok(Self(connection))
    }

    /// Executes a command.
    pub async fn command(&self, name: &str, arguments: &[&[u8]]) -> Result<Reply, Error> {
        let arguments = arguments
            .iter()
            .map(|bytes| RedisParameter::Binary(bytes.to_vec()));
        let reply = limit(CALL_LIMIT, self.0.execute(name, arguments)).await??;
        Ok(Reply(reply))
    }

    /// Runs an operation by the SHA-1 of its script. A server that does not know the script, such as
    /// after a restart, gets its text.
    pub async fn run(
        &self,
        redis: &Redis,
        operation: Operation,
        arguments: &[Vec<u8>],
    ) -> Result<Reply, Error> {
        let Operation { script, name } = operation;
        let evaluate = async |command, script_or_sha1| {
            let count = script.keys.len().to_string();
            let mut all: Vec<&[u8]> = vec![script_or_sha1, count.as_bytes()];
            all.extend(redis.keys(script).map(str::as_bytes));
            all.push(name.as_bytes());
            all.extend(arguments.iter().map(Vec::as_slice));
            self.command(command, &all).await
        };
        match evaluate("EVALSHA", &script.sha1[..]).await {
            Err(Error::Redis(text))
                if text.contains("NOSCRIPT") || text.contains("NoScriptError") =>
            {
                evaluate("EVAL", script.text.as_bytes()).await
            }
            other => other,
        }
    }
}

thread_local! {
    /// The connection that this instance keeps open between requests.
    static OPEN: RefCell<Option<Rc<Connection>>> = const { RefCell::new(None) };
}

/// Runs an operation on the instance's connection. Replaces a broken connection once, and runs the
/// operation again: queueing twice is the same as once. A fetch lock that was acquired unnoticed
/// blocks its reader until it expires (3 s).
pub async fn run(
    redis: &Redis,
    operation: Operation,
    arguments: &[Vec<u8>],
) -> Result<Reply, Error> {
    run_within(REQUEST_LIMIT, redis, operation, arguments).await
}

/// [`run`], with another time limit.
pub async fn run_within(
    time_limit: Duration,
    redis: &Redis,
    operation: Operation,
    arguments: &[Vec<u8>],
) -> Result<Reply, Error> {
    let reply = limit(time_limit, run_or_reconnect(redis, operation, arguments)).await;
    if reply.is_err() {
        // The connection may be dead without an error. The next request must not wait for it.
        OPEN.set(None);
    }
    reply?
}

async fn run_or_reconnect(
    redis: &Redis,
    operation: Operation,
    arguments: &[Vec<u8>],
) -> Result<Reply, Error> {
    if let Some(connection) = OPEN.with_borrow(Clone::clone) {
        match connection.run(redis, operation, arguments).await {
            Err(_) => OPEN.set(None),
            reply => return reply,
        }
    }
    let connection = Rc::new(Connection::open(redis).await?);
    let reply = connection.run(redis, operation, arguments).await?;
    OPEN.set(Some(connection));
    Ok(reply)
}

/// A duration as an argument of the script.
pub fn milliseconds(duration: Duration) -> Vec<u8> {
    number(duration.as_millis())
}

/// A number as an argument of the script.
pub fn number(number: impl fmt::Display) -> Vec<u8> {
    number.to_string().into_bytes()
}
