//! An entry as a reader gets it: 200 in the coding that it wants, 304 if it has that already, 406 if it takes none.

use afterword::answer::{self, Answer};
use afterword::cache_status::CacheStatus;
use afterword::conditional::{date, not_modified};
use afterword::entry::{Coding, Entry};
use afterword::fields::Fields;
use afterword::variables::Reading;
use afterword::{accept, freshness, problem};
use http::header::{AGE, CACHE_CONTROL, CONTENT_ENCODING, ETAG, LAST_MODIFIED, VARY};
use http::{HeaderName, HeaderValue, StatusCode};

/// RFC 9213.
const CDN_CACHE_CONTROL: HeaderName = HeaderName::from_static("cdn-cache-control");
/// RFC 9211.
const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

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
    let mut answer = negotiated(entry, asked, reading, modified.as_deref(), status);
    let age = freshness::age(entry.fetched_at, now).as_secs();
    answer.headers_mut().insert(AGE, age.into());
    answer
}

/// What has just come from the origin, for this reader.
pub fn fetched(entry: &Entry, asked: &Asked, reading: &Reading, status: CacheStatus) -> Answer {
    negotiated(entry, asked, reading, None, status)
}

fn negotiated(
    entry: &Entry,
    asked: &Asked,
    reading: &Reading,
    modified: Option<&str>,
    status: CacheStatus,
) -> Answer {
    let chosen = accept::coding(&asked.accept_encoding, entry);
    let Some((coding, variant)) = chosen.and_then(|coding| Some((coding, entry.variant(coding)?)))
    else {
        return explained(answer::problem(&problem::NOT_ACCEPTABLE), status);
    };
    let unchanged = not_modified(
        &asked.if_none_match,
        &asked.if_modified_since,
        &variant.tag,
        modified.map(|_| entry.last_modified),
    );
    // A 304 has what tells a cache which of its answers it is about, and for how long (RFC 9110, section 15.4.5).
    let mut answer = if unchanged {
        answer::without_content(StatusCode::NOT_MODIFIED)
    } else {
        answer::content(StatusCode::OK, "application/json", variant.content.clone())
    };
    let fields = answer.headers_mut();
    if !unchanged {
        if coding != Coding::Identity {
            fields.insert(CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
        }
        if let Some(modified) = modified.and_then(|date| date.parse().ok()) {
            fields.insert(LAST_MODIFIED, modified);
        }
    }
    if let Ok(tag) = HeaderValue::from_bytes(variant.tag.as_bytes()) {
        fields.insert(ETAG, tag);
    }
    fields.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    fields.insert(CACHE_CONTROL, reading.cache_control.clone());
    if let Some(value) = &reading.cdn_cache_control {
        fields.insert(CDN_CACHE_CONTROL, value.clone());
    }
    explained(answer, status)
}

/// The answer, with how the cache came by it.
pub fn explained(mut answer: Answer, status: CacheStatus) -> Answer {
    if let Ok(status) = status.to_string().parse() {
        answer.headers_mut().insert(CACHE_STATUS, status);
    }
    answer
}
