//! One request to PostgREST.

use super::{MAX_CONTENT, key::ApiKey};
use crate::limit::limit;
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_RANGE, USER_AGENT};
use http::{HeaderName, HeaderValue, StatusCode};
use http_body_util::{BodyExt, Limited};
use serde::Deserialize;
use spin_sdk::http::{EmptyBody, IntoRequest};
use spin_sdk::wasip3::http::client;
use spin_sdk::wasip3::http::types::{ErrorCode, RequestOptions};
use spin_sdk::wasip3::http_compat::{IncomingResponseBody, RequestOptionsExtension};
use std::fmt;
use std::time::Duration;

const ACCEPT_PROFILE: HeaderName = HeaderName::from_static("accept-profile");
const PREFER: HeaderName = HeaderName::from_static("prefer");

const CONNECT: Duration = Duration::from_secs(2);
const FIRST_BYTE: Duration = Duration::from_secs(5);

/// How long a request may take in all.
pub const WHOLE: Duration = Duration::from_secs(15);

/// A request for rows.
pub struct Request<'a> {
    /// All of it, the query included.
    pub url: &'a str,
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
    },
    /// The origin answered something that is no list of rows.
    Unusable(String),
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

    /// The request itself was refused: another one, about fewer keys, may not be.
    pub fn is_about_the_request(&self) -> bool {
        matches!(
            self,
            Self::Status {
                status: StatusCode::BAD_REQUEST | StatusCode::URI_TOO_LONG,
                ..
            } | Self::Unusable(_)
        )
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
            } => write!(f, "the origin answered {status} {code} {message}"),
            Self::Unusable(why) => write!(f, "the origin's answer cannot be used: {why}"),
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
    let message = message(request)
        .and_then(|message| message.into_request().ok())
        .ok_or_else(|| Error::Unusable("the request cannot be written down".into()))?;
    let response = client::send(message).await.map_err(|code| failure(&code))?;
    let status = response.get_status_code();
    let content_range = response.get_headers().get(CONTENT_RANGE.as_str());
    let body = IncomingResponseBody::new(response)
        .map_err(|code| failure(&code))?
        .map_err(|code| failure(&code));
    let body = Limited::new(body, MAX_CONTENT)
        .collect()
        .await
        .map_err(|error| match error.downcast::<Error>() {
            Ok(failure) => *failure,
            Err(_) => Error::Unusable(format!("it is over {MAX_CONTENT} bytes")),
        })?;
    let body = body.to_bytes();
    match StatusCode::from_u16(status) {
        Ok(StatusCode::OK | StatusCode::PARTIAL_CONTENT) => Ok(Page {
            body,
            total: content_range.first().and_then(|range| total(range)),
        }),
        Ok(status) => Err(refused(status, &body)),
        Err(_) => Err(Error::Unusable("it has no HTTP status".into())),
    }
}

fn message(request: &Request<'_>) -> Option<http::Request<EmptyBody>> {
    let options = RequestOptions::new();
    // A host that does not support a limit says so here; the limit on the whole exchange remains.
    let _ = options.set_connect_timeout(Some(nanoseconds(CONNECT)));
    let _ = options.set_first_byte_timeout(Some(nanoseconds(FIRST_BYTE)));
    let _ = options.set_between_bytes_timeout(Some(nanoseconds(FIRST_BYTE)));
    let mut message = http::Request::get(request.url)
        .header(ACCEPT, "application/json")
        .header(USER_AGENT, concat!("afterword/", env!("CARGO_PKG_VERSION")))
        .header(ACCEPT_PROFILE, request.schema)
        .extension(RequestOptionsExtension(options))
        .body(EmptyBody::new())
        .ok()?;
    message.headers_mut().extend(request.key.fields());
    if request.count {
        message
            .headers_mut()
            .insert(PREFER, HeaderValue::from_static("count=exact"));
    }
    Some(message)
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

#[derive(Default, Deserialize)]
#[serde(default)]
struct Refusal {
    code: String,
    message: String,
}

fn refused(status: StatusCode, body: &[u8]) -> Error {
    let Refusal { code, message } = serde_json::from_slice(body).unwrap_or_default();
    Error::Status {
        status,
        code: line(&code, 16),
        message: line(&message, 200),
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
        );
        assert!(error.is_refusal());
        let gateway = refused(
            StatusCode::UNAUTHORIZED,
            br#"{"message":"Invalid API key"}"#,
        );
        assert!(!gateway.is_refusal());
        assert_eq!(
            gateway.to_string(),
            "the origin answered 401 Unauthorized  Invalid API key"
        );
    }

    #[test]
    fn foreign_text_is_one_short_line() {
        let html = refused(StatusCode::BAD_GATEWAY, b"<html>");
        assert_eq!(
            html,
            Error::Status {
                status: StatusCode::BAD_GATEWAY,
                code: String::new(),
                message: String::new()
            }
        );
        let long = format!(r#"{{"message":"a\nb{}"}}"#, "x".repeat(1000));
        let Error::Status { message, .. } = refused(StatusCode::BAD_REQUEST, long.as_bytes())
        else {
            panic!()
        };
        assert!(message.starts_with("abx") && message.len() == 200);
    }
}
