//! Why the origin returned no rows, and whose fault that is.

use super::api_key::ApiKey;
use http::StatusCode;
use serde::Deserialize;
use std::fmt;
use std::time::Duration;

/// Why there are no rows. The text may be logged and stored in Redis: it does not contain the key,
/// the content of a row, or more than one line of the origin's own text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The origin did not respond in time.
    TimedOut,
    /// The connection failed or broke.
    Unreachable(&'static str),
    /// The origin responded with an error.
    Status {
        /// The HTTP status.
        status: StatusCode,
        /// PostgREST's or PostgreSQL's error code; empty if the response is from elsewhere, such
        /// as a gateway.
        code: String,
        /// The error message; empty if it may quote a row or the API key.
        message: String,
        /// The time for which the origin asks for no requests.
        retry_after: Option<Duration>,
    },
    /// The response is not an array of rows, but for example a gateway's HTML page.
    NotRows,
    /// A response for items, or one with a single row of the list, exceeds this size in bytes.
    TooLarge(usize),
    /// The list exceeds this size in bytes.
    ListTooLarge(u64),
    /// A row lacks the id column.
    NoId,
    /// A configured value contains a character that HTTP does not allow.
    InvalidRequest,
}

/// What causes an error, and therefore what has to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// A key of the request, or the number of keys: a request for fewer keys may succeed.
    Key,
    /// The query: it fails for every key.
    Query,
    /// The origin: every request fails for a while.
    Origin,
    /// The configuration of Afterword or of the origin: it does not recover by itself.
    Configuration,
}

/// Whether the anonymous key may not read the table (PostgreSQL 42501, *insufficient privilege*).
/// That is a result, not a failure.
pub(super) fn is_permission_denied(code: &str) -> bool {
    code == "42501"
}

/// Whether the id cannot be a value of its column's type, so that no row has it (22P02, *invalid
/// text representation*; 22003, *numeric value out of range*).
pub(super) fn is_no_such_value(code: &str) -> bool {
    matches!(code, "22P02" | "22003")
}

impl Error {
    /// Whether the offset is beyond the last row (PGRST103).
    pub fn is_beyond_the_end(&self) -> bool {
        matches!(
            self,
            Self::Status {
                status: StatusCode::RANGE_NOT_SATISFIABLE,
                ..
            }
        )
    }

    /// Whether it is a response about the requested rows, and no failure: the anonymous key may not
    /// read them, no row can have this id, or no row is left.
    pub fn is_about_rows(&self) -> bool {
        let is_code = |code| is_permission_denied(code) || is_no_such_value(code);
        matches!(self, Self::Status { code, .. } if is_code(code)) || self.is_beyond_the_end()
    }

    /// The cause of the error.
    ///
    /// A server error with a code of PostgreSQL's is about the request: a statement that takes too
    /// long, or a computed column that fails for one row. A PostgREST in trouble responds with 503
    /// or 504. A 403 or 404 without a code is not from PostgREST: a firewall rejects this id.
    pub fn blame(&self) -> Blame {
        match self {
            Self::TimedOut | Self::Unreachable(_) | Self::NotRows => Blame::Origin,
            Self::TooLarge(_) | Self::ListTooLarge(_) => Blame::Key,
            Self::NoId | Self::InvalidRequest => Blame::Query,
            Self::Status { status, code, .. } => match status.as_u16() {
                400 | 414 if !code.starts_with("42") && !code.starts_with("PGRST") => Blame::Key,
                403 | 404 if code.is_empty() => Blame::Key,
                408 | 429 => Blame::Origin,
                500 if !code.is_empty() => Blame::Key,
                500..=599 => Blame::Origin,
                300..=399 | 401 | 403 | 404 => Blame::Configuration,
                _ => Blame::Query,
            },
        }
    }

    /// Whether many such errors in a row mean that the origin fails, whatever the cause of each.
    pub fn may_be_the_origins(&self) -> bool {
        match self {
            Self::Status { status, .. } => {
                matches!(self.blame(), Blame::Origin | Blame::Configuration)
                    || status.is_server_error()
                    || matches!(status.as_u16(), 403 | 404)
            }
            _ => self.blame() == Blame::Origin,
        }
    }

    /// Whether the origin is likely to recover by itself.
    pub fn is_an_outage(&self) -> bool {
        match self {
            Self::Status { status, .. } => {
                status.is_server_error() || matches!(status.as_u16(), 408 | 429)
            }
            _ => self.blame() == Blame::Origin,
        }
    }

    /// Whether counting the rows may be the cause. A count scans the table, so it is the first to
    /// exceed a time limit. A failing database responds with its own code. A second request would
    /// not help a PostgREST or a gateway that is in trouble itself.
    pub(super) fn may_be_due_to_the_count(&self) -> bool {
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

    /// The time for which the origin asks for no requests.
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
            Self::TimedOut => f.write_str("the origin did not respond in time"),
            Self::Unreachable(why) => write!(f, "the origin could not be reached: {why}"),
            Self::Status {
                status,
                code,
                message,
                ..
            } => {
                write!(f, "the origin answered {status}")?;
                let is_code = |it: u8| it.is_ascii_uppercase() || it.is_ascii_digit() || it == b'_';
                if !code.is_empty() && code.bytes().all(is_code) {
                    write!(f, " {code}")?;
                }
                if !message.is_empty() {
                    write!(f, " {message}")?;
                }
                Ok(())
            }
            Self::NotRows => f.write_str("the origin's response is not a JSON array of rows"),
            Self::TooLarge(max) => write!(
                f,
                "the origin's response exceeds {} MiB: select less",
                max >> 20
            ),
            Self::ListTooLarge(max) => write!(
                f,
                "the list exceeds {max} bytes: raise `max_list_bytes`, select less, or give \
                 `list_query` a `limit`"
            ),
            Self::NoId => f.write_str("a row lacks the id column: `item_query` must select it"),
            Self::InvalidRequest => f.write_str(
                "the request to the origin contains a character that HTTP does not allow",
            ),
        }
    }
}

