//! The responses of the HTTP components, and how they leave in one piece.

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;
use serde::Serialize;
use spin_sdk::http::IntoResponse;
use spin_sdk::wasip3::http::types;
use spin_sdk::wasip3::wit_bindgen::yield_async;

use crate::entry::Entry;

/// A whole response, its content in memory.
pub type Answer = Response<Full<Bytes>>;

/// An entry as its readers get it.
pub fn entry(entry: &Entry) -> Answer {
    let mut answer = content(StatusCode::OK, "application/json", entry.content.clone());
    if let Ok(tag) = HeaderValue::from_bytes(entry.tag.as_bytes()) {
        answer.headers_mut().insert(ETAG, tag);
    }
    answer
}

/// Where the marks are that a webhook set.
pub enum Noted {
    /// In Redis, under this sequence number.
    Marked(i64),
    /// In the outbox, until Redis can be reached.
    Outbox,
    /// Nowhere: the webhook was about another table.
    Nothing,
}

/// A webhook's acknowledgement: 202.
pub fn received(noted: &Noted) -> Answer {
    let received = Received {
        received: true,
        id: if let Noted::Marked(sequence) = noted {
            Some(*sequence)
        } else {
            None
        },
        deferred: matches!(noted, Noted::Outbox).then_some("outbox"),
    };
    json(StatusCode::ACCEPTED, "application/json", &received)
}

/// An error, as RFC 9457 has it: a sentence for people, no internals. Not to be kept by any cache.
pub fn problem(status: StatusCode, detail: &str) -> Answer {
    let problem = Problem {
        title: status.canonical_reason(),
        status: status.as_u16(),
        detail,
    };
    let mut answer = json(status, "application/problem+json", &problem);
    answer
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// 401 with the challenge that RFC 9110, section 11.6.1 asks for.
pub fn unauthorized() -> Answer {
    let mut answer = problem(
        StatusCode::UNAUTHORIZED,
        "Send `Authorization: Bearer` with the webhook's secret.",
    );
    answer
        .headers_mut()
        .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    answer
}

/// 405 with the methods that are allowed, such as `GET, HEAD`.
pub fn method_not_allowed(allow: &'static str) -> Answer {
    let mut answer = problem(
        StatusCode::METHOD_NOT_ALLOWED,
        &format!("This resource answers {allow}."),
    );
    answer
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static(allow));
    answer
}

#[derive(Serialize)]
struct Received {
    received: bool,
    id: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deferred: Option<&'static str>,
}

#[derive(Serialize)]
struct Problem<'a> {
    title: Option<&'static str>,
    status: u16,
    detail: &'a str,
}

fn json(status: StatusCode, media_type: &'static str, value: &impl Serialize) -> Answer {
    content(
        status,
        media_type,
        serde_json::to_vec(value).unwrap_or_default().into(),
    )
}

fn content(status: StatusCode, media_type: &'static str, body: Bytes) -> Answer {
    let length = body.len().into();
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_LENGTH, length);
    answer
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    answer
}

/// Turns an answer into what the host sends, such that head and body leave together. Every answer of every component goes
/// through here. (To a `HEAD` request too: the host sends no body then.)
///
/// Spin's HTTP listener does not set `TCP_NODELAY`. A head that leaves before the first byte of the body is ready makes the body
/// wait for the client's delayed ACK of the head: 40 ms on every answer of a kept-alive connection. So every answer declares
/// its length, the response is put into its WASI form first, which spawns the task that writes the body, and that task is let
/// run twice (once to start, once to offer the bytes) before the host gets the head.
pub async fn send(answer: Answer) -> Result<types::Response, types::ErrorCode> {
    let response = answer.into_response()?;
    yield_async().await;
    yield_async().await;
    Ok(response)
}
