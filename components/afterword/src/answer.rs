//! The responses of the HTTP components, and how they leave in one piece.

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::Full;
use serde::Serialize;
use spin_sdk::http::IntoResponse;
use spin_sdk::wasip3::http::types;
use spin_sdk::wasip3::wit_bindgen::yield_async;

use crate::problem::{METHOD_NOT_ALLOWED, Problem};

/// A whole response, its content in memory.
pub type Answer = Response<Full<Bytes>>;

/// An answer with content. Browsers are told to take its type as it is (the Fetch standard's `nosniff`): an article's text is not to
/// be run as a page's script.
pub fn content(status: StatusCode, media_type: &'static str, body: Bytes) -> Answer {
    let length = body.len().into();
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = status;
    let fields = answer.headers_mut();
    fields.insert(CONTENT_LENGTH, length);
    fields.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    fields.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

/// An answer that has no content by its status (RFC 9110, section 6.4.1): 204 or 304.
pub fn without_content(status: StatusCode) -> Answer {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = status;
    answer
}

/// JSON with this media type.
pub fn json(status: StatusCode, media_type: &'static str, value: &impl Serialize) -> Answer {
    content(
        status,
        media_type,
        serde_json::to_vec(value).unwrap_or_default().into(),
    )
}

/// An error. Not to be kept by any cache.
pub fn problem(problem: &Problem) -> Answer {
    let answer = json(problem.status, "application/problem+json", problem);
    with(answer, CACHE_CONTROL, HeaderValue::from_static("no-store"))
}

/// The answer to `OPTIONS`: 204 with the methods that are allowed, such as `GET, HEAD, OPTIONS`.
pub fn options(allow: &'static str) -> Answer {
    with(
        without_content(StatusCode::NO_CONTENT),
        ALLOW,
        HeaderValue::from_static(allow),
    )
}

/// 405 with the methods that are allowed.
pub fn method_not_allowed(allow: &'static str) -> Answer {
    with(
        problem(&METHOD_NOT_ALLOWED),
        ALLOW,
        HeaderValue::from_static(allow),
    )
}

/// The answer with one field more, or with this value in its place.
pub fn with(mut answer: Answer, name: HeaderName, value: HeaderValue) -> Answer {
    answer.headers_mut().insert(name, value);
    answer
}

/// Turns an answer into what the host sends, such that head and body leave together. Every answer of every component goes
/// through here. (To a `HEAD` request too: the host sends no body then.)
///
/// Spin's HTTP listener does not set `TCP_NODELAY`. A head that leaves before the first byte of the body is ready makes the body
/// wait for the client's delayed ACK of the head: 40 ms on every answer of a kept-alive connection. So every answer with content
/// declares its length, the response is put into its WASI form first, which spawns the task that writes the body, and that task is
/// let run twice (once to start, once to offer the bytes) before the host gets the head.
pub async fn send(answer: Answer) -> Result<types::Response, types::ErrorCode> {
    let response = answer.into_response()?;
    yield_async().await;
    yield_async().await;
    Ok(response)
}
