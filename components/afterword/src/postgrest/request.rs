//! A single request to PostgREST.

use super::api_key::ApiKey;
use super::base_url::BaseUrl;
use super::error::{Error, refused};
use crate::host::{BodyError, http_client};
use crate::limit::limit;
use bytes::Bytes;
use http::{Method, StatusCode};
use std::time::Duration;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// The time limit of a whole request.
pub const REQUEST_LIMIT: Duration = Duration::from_secs(15);

/// A request for rows.
pub struct Request<'a> {
    /// Where PostgREST is.
    pub base_url: &'a BaseUrl,
    /// The path and the query, such as `/rest/v1/articles?select=*`.
    pub path_with_query: &'a str,
    /// The anonymous key.
    pub api_key: &'a ApiKey,
    /// The table's schema.
    pub schema: &'a str,
    /// Request the total number of rows.
    pub count: bool,
    /// The maximum size of the response, in bytes.
    pub max_bytes: usize,
}

/// A response with rows.
#[derive(Debug, Default)]
pub struct Page {
    /// 200, or 206 for a part of the rows.
    pub status: StatusCode,
    /// The body, not parsed.
    pub body: Bytes,
    /// The total number of rows, if the origin sent it.
    pub total: Option<u64>,
}

/// Sends the request and reads the whole response. Time limits: 2 s for the connection, 5 s for the
/// first byte, 15 s in all.
pub async fn get(request: &Request<'_>) -> Result<Page, Error> {
    limit(REQUEST_LIMIT, send(request))
        .await
        .map_err(|_| Error::TimedOut)?
}

async fn send(request: &Request<'_>) -> Result<Page, Error> {
    let response = http_client::send(http_client::Request {
        method: Method::GET,
        https: request.base_url.https,
        authority: &request.base_url.authority,
        path_with_query: request.path_with_query,
        headers: headers(request),
        connect_timeout: CONNECT_TIMEOUT,
        read_timeout: READ_TIMEOUT,
    })
    .await
    .ok_or(Error::InvalidRequest)?
    .map_err(|error| unreachable(&error))?;
    let status = response.status.ok_or(Error::NotRows)?;
    let content_range = response.header("content-range");
    let retry_after = response.header("retry-after");
    let body = response.body.read(request.max_bytes).await;
    let body = body.map_err(|error| match error {
        BodyError::TooLarge(..) => Error::TooLarge(request.max_bytes),
        BodyError::Broken(error) => unreachable(&error),
    })?;
    match status {
        StatusCode::OK | StatusCode::PARTIAL_CONTENT => Ok(Page {
            body,
            status,
            total: total(&content_range),
        }),
        _ => {
            let retry_after = seconds(&retry_after);
            Err(refused(status, &body, retry_after, request.api_key))
        }
    }
}

fn headers(request: &Request<'_>) -> Vec<(String, Vec<u8>)> {
    let agent = concat!("afterword/", env!("CARGO_PKG_VERSION"));
    let mut headers = vec![
        ("accept".to_owned(), b"application/json".to_vec()),
        ("user-agent".to_owned(), agent.into()),
        ("accept-profile".to_owned(), request.schema.into()),
    ];
    let key = request.api_key.headers();
    headers.extend(key.map(|(name, value)| (name.to_owned(), value.into_bytes())));
    if request.count {
        headers.push(("prefer".to_owned(), b"count=exact".to_vec()));
    }
    headers
}

fn unreachable(error: &http_client::Error) -> Error {
    use http_client::Error as Cause;
    let why = match error {
        Cause::ConnectionTimeout
        | Cause::ConnectionReadTimeout
        | Cause::HttpResponseTimeout
        | Cause::DnsTimeout => return Error::TimedOut,
        Cause::HttpRequestDenied => "`allowed_outbound_hosts` does not include it",
        Cause::ConnectionRefused => "it refused the connection",
        Cause::DnsError(_) | Cause::DestinationNotFound => "its name cannot be resolved",
        Cause::TlsProtocolError | Cause::TlsCertificateError | Cause::TlsAlertReceived(_) => {
            "TLS failed"
        }
        _ => "the connection failed or broke",
    };
    Error::Unreachable(why)
}

/// The total of `Content-Range: 0-24/25`. PostgREST sends `*` if it did not count.
fn total(content_range: &[u8]) -> Option<u64> {
    str::from_utf8(content_range)
        .ok()?
        .rsplit_once('/')?
        .1
        .parse()
        .ok()
}

/// `Retry-After` in seconds. Gateways do not send its other form, a date.
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
    fn retry_after_is_parsed_in_seconds() {
        assert_eq!(seconds(b"120"), Some(Duration::from_secs(120)));
        assert_eq!(seconds(b"Fri, 31 Dec 1999 23:59:59 GMT"), None);
        assert_eq!(seconds(b"-1"), None);
    }
}
