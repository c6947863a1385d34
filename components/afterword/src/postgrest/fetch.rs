//! One request to PostgREST.

use super::{MAX_CONTENT, key::ApiKey};
use crate::limit::limit;
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_RANGE, RETRY_AFTER, USER_AGENT};
use http::{HeaderName, StatusCode};
use serde::Deserialize;
use spin_sdk::wasip3::http::client;
use spin_sdk::wasip3::http::types::{self, ErrorCode, Fields, RequestOptions, Scheme};
use spin_sdk::wasip3::wit_bindgen::StreamResult;
use spin_sdk::wasip3::wit_future;
use std::fmt;
use std::time::Duration;

/// The least room to read into.
const READ: usize = 64 << 10;

const CONNECT: Duration = Duration::from_secs(2);
const FIRST_BYTE: Duration = Duration::from_secs(5);

/// How long a request may take in all.
pub const WHOLE: Duration = Duration::from_secs(15);

/// Where PostgREST is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    /// `https`, or else `http`.
    pub https: bool,
    /// Host, and port if it is not the scheme's own.
    pub authority: String,
}

/// A request for rows.
pub struct Request<'a> {
    /// Where to.
    pub base: &'a Base,
    /// What for, such as `/rest/v1/articles?select=*`.
    pub path_with_query: &'a str,
    /// The anonymous key.
    pub key: &'a ApiKey,
    /// The table's schema.
    pub schema: &'a str,
    /// Ask for the number of rows that there are in all.
    pub count: bool,
}

/// An answer of rows.
#[derive(Debug, Default)]
pub struct Page {
    /// What came, unread.
    pub body: Bytes,
    /// The number of rows in all, if the origin said it.
    pub total: Option<u64>,
}

/// Why there are no rows. Its text may go into a log or to a mark: it has no key, and of the origin's own words just one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The origin did not answer in time.
    TimedOut,
    /// The origin could not be reached, or the connection broke.
    Unreachable(&'static str),
    /// The origin answered with an error.
    Status {
        /// Its HTTP status.
        status: StatusCode,
        /// PostgREST's or PostgreSQL's error code; empty if it came from elsewhere, such as a gateway.
        code: String,
        /// What it said.
        message: String,
        /// For how long it asks to be left alone.
        retry_after: Option<Duration>,
    },
    /// The origin answered something that is no list of rows, such as a gateway's page.
    NotRows,
    /// The answer, or the list, is over [`MAX_CONTENT`] bytes.
    TooLarge,
    /// A row lacks the id column.
    NoId,
    /// The request could not be written down.
    Unwritable,
}

/// What an error is about, and so whom it holds up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// A key in the request, or how many there are: a request about fewer may succeed.
    Key,
    /// This kind of request: it fails for any key.
    Query,
    /// The origin: it fails for any request, for a time.
    Origin,
    /// How Afterword or the origin is set up: it will not mend by itself.
    Setup,
}

impl Error {
    /// The anonymous key may not read this (PostgreSQL 42501, *insufficient privilege*): an answer, not a failure.
    pub fn is_refusal(&self) -> bool {
        self.code() == Some("42501")
    }

    /// The id cannot be a value of its column's type (22P02, *invalid text representation*; 22003, *numeric value out of range*), so
    /// that no row has it.
    pub fn is_no_such_value(&self) -> bool {
        matches!(self.code(), Some("22P02" | "22003"))
    }

    /// The offset lies behind the last row (PGRST103).
    pub fn is_beyond_the_end(&self) -> bool {
        matches!(
            self,
            Self::Status {
                status: StatusCode::RANGE_NOT_SATISFIABLE,
                ..
            }
        )
    }

    /// What it is about. A server error with a code of PostgreSQL's is about the request (a statement that takes too long, say): a
    /// PostgREST that is in trouble itself answers 503 or 504.
    pub fn blame(&self) -> Blame {
        match self {
            Self::TimedOut | Self::Unreachable(_) | Self::NotRows => Blame::Origin,
            Self::TooLarge => Blame::Key,
            Self::NoId | Self::Unwritable => Blame::Query,
            Self::Status { status, code, .. } => match status.as_u16() {
                400 | 414 if !code.starts_with("42") && !code.starts_with("PGRST") => Blame::Key,
                408 | 429 => Blame::Origin,
                500 if !code.is_empty() => Blame::Query,
                500..=599 => Blame::Origin,
                300..=399 | 401 | 403 | 404 => Blame::Setup,
                _ => Blame::Query,
            },
        }
    }

