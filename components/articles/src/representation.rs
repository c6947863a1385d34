//! Builds the response from an entry: 200 in the best coding, 304, or 406.

use crate::accept;
use crate::cache_status::{CacheStatus, Forwarded};
use crate::conditional::{last_modified, not_modified};
use crate::failure::Failure;
use crate::settings::Settings;
use afterword::entry::{Coding, EntityTag, Entry};
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

    /// The coding to send, of those that are stored.
    pub fn coding(&self, is_stored: impl Fn(Coding) -> bool) -> Option<Coding> {
        accept::coding(&self.accept_encoding, is_stored)
    }

    /// Whether 304 is the response for content with this tag, which changed at `modified_at`.
    pub fn hold(&self, tag: &EntityTag, modified_at: u64, ages: &Ages) -> bool {
        not_modified(
            &self.if_none_match,
            &self.if_modified_since,
            tag,
            ages.modified_until
                .filter(|until| modified_at <= *until)
                .map(|_| modified_at),
        )
    }
}

/// What a response tells of the times of its content.
#[derive(Clone, Copy, Debug)]
pub struct Ages {
    /// The `Age`.
    age: Option<u64>,
    /// `Last-Modified` is known, unless it is after this time, in seconds since 1970.
    modified_until: Option<u64>,
}

impl Ages {
    /// Those of content from the store.
    pub fn stored(fetched_at: u64, now: u64) -> Self {
        Self {
            age: Some(freshness::age(fetched_at, now).as_secs()),
            modified_until: Some(now / 1_000),
        }
    }

    /// Those of content that was just fetched. It has an `Age` if another reader fetched it
    /// (RFC 9111, section 5.1).
    pub fn fetched(fetched_at: u64, status: CacheStatus) -> Self {
        let collapsed = matches!(
            status,
            CacheStatus::Forwarded(Forwarded {
                collapsed: true,
                ..
            })
        );
        let age = freshness::age(fetched_at, host::now()).as_secs();
        Self {
            age: collapsed.then_some(age),
            modified_until: None,
        }
    }

    /// Adds `Last-Modified`, if it is known.
    pub fn with_last_modified(&self, response: Response, modified_at: u64) -> Response {
        let until = self.modified_until;
        match until.and_then(|until| last_modified(modified_at, until)) {
            Some(modified) => response.with_display("last-modified", modified),
            None => response,
        }
    }
}

/// The response from an entry.
pub fn of_entry(
    entry: Entry,
    preconditions: &Preconditions,
    settings: &Settings,
    ages: Ages,
    status: CacheStatus,
) -> Response {
    let coding = preconditions.coding(|coding| entry.variant(coding).is_some());
    let modified_at = entry.last_modified;
    // The other codings are dropped, so that the bytes need not be copied.
    let Some((coding, variant)) =
        coding.and_then(|coding| Some((coding, entry.into_variant(coding)?)))
    else {
        return Response::problem(&problem::NOT_ACCEPTABLE);
    };
    let unchanged = preconditions.hold(&variant.tag, modified_at, &ages);
    let mut response = if unchanged {
        Response::without_content(StatusCode::NOT_MODIFIED)
    } else {
        Response::new(StatusCode::OK, "application/json", variant.content)
    };
    // A 304 omits the headers that describe content (RFC 9110, section 15.4.5).
    if !unchanged && coding != Coding::Identity {
        response = response.with("content-encoding", coding.name());
    }
    if !unchanged {
        response = ages.with_last_modified(response, modified_at);
    }
    response = response
        .with("etag", variant.tag.as_bytes())
        .with("vary", "Accept-Encoding");
    finish(response, settings, &ages, status)
}

/// Adds the headers that all content has.
pub fn finish(
    mut response: Response,
    settings: &Settings,
    ages: &Ages,
    status: CacheStatus,
) -> Response {
    response = response.with("cache-control", &*settings.cache_control);
    if let Some(value) = &settings.cdn_cache_control {
        response = response.with("cdn-cache-control", &**value);
    }
    if let Some(age) = ages.age {
        response = response.with_display("age", age);
    }
    with_cache_status(response, status)
}

/// An error response. `Retry-After` tells when to try again, unless it is a 404.
pub fn failed(failure: &Failure, status: CacheStatus) -> Response {
    let mut response = Response::problem(failure.problem);
    if failure.is_the_origins() {
        response = response.with_display("retry-after", failure.retry_after());
    }
    with_cache_status(response, status)
}

fn with_cache_status(response: Response, status: CacheStatus) -> Response {
    response.with_display("cache-status", status)
}
