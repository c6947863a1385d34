//! The responses of the HTTP components, and how they leave in one piece.
//!
//! They are not the `http` crate's: its map of fields would be filled, copied and emptied again for each answer, on the way to the list
//! that the host takes.

use bytes::Bytes;
use http::StatusCode;
use serde::Serialize;
use spin_sdk::wasip3::http::types::{ErrorCode, Fields, Response};
use spin_sdk::wasip3::wit_bindgen::yield_async;
use spin_sdk::wasip3::{spawn, wit_future, wit_stream};

use crate::problem::{METHOD_NOT_ALLOWED, Problem};

/// A whole response, its content in memory.
pub struct Answer {
    status: StatusCode,
    fields: Vec<(String, Vec<u8>)>,
    content: Option<Bytes>,
}

impl Answer {
    /// An answer that has no content by its status (RFC 9110, section 6.4.1): 204 or 304.
    pub fn without_content(status: StatusCode) -> Self {
        Self {
            status,
            fields: Vec::with_capacity(16),
            content: None,
        }
    }

    /// An answer with content. Browsers are told to take its type as it is (the Fetch standard's `nosniff`): an article's text is not to
    /// be run as a page's script.
    pub fn new(status: StatusCode, media_type: &str, content: Bytes) -> Self {
        let length = content.len().to_string();
        let mut answer = Self::without_content(status)
            .with("content-length", length)
            .with("content-type", media_type)
            .with("x-content-type-options", "nosniff");
        answer.content = Some(content);
        answer
    }

    /// JSON with this media type.
    pub fn json(status: StatusCode, media_type: &str, value: &impl Serialize) -> Self {
        let json = serde_json::to_vec(value).unwrap_or_default();
        Self::new(status, media_type, json.into())
    }

    /// An error. Not to be kept by any cache.
    pub fn problem(problem: &Problem) -> Self {
        Self::json(problem.status, "application/problem+json", problem)
            .with("cache-control", "no-store")
    }

    /// The answer to `OPTIONS`: 204 with the methods that are allowed, such as `GET, HEAD, OPTIONS`.
    pub fn options(allow: &str) -> Self {
        Self::without_content(StatusCode::NO_CONTENT).with("allow", allow)
    }

    /// 405 with the methods that are allowed.
    pub fn method_not_allowed(allow: &str) -> Self {
        Self::problem(&METHOD_NOT_ALLOWED).with("allow", allow)
    }

    /// The same with one more line of a header field, its name in lower case, its value what a field may hold.
    pub fn with(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.fields.push((name.to_owned(), value.into()));
        self
    }

    /// Turns it into what the host sends, such that head and body leave together. Every answer of every component goes through here. (To a
    /// `HEAD` request too: the host sends no body then.)
    ///
    /// Spin's HTTP listener does not set `TCP_NODELAY`. A head that leaves before the first byte of the body is ready makes the body
    /// wait for the client's delayed ACK of the head: 40 ms on every answer of a kept-alive connection. So every answer with content
    /// declares its length, the task that writes the body is spawned first, and it is let run (once to start, once to offer the bytes)
    /// before the host gets the head.
    pub async fn send(self) -> Result<Response, ErrorCode> {
        let fields = Fields::from_list(&self.fields)
            .map_err(|error| ErrorCode::InternalError(Some(error.to_string())))?;
        let (_, no_trailers) = wit_future::new(|| Ok(None));
        let (body, offered) = match self.content {
            Some(content) => {
                let (mut writer, body) = wit_stream::new();
                let write = async move { drop(writer.write_all(content.into()).await) };
                (Some(body), Some(write))
            }
            None => (None, None),
        };
        let (response, _) = Response::new(fields, body, no_trailers);
        let _ = response.set_status_code(self.status.as_u16());
        if let Some(offered) = offered {
            spawn(offered);
            yield_async().await;
            yield_async().await;
        }
        Ok(response)
    }
}