    /// For how long the origin asks to be left alone.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    fn code(&self) -> Option<&str> {
        match self {
            Self::Status { code, .. } => Some(code),
            _ => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut => f.write_str("the origin did not answer in time"),
            Self::Unreachable(why) => write!(f, "the origin could not be reached: {why}"),
            Self::Status {
                status,
                code,
                message,
                ..
            } => write!(f, "the origin answered {status} {code} {message}"),
            Self::NotRows => f.write_str("the origin's answer is no JSON array of rows"),
            Self::TooLarge => write!(
                f,
                "the origin's answer is over {MAX_CONTENT} bytes: select less, or give `list_query` a `limit`"
            ),
            Self::NoId => f.write_str("a row lacks the id column: `item_query` must select it"),
            Self::Unwritable => f.write_str("the request to the origin cannot be written down"),
        }
    }
}

impl std::error::Error for Error {}

/// Sends the request, and waits for all of its answer: 2 s for the connection, 5 s for the first byte, 15 s in all.
pub async fn get(request: &Request<'_>) -> Result<Page, Error> {
    limit(WHOLE, exchange(request))
        .await
        .map_err(|_| Error::TimedOut)?
}

async fn exchange(request: &Request<'_>) -> Result<Page, Error> {
    let message = message(request).ok_or(Error::Unwritable)?;
    let response = client::send(message).await.map_err(|code| failure(&code))?;
    let status = StatusCode::from_u16(response.get_status_code()).map_err(|_| Error::NotRows)?;
    let fields = response.get_headers();
    let field = |name: HeaderName| {
        fields
            .get(name.as_str())
            .into_iter()
            .next()
            .unwrap_or_default()
    };
    let (content_range, retry_after) = (field(CONTENT_RANGE), field(RETRY_AFTER));
    let body = content(response).await?;
    match status {
        StatusCode::OK | StatusCode::PARTIAL_CONTENT => Ok(Page {
            body,
            total: total(&content_range),
        }),
        _ => Err(refused(status, &body, seconds(&retry_after))),
    }
}

// Requests and responses are taken in their WASI form: by way of the `http` crate's they would bring its table of header names
// and its body adapters into each component, some 30 kB.
fn message(request: &Request<'_>) -> Option<types::Request> {
    let mut fields = vec![
        (ACCEPT.as_str().to_owned(), b"application/json".to_vec()),
        (
            USER_AGENT.as_str().to_owned(),
            concat!("afterword/", env!("CARGO_PKG_VERSION")).into(),
        ),
        ("accept-profile".to_owned(), request.schema.into()),
    ];
    fields.extend(
        request
            .key
            .fields()
            .map(|(name, value)| (name.to_owned(), value.into_bytes())),
    );
    if request.count {
        fields.push(("prefer".to_owned(), b"count=exact".to_vec()));
    }
    let options = RequestOptions::new();
    // A host that does not support a limit says so here; the limit on the whole exchange remains.
    let _ = options.set_connect_timeout(Some(nanoseconds(CONNECT)));
    let _ = options.set_first_byte_timeout(Some(nanoseconds(FIRST_BYTE)));
    let _ = options.set_between_bytes_timeout(Some(nanoseconds(FIRST_BYTE)));
    let (_, no_trailers) = wit_future::new(|| Ok(None));
    let (message, _) = types::Request::new(
        Fields::from_list(&fields).ok()?,
        None,
        no_trailers,
        Some(options),
    );
    message
        .set_scheme(Some(if request.base.https {
            &Scheme::Https
        } else {
            &Scheme::Http
        }))
        .ok()?;
    message.set_authority(Some(&request.base.authority)).ok()?;
    message
        .set_path_with_query(Some(request.path_with_query))
        .ok()?;
    Some(message)
}

