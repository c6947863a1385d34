//! Why the origin gave no rows, and whose fault that is.

use super::MAX_CONTENT;
use http::StatusCode;
use serde::Deserialize;
use std::fmt;
use std::time::Duration;

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

/// The anonymous key may not read this (PostgreSQL 42501, *insufficient privilege*): an answer, not a failure.
pub(super) fn is_refusal(code: &str) -> bool {
    code == "42501"
}

/// The id cannot be a value of its column's type (22P02, *invalid text representation*; 22003, *numeric value out of range*), so
/// that no row has it.
pub(super) fn is_no_such_value(code: &str) -> bool {
    matches!(code, "22P02" | "22003")
}

impl Error {
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

    /// What it is about. A server error with a code of PostgreSQL's is about the request (a
    /// statement that takes too long, a computed column that fails on one row): a PostgREST that is
    /// in trouble itself answers 503 or 504. A 403 or 404 without a code does not come from
    /// PostgREST: a firewall dislikes this one id.
    pub fn blame(&self) -> Blame {
        match self {
            Self::TimedOut | Self::Unreachable(_) | Self::NotRows => Blame::Origin,
            Self::TooLarge => Blame::Key,
            Self::NoId | Self::Unwritable => Blame::Query,
            Self::Status { status, code, .. } => match status.as_u16() {
                400 | 414 if !code.starts_with("42") && !code.starts_with("PGRST") => Blame::Key,
                403 | 404 if code.is_empty() => Blame::Key,
                408 | 429 => Blame::Origin,
                500 if !code.is_empty() => Blame::Key,
                500..=599 => Blame::Origin,
                300..=399 | 401 | 403 | 404 => Blame::Setup,
                _ => Blame::Query,
            },
        }
    }

    /// Whether the same failure of one request after another would mean that it is the origin that
    /// fails, whatever one of them is about.
    pub fn may_be_the_origins(&self) -> bool {
        match self {
            Self::Status { status, .. } => {
                matches!(self.blame(), Blame::Origin | Blame::Setup)
                    || status.is_server_error()
                    || matches!(status.as_u16(), 403 | 404)
            }
            _ => self.blame() == Blame::Origin,
        }
    }

    /// Whether the origin is away or in trouble, rather than set up otherwise: it is likely to come
    /// back by itself.
    pub fn is_an_outage(&self) -> bool {
        match self {
            Self::Status { status, .. } => {
                status.is_server_error() || matches!(status.as_u16(), 408 | 429)
            }
            _ => self.blame() == Blame::Origin,
        }
    }

    /// Whether the count may be the reason: it scans the table, so that it is the first to meet a
    /// limit on time. A database that fails says so with its own code. A PostgREST or a gateway
    /// that is in trouble itself would not be helped by a second request.
    pub(super) fn may_be_the_counts(&self) -> bool {
        match self {
            Self::TimedOut => true,
            Self::Status { status, code, .. } => {
                code == "57014"
                    || *status == StatusCode::GATEWAY_TIMEOUT && code.is_empty()
                    || *status == StatusCode::INTERNAL_SERVER_ERROR && !code.is_empty()
            }
            _ => false,
        }
    }

    /// For how long the origin asks to be left alone.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
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

#[derive(Default, Deserialize)]
#[serde(default)]
struct Refusal {
    code: String,
    message: String,
}

/// The error that an answer with this status and body is.
pub(super) fn refused(status: StatusCode, body: &[u8], retry_after: Option<Duration>) -> Error {
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
    fn a_refusal_is_told_from_a_failure_by_its_code() {
        let error = refused(
            StatusCode::UNAUTHORIZED,
            br#"{"code":"42501","details":null,"message":"permission denied for table articles"}"#,
            None,
        );
        let code = |error: &Error| match error {
            Error::Status { code, .. } => code.clone(),
            _ => panic!("{error}"),
        };
        assert!(is_refusal(&code(&error)));
        let gateway = refused(
            StatusCode::UNAUTHORIZED,
            br#"{"message":"Invalid API key"}"#,
            None,
        );
        assert!(!is_refusal(&code(&gateway)));
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
    fn a_count_is_given_up_where_it_may_be_the_reason() {
        let status = |status: u16, code: &str| {
            let body = format!(r#"{{"code":"{code}"}}"#);
            refused(StatusCode::from_u16(status).unwrap(), body.as_bytes(), None)
        };
        for error in [
            Error::TimedOut,
            status(500, "57014"),
            status(504, "57014"),
            status(500, "XX000"),
            status(504, ""),
        ] {
            assert!(error.may_be_the_counts(), "{error}");
        }
        for error in [
            Error::NotRows,
            status(500, ""),
            status(502, ""),
            status(503, "PGRST002"),
            status(504, "PGRST003"),
            status(400, "42703"),
            status(401, ""),
        ] {
            assert!(!error.may_be_the_counts(), "{error}");
        }
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
            (status(500, "57014"), Blame::Key),
            (status(400, "42703"), Blame::Query),
            (status(400, "PGRST100"), Blame::Query),
            (status(400, "22P02"), Blame::Key),
            (status(414, ""), Blame::Key),
            (Error::TooLarge.blame(), Blame::Key),
            (status(401, ""), Blame::Setup),
            (status(404, "PGRST205"), Blame::Setup),
            (status(404, ""), Blame::Key),
            (status(403, ""), Blame::Key),
            (status(401, "PGRST303"), Blame::Setup),
        ] {
            assert_eq!(error, blame);
        }
    }
}
