//! The responses of the HTTP components, held in memory.
//!
//! They do not use the `http` crate's header map, which would be filled, copied and emptied again
//! on the way to the list that the host takes.

use crate::host::http_server;
use crate::problem::{METHOD_NOT_ALLOWED, Problem};
use bytes::Bytes;
use http::StatusCode;
use serde::Serialize;

/// A response.
pub struct Response {
    status: StatusCode,
    headers: Vec<(String, Vec<u8>)>,
    content: Option<Bytes>,
}

impl Response {
    /// A response whose status excludes content (RFC 9110, section 6.4.1): 204 or 304.
    pub fn without_content(status: StatusCode) -> Self {
        Self {
            status,
            headers: Vec::with_capacity(16),
            content: None,
        }
    }

    /// A response with content. `nosniff` (the Fetch standard) keeps browsers from running an
    /// article's text as a script.
    pub fn new(status: StatusCode, media_type: &str, content: Bytes) -> Self {
        let length = content.len().to_string();
        let mut response = Self::without_content(status)
            .with("content-length", length)
            .with("content-type", media_type)
            .with("x-content-type-options", "nosniff");
        response.content = Some(content);
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
    pub fn with(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Turns it into the response that the entry point returns to the host.
    ///
    /// # Errors
    /// A header is invalid.
    pub async fn send(self) -> Result<http_server::Outgoing, http_server::Error> {
        http_server::respond(self.status, &self.headers, self.content).await
    }
}