async fn content(response: types::Response) -> Result<Bytes, Error> {
    let (_, no_error) = wit_future::new(|| Ok(()));
    let (mut stream, trailers) = types::Response::consume_body(response, no_error);
    let mut content = Vec::new();
    loop {
        content.reserve(READ);
        let (result, read) = stream.read(content).await;
        content = read;
        match result {
            StreamResult::Complete(_) if content.len() > MAX_CONTENT => {
                return Err(Error::TooLarge);
            }
            StreamResult::Complete(_) => {}
            StreamResult::Dropped | StreamResult::Cancelled => break,
        }
    }
    // Whether that was all, or the connection broke.
    trailers.await.map_err(|code| failure(&code))?;
    Ok(content.into())
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn failure(code: &ErrorCode) -> Error {
    let why = match code {
        ErrorCode::ConnectionTimeout
        | ErrorCode::ConnectionReadTimeout
        | ErrorCode::HttpResponseTimeout
        | ErrorCode::DnsTimeout => return Error::TimedOut,
        ErrorCode::HttpRequestDenied => "`allowed_outbound_hosts` does not name it",
        ErrorCode::ConnectionRefused => "it refused the connection",
        ErrorCode::DnsError(_) | ErrorCode::DestinationNotFound => "its name cannot be resolved",
        ErrorCode::TlsProtocolError
        | ErrorCode::TlsCertificateError
        | ErrorCode::TlsAlertReceived(_) => "TLS failed",
        _ => "the connection failed or broke",
    };
    Error::Unreachable(why)
}

/// The total of `Content-Range: 0-24/25`, which is `*` if it was not counted.
fn total(content_range: &[u8]) -> Option<u64> {
    str::from_utf8(content_range)
        .ok()?
        .rsplit_once('/')?
        .1
        .parse()
        .ok()
}

/// `Retry-After` in seconds. Its other form, a date, is left to the usual pace: gateways send seconds.
fn seconds(retry_after: &[u8]) -> Option<Duration> {
    Some(Duration::from_secs(
        str::from_utf8(retry_after).ok()?.trim().parse().ok()?,
    ))
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Refusal {
    code: String,
    message: String,
}

fn refused(status: StatusCode, body: &[u8], retry_after: Option<Duration>) -> Error {
    let Refusal { code, message } = serde_json::from_slice(body).unwrap_or_default();
    Error::Status {
        status,
        code: line(&code, 16),
        message: line(&message, 200),
        retry_after,
    }
}

/// The first characters of foreign text, those that cannot pretend to be another line of a log.
fn line(text: &str, length: usize) -> String {
    text.chars()
        .filter(|character| !character.is_control())
        .take(length)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_read_from_the_content_range() {
        for (content_range, expected) in [
            ("0-24/25", Some(25)),
            ("*/0", Some(0)),
            ("0-24/*", None),
            ("hello", None),
            ("", None),
        ] {
            assert_eq!(total(content_range.as_bytes()), expected, "{content_range}");
        }
    }

    #[test]
    fn a_refusal_is_told_from_a_failure_by_its_code() {
        let error = refused(
            StatusCode::UNAUTHORIZED,
            br#"{"code":"42501","details":null,"message":"permission denied for table articles"}"#,
            None,
        );
        assert!(error.is_refusal());
        let gateway = refused(
            StatusCode::UNAUTHORIZED,
            br#"{"message":"Invalid API key"}"#,
            None,
        );
        assert!(!gateway.is_refusal());
        assert_eq!(
            gateway.to_string(),
            "the origin answered 401 Unauthorized  Invalid API key"
        );
    }

    #[test]
    fn foreign_text_is_one_short_line() {
        let html = refused(StatusCode::BAD_GATEWAY, b"<html>", None);
        assert_eq!(html.to_string(), "the origin answered 502 Bad Gateway  ");
        let long = format!(r#"{{"message":"a\nb{}"}}"#, "x".repeat(1000));
        let Error::Status { message, .. } = refused(StatusCode::BAD_REQUEST, long.as_bytes(), None)
        else {
            panic!()
        };
        assert!(message.starts_with("abx") && message.len() == 200);
    }

    #[test]
    fn an_error_holds_up_what_it_is_about() {
        let status = |status: u16, code: &str| {
            let body = format!(r#"{{"code":"{code}"}}"#);
            refused(StatusCode::from_u16(status).unwrap(), body.as_bytes(), None).blame()
        };
        for (error, blame) in [
            (Error::TimedOut.blame(), Blame::Origin),
            (Error::NotRows.blame(), Blame::Origin),
            (status(503, ""), Blame::Origin),
            (status(503, "PGRST002"), Blame::Origin),
            (status(500, ""), Blame::Origin),
            (status(429, ""), Blame::Origin),
            (status(500, "57014"), Blame::Query),
            (status(400, "42703"), Blame::Query),
            (status(400, "PGRST100"), Blame::Query),
            (status(400, "22P02"), Blame::Key),
            (status(414, ""), Blame::Key),
            (Error::TooLarge.blame(), Blame::Key),
            (status(401, ""), Blame::Setup),
            (status(404, "PGRST205"), Blame::Setup),
        ] {
            assert_eq!(error, blame);
        }
    }

    #[test]
    fn retry_after_is_taken_in_seconds() {
        assert_eq!(seconds(b"120"), Some(Duration::from_secs(120)));
        assert_eq!(seconds(b"Fri, 31 Dec 1999 23:59:59 GMT"), None);
        assert_eq!(seconds(b"-1"), None);
    }
}
