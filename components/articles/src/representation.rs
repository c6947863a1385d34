//! An entry as a reader gets it: 200 in the coding that it wants, 304 if it has that already, 406 if it takes none.

use crate::failure::Failure;
use afterword::answer::Answer;
use afterword::cache_status::{CacheStatus, Forwarded};
use afterword::conditional::{date, not_modified};
use afterword::entry::{Coding, Entry};
use afterword::fields::Fields;
use afterword::variables::Reading;
use afterword::{accept, freshness, problem};
use http::StatusCode;

/// What a reader asks of the representation, line by line.
#[derive(Default)]
pub struct Asked {
    accept_encoding: Vec<Vec<u8>>,
    if_none_match: Vec<Vec<u8>>,
    if_modified_since: Vec<Vec<u8>>,
}

impl Asked {
    /// What these fields ask.
    pub fn by(fields: &Fields) -> Self {
        let if_none_match = fields.lines("if-none-match");
        Self {
            accept_encoding: fields.lines("accept-encoding"),
            if_modified_since: match if_none_match.is_empty() {
                true => fields.lines("if-modified-since"),
                false => Vec::new(),
            },
            if_none_match,
        }
    }
}

/// What is stored. It has an age, and a time of modification that other readers see too.
pub fn stored(
    entry: &Entry,
    asked: &Asked,
    reading: &Reading,
    status: CacheStatus,
    now: u64,
) -> Answer {
    let modified = date(entry.last_modified, now / 1_000);
    let age = Some(freshness::age(entry.fetched_at, now).as_secs());
    negotiated(entry, asked, reading, (age, modified.as_deref()), status)
}

/// What has just come from the origin: for this reader, or for another, whose answer has an age (RFC 9111, section 5.1).
pub fn fetched(entry: &Entry, asked: &Asked, reading: &Reading, status: CacheStatus) -> Answer {
    let anothers = matches!(
        status,
        CacheStatus::Forwarded(Forwarded {
            collapsed: true,
            ..
        })
    );
    let age = freshness::age(entry.fetched_at, freshness::now()).as_secs();
    negotiated(
        entry,
        asked,
        reading,
        (anothers.then_some(age), None),
        status,
    )
}

fn negotiated(
    entry: &Entry,
    asked: &Asked,
    reading: &Reading,
    (age, modified): (Option<u64>, Option<&str>),
    status: CacheStatus,
) -> Answer {
    let chosen = accept::coding(&asked.accept_encoding, entry);
    let Some((coding, variant)) = chosen.and_then(|coding| Some((coding, entry.variant(coding)?)))
    else {
        return Answer::problem(&problem::NOT_ACCEPTABLE);
    };
    let unchanged = not_modified(
        &asked.if_none_match,
        &asked.if_modified_since,
        &variant.tag,
        modified.map(|_| entry.last_modified),
    );
    // A 304 has what tells a cache which of its answers it is about, and for how long (RFC 9110, section 15.4.5).
    let mut answer = if unchanged {
        Answer::without_content(StatusCode::NOT_MODIFIED)
    } else {
        Answer::new(StatusCode::OK, "application/json", variant.content.clone())
    };
    if !unchanged && coding != Coding::Identity {
        answer = answer.with("content-encoding", coding.name());
    }
    if let Some(modified) = modified.filter(|_| !unchanged) {
        answer = answer.with("last-modified", modified);
    }
    answer = answer
        .with("etag", variant.tag.as_bytes())
        .with("vary", "Accept-Encoding")
        .with("cache-control", &*reading.cache_control);
    if let Some(value) = &reading.cdn_cache_control {
        answer = answer.with("cdn-cache-control", &**value);
    }
    if let Some(age) = age {
        answer = answer.with("age", age.to_string());
    }
    explained(answer, status)
}

/// An error. Where it may pass, `Retry-After` says when it is worth to try again.
pub fn failed(failure: &Failure, status: CacheStatus) -> Answer {
    let mut answer = Answer::problem(failure.problem);
    if failure.problem.status.is_server_error() {
        answer = answer.with("retry-after", failure.retry_after().to_string());
    }
    explained(answer, status)
}

/// The answer, with how the cache came by it (RFC 9211).
fn explained(answer: Answer, status: CacheStatus) -> Answer {
    answer.with("cache-status", status.to_string())
}
