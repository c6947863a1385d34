//! What both implementations of the host have in common.

use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use http::Method;
use std::future::Future;
use std::time::Duration;

/// A request without content.
pub struct Request<'a> {
    /// GET or POST.
    pub method: Method,
    /// `https`, or else `http`.
    pub https: bool,
    /// The host, and the port unless it is the scheme's default.
    pub authority: &'a str,
    /// The path and the query.
    pub path_with_query: &'a str,
    /// Names in lower case, and values.
    pub headers: Vec<(String, Vec<u8>)>,
    /// How long the connection may take.
    pub connect_timeout: Duration,
    /// How long the first byte of the response may take, and each pause after it.
    pub read_timeout: Duration,
}

/// The content of a response, which `Writer` sends.
pub enum Content<Writer> {
    /// None, for a status that excludes it.
    None,
    /// These bytes.
    Whole(Bytes),
    /// What this function writes.
    Streamed(Produce<Writer>),
}

/// Writes the content of a response, after the response has begun.
pub type Produce<Writer> = Box<dyn FnOnce(Writer) -> LocalBoxFuture<'static, ()>>;

/// The handler of a component behind a Redis trigger.
pub trait RedisGuest {
    /// Handles a message. An error is printed. Unfinished tasks end with it.
    fn handle(message: Vec<u8>) -> impl Future<Output = Result<(), String>>;
}

/// Splits the target of a request into path and query; either may be empty.
pub fn path_and_query(target: Option<String>) -> (String, String) {
    let mut path = target.unwrap_or_default();
    let Some(at) = path.find('?') else {
        return (path, String::new());
    };
    let query = path[at + 1..].to_owned();
    path.truncate(at);
    (path, query)
}

/// The number in the first line of `content-length`.
pub fn content_length(lines: &[Vec<u8>]) -> Option<usize> {
    let line = str::from_utf8(lines.first()?).ok()?;
    line.parse().ok()
}

/// A duration as WASI has it.
pub fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
