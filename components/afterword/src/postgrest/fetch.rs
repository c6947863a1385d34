//! One request to PostgREST.

use super::error::{Error, refused};
use super::{MAX_CONTENT, key::ApiKey};
use crate::body;
use crate::limit::limit;
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_RANGE, RETRY_AFTER, USER_AGENT};
use http::{HeaderName, StatusCode};
use spin_sdk::wasip3::http::client;
use spin_sdk::wasip3::http::types::{self, ErrorCode, Fields, RequestOptions, Scheme};
use spin_sdk::wasip3::wit_future;
use std::time::Duration;

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
    /// 200, or 206 for a part of the rows.
    pub status: StatusCode,
    /// What came, unread.
    pub body: Bytes,
    /// The number of rows in all, if the origin said it.
    pub total: Option<u64>,
}

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
            status,
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
    let (stream, trailers) = types::Response::consume_body(response, no_error);
    body::read(stream, trailers, MAX_CONTENT)
        .await
        .map_err(|error| match error {
            body::Error::TooLarge(..) => Error::TooLarge,
            body::Error::Broken(code) => failure(&code),
        })
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
    fn retry_after_is_taken_in_seconds() {
        assert_eq!(seconds(b"120"), Some(Duration::from_secs(120)));
        assert_eq!(seconds(b"Fri, 31 Dec 1999 23:59:59 GMT"), None);
        assert_eq!(seconds(b"-1"), None);
    }
}