impl std::error::Error for Error {}

/// The body of an error response.
#[derive(Default, Deserialize)]
#[serde(default)]
struct ErrorBody {
    code: String,
    message: String,
}

/// The error of a response with this status and body to a request with this API key.
pub(super) fn refused(
    status: StatusCode,
    body: &[u8],
    retry_after: Option<Duration>,
    api_key: &ApiKey,
) -> Error {
    let ErrorBody { code, message } = serde_json::from_slice(body).unwrap_or_default();
    let (code, key) = (line(&code, 16), api_key.as_str());
    let message = if may_quote_rows(status, &code) || message.contains(key) {
        String::new()
    } else {
        line(&message, 200)
    };
    Error::Status {
        status,
        code,
        message,
        retry_after,
    }
}

/// Whether an error's message may quote the content of a row.
///
/// Without a code, the response is a gateway's. One that refuses the request has seen no rows. The
/// errors of PostgREST itself are about the request. Those of PostgreSQL that are safe name tables,
/// columns and roles, or are about the server. Others quote values (`22P02`), or have a text that a
/// function composed (`P0001`).
fn may_quote_rows(status: StatusCode, code: &str) -> bool {
    /// The safe classes of PostgreSQL's error codes:
    /// <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
    const SAFE: [&str; 10] = ["08", "25", "28", "3D", "3F", "40", "42", "53", "57", "58"];
    match code.len() {
        0 => !status.is_client_error(),
        5 => !SAFE.iter().any(|class| code.starts_with(class)),
        _ => !code.starts_with("PGRST"),
    }
}

/// The first characters of the origin's text, without those that could forge a log line.
fn line(text: &str, length: usize) -> String {
    text.chars()
        .filter(|character| !character.is_control())
        .take(length)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "sb_publishable_secret";

    fn refused(status: StatusCode, body: &[u8]) -> Error {
        let key = ApiKey::parse(KEY.to_owned()).unwrap();
        super::refused(status, body, None, &key)
    }

    fn error(status: u16, code: &str, message: &str) -> Error {
        let body = serde_json::json!({"code": code, "message": message}).to_string();
        refused(StatusCode::from_u16(status).unwrap(), body.as_bytes())
    }

    #[test]
    fn permission_denied_is_recognized_by_its_code() {
        let denied = error(401, "42501", "permission denied for table articles");
        let code = |error: &Error| match error {
            Error::Status { code, .. } => code.clone(),
            _ => panic!("{error}"),
        };
        assert!(is_permission_denied(&code(&denied)));
        let gateway = refused(
            StatusCode::UNAUTHORIZED,
            br#"{"message":"Invalid API key"}"#,
        );
        assert!(!is_permission_denied(&code(&gateway)));
        assert_eq!(
            gateway.to_string(),
            "the origin answered 401 Unauthorized Invalid API key"
        );
    }

    #[test]
    fn the_origins_text_is_cut_to_one_short_line() {
        let html = refused(StatusCode::BAD_GATEWAY, b"<html>");
        assert_eq!(html.to_string(), "the origin answered 502 Bad Gateway");
        let long = format!("a\nb{}", "x".repeat(1000));
        let Error::Status { message, .. } = error(400, "", &long) else {
            panic!()
        };
        assert!(message.starts_with("abx") && message.len() == 200);
    }

    #[test]
    fn a_message_that_may_quote_a_row_or_the_key_is_left_out() {
        for (status, code, message) in [
            (400, "42703", "column articles.titel does not exist"),
            (500, "57014", "canceling statement due to statement timeout"),
            (
                404,
                "PGRST205",
                "Could not find the table 'public.articles'",
            ),
            (401, "", "No API key found in request"),
        ] {
            let text = error(status, code, message).to_string();
            assert!(text.ends_with(message), "{text}");
        }
        for (status, code, message) in [
            (
                400,
                "22P02",
                "invalid input syntax for type integer: \"hush\"",
            ),
            (400, "P0001", "hush is not a title"),
            (500, "XX000", "hush"),
            (402, "PAYMENT", "hush"),
            (502, "", "cannot convert hush"),
            (401, "", &format!("hush: {KEY} is unknown")),
            (400, "hush \"", "hush"),
        ] {
            let text = error(status, code, message).to_string();
            assert!(!text.contains("hush"), "{text}");
        }
    }

    #[test]
    fn the_count_is_dropped_if_it_may_be_the_cause() {
        let status = |status, code| error(status, code, "");
        for error in [
            Error::TimedOut,
            status(500, "57014"),
            status(504, "57014"),
            status(500, "XX000"),
            status(504, ""),
        ] {
            assert!(error.may_be_due_to_the_count(), "{error}");
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
            assert!(!error.may_be_due_to_the_count(), "{error}");
        }
    }

    #[test]
    fn an_error_is_blamed_on_its_cause() {
        let status = |status, code| error(status, code, "").blame();
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
            (Error::TooLarge(1).blame(), Blame::Key),
            (status(401, ""), Blame::Configuration),
            (status(404, "PGRST205"), Blame::Configuration),
            (status(404, ""), Blame::Key),
            (status(403, ""), Blame::Key),
            (status(401, "PGRST303"), Blame::Configuration),
        ] {
            assert_eq!(error, blame);
        }
    }
}
