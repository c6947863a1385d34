//! Builds the response from an entry: 200 in the best coding, 304, or 406.

use crate::accept;
use crate::cache_status::{CacheStatus, Forwarded};
use crate::conditional::{last_modified, not_modified};
use crate::failure::Failure;
use crate::settings::Settings;
use afterword::entry::{Coding, Entry};
use afterword::host::http_server::Headers;
use afterword::response::Response;
use afterword::{freshness, host, problem};
use http::StatusCode;

/// The request headers that select the representation, as lists of their lines.
#[derive(Default)]
pub struct Preconditions {
    accept_encoding: Vec<Vec<u8>>,
    if_none_match: Vec<Vec<u8>>,
    if_modified_since: Vec<Vec<u8>>,
}

impl Preconditions {
    /// Reads them from a request.
    pub fn of(request: &Headers) -> Self {
        let if_none_match = request.get("if-none-match");
        // Ignored beside `If-None-Match`: not reading it saves a host call.
        let if_modified_since = if if_none_match.is_empty() {
            request.get("if-modified-since")
        } else {
            Vec::new()
        };
        Self {
            accept_encoding: request.get("accept-encoding"),
            if_none_match,
            if_modified_since,
        }
    }
}

/// The response from a stored entry. It has an `Age` and a `Last-Modified`.
pub fn stored(
    entry: &Entry,
    preconditions: &Preconditions,
    settings: &Settings,
    status: CacheStatus,
    now: u64,
) -> Response {
    let modified = last_modified(entry.last_modified, now / 1_000);
    let age = Some(freshness::age(entry.fetched_at, now).as_secs());
    negotiate(entry, preconditions, settings, (age, modified), status)
}

/// The response from content that was just fetched. It has an `Age` if another reader fetched it
/// (RFC 9111, section 5.1).
pub fn fetched(
    entry: &Entry,
    preconditions: &Preconditions,
    settings: &Settings,
    status: CacheStatus,
) -> Response {
    let collapsed = matches!(
        status,
        CacheStatus::Forwarded(Forwarded {
            collapsed: true,
            ..
        })
    );
    let age = freshness::age(entry.fetched_at, host::now()).as_secs();
    let age = collapsed.then_some(age);
    negotiate(entry, preconditions, settings, (age, None), status)
}

fn negotiate(
    entry: &Entry,
    preconditions: &Preconditions,
    settings: &Settings,
    (age, modified): (Option<u64>, Option<String>),
    status: CacheStatus,
) -> Response {
    let coding = accept::coding(&preconditions.accept_encoding, entry);
    let Some((coding, variant)) = coding.and_then(|coding| Some((coding, entry.variant(coding)?)))
    else {
        return Response::problem(&problem::NOT_ACCEPTABLE);
    };
    let unchanged = not_modified(
        &preconditions.if_none_match,
        &preconditions.if_modified_since,
        &variant.tag,
        modified.as_ref().map(|_| entry.last_modified),
    );
    let mut response = if unchanged {
        Response::without_content(StatusCode::NOT_MODIFIED)
    } else {
        Response::new(StatusCode::OK, "application/json", variant.content.clone())
    };
    // A 304 omits the headers that describe content (RFC 9110, section 15.4.5).
    if !unchanged && coding != Coding::Identity {
        response = response.with("content-encoding", coding.name());
    }
    if let Some(modified) = modified.filter(|_| !unchanged) {
        response = response.with("last-modified", modified);
    }
    response = response
        .with("etag", variant.tag.as_bytes())
        .with("vary", "Accept-Encoding")
        .with("cache-control", &*settings.cache_control);
    if let Some(value) = &settings.cdn_cache_control {
        response = response.with("cdn-cache-control", &**value);
    }
    if let Some(age) = age {
        response = response.with("age", age.to_string());
    }
    with_cache_status(response, status)
}

/// An error response. `Retry-After` tells when to try again, unless it is a 404.
pub fn failed(failure: &Failure, status: CacheStatus) -> Response {
    let mut response = Response::problem(failure.problem);
    if failure.is_the_origins() {
        response = response.with("retry-after", failure.retry_after().to_string());
    }
    with_cache_status(response, status)
}

fn with_cache_status(response: Response, status: CacheStatus) -> Response {
    response.with("cache-status", status.to_string())
}
