//! The responses of the HTTP components, held in memory.
//!
//! They do not use the `http` crate's header map, which would be filled, copied and emptied again
//! on the way to the list that the host takes. An instance reuses the list, with the memory of its
//! names and values, for its next response.

use crate::host::http_server::{self, Content};
use crate::problem::{METHOD_NOT_ALLOWED, Problem};
use bytes::Bytes;
use http::StatusCode;
use serde::Serialize;
use std::cell::Cell;
use std::fmt;
use std::io::Write;

thread_local! {
    /// A list for the next response.
    static SPARE: Cell<HeaderList> = const { Cell::new(HeaderList::new()) };
}

/// A response.
pub struct Response {
    status: StatusCode,
    headers: HeaderList,
    content: Content,
}

/// Header lines, and behind them unused ones, whose memory the next lines take.
#[derive(Default)]
struct HeaderList {
    lines: Vec<(String, Vec<u8>)>,
    used: usize,
}

impl HeaderList {
    const fn new() -> Self {
        let lines = Vec::new();
        Self { lines, used: 0 }
    }

    /// Adds a line, and returns its empty value.
    fn add(&mut self, name: &str) -> &mut Vec<u8> {
        let at = self.used;
        self.used += 1;
        if at == self.lines.len() {
            self.lines.push(Default::default());
        }
        let (its_name, value) = &mut self.lines[at];
        its_name.clear();
        its_name.push_str(name);
        value.clear();
        value
    }

    fn used(&self) -> &[(String, Vec<u8>)] {
        &self.lines[..self.used]
    }
}

impl Response {
    /// A response whose status excludes content (RFC 9110, section 6.4.1): 204 or 304.
    pub fn without_content(status: StatusCode) -> Self {
        Self {
            status,
            headers: HeaderList {
                used: 0,
                ..SPARE.take()
            },
            content: Content::None,
        }
    }

    /// A response with content. `nosniff` (the Fetch standard) keeps browsers from running an
    /// article's text as a script.
    pub fn new(status: StatusCode, media_type: &str, content: Bytes) -> Self {
        let length = content.len() as u64;
        Self::with_content(status, media_type, length, Content::Whole(content))
    }

    /// A response with content of this length, which is not in memory.
    pub fn streamed(
        status: StatusCode,
        media_type: &str,
        length: u64,
        produce: http_server::Produce,
    ) -> Self {
        Self::with_content(status, media_type, length, Content::Streamed(produce))
    }

    fn with_content(status: StatusCode, media_type: &str, length: u64, content: Content) -> Self {
        let mut response = Self::without_content(status)
            .with_display("content-length", length)
            .with("content-type", media_type)
            .with("x-content-type-options", "nosniff");
        response.content = content;
        response
    }

    /// A JSON response with this media type.
    pub fn json(status: StatusCode, media_type: &str, value: &impl Serialize) -> Self {
        let json = serde_json::to_vec(value).unwrap_or_default();
        Self::new(status, media_type, json.into())
    }

    /// An error response. Caches must not store it. A 401 has the challenge of RFC 9110, section
    /// 11.6.1.
    pub fn problem(problem: &Problem) -> Self {
        let response = Self::json(problem.status, "application/problem+json", problem)
            .with("cache-control", "no-store");
        if problem.status == StatusCode::UNAUTHORIZED {
            response.with("www-authenticate", "Bearer")
        } else {
            response
        }
    }

    /// The response to `OPTIONS`. `allow` lists the methods, such as `GET, HEAD, OPTIONS`.
    pub fn options(allow: &str) -> Self {
        Self::without_content(StatusCode::NO_CONTENT).with("allow", allow)
    }

    /// 405, with the allowed methods.
    pub fn method_not_allowed(allow: &str) -> Self {
        Self::problem(&METHOD_NOT_ALLOWED).with("allow", allow)
    }

    /// Adds a header line. `name` is in lower case, `value` is a valid header value.
    pub fn with(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.add(name).extend_from_slice(value.as_ref());
        self
    }

    /// Adds a header line whose value is the text of `value`, a number for example.
    pub fn with_display(mut self, name: &str, value: impl fmt::Display) -> Self {
        // Writing to memory does not fail.
        let _ = write!(self.headers.add(name), "{value}");
        self
    }

    /// Turns it into the response that the entry point returns to the host.
    ///
    /// # Errors
    /// A header is invalid.
    pub async fn send(self) -> Result<http_server::Outgoing, http_server::Error> {
        let headers = http_server::header_list(self.headers.used())?;
        SPARE.set(self.headers);
        http_server::respond(self.status, headers, self.content).await
    }
}
