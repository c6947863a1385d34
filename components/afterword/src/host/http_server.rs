//! Requests to this application, and their responses.
//!
//! Both stay in their WASI form. The `http` crate's types would cost a copy of every header, and
//! the conversion of a request with an unusual `Host` fails before the component could respond.

use super::body::Body;
use bytes::Bytes;
use http::{Method, StatusCode};
use spin_sdk::wasip3::http::types::{ErrorCode, Fields, Request, Response, Scheme};
use spin_sdk::wasip3::wit_bindgen::yield_async;
use spin_sdk::wasip3::{spawn, wit_future, wit_stream};

pub use spin_sdk::wasip3::http::types::{
    ErrorCode as Error, Request as Incoming, Response as Outgoing,
};

/// The headers of a request.
pub struct Headers(Fields);

impl Headers {
    /// The values of a header, one for each line, in the order in which they arrived.
    pub fn get(&self, name: &str) -> Vec<Vec<u8>> {
        self.0.get(name)
    }
}

/// The method of a request.
pub fn method(request: &Request) -> Method {
    Method::try_from(request.get_method()).unwrap_or_default()
}

/// The path of a request, without the query.
pub fn path(request: &Request) -> String {
    let mut path = request.get_path_with_query().unwrap_or_default();
    path.truncate(path.find('?').unwrap_or(path.len()));
    path
}

/// The query of a request; empty without one.
pub fn query(request: &Request) -> String {
    let path = request.get_path_with_query().unwrap_or_default();
    let query = path.split_once('?').map(|(_, query)| query.to_owned());
    query.unwrap_or_default()
}

/// The host and the port that a request is for; empty if they are unknown.
pub fn authority(request: &Request) -> String {
    request.get_authority().unwrap_or_default()
}

/// Whether a request came over TLS.
pub fn is_https(request: &Request) -> bool {
    matches!(request.get_scheme(), Some(Scheme::Https))
}

/// The headers of a request.
pub fn headers(request: &Request) -> Headers {
    Headers(request.get_headers())
}

/// The body of a request.
pub fn body(request: Request) -> Body {
    let (_, no_error) = wit_future::new(|| Ok(()));
    let (stream, trailers) = Request::consume_body(request, no_error);
    Body::new(stream, trailers)
}

/// Builds the response that the entry point returns to the host. All responses go through here.
/// The host itself omits the body of a response to `HEAD`.
///
/// Headers and body leave in one TCP segment. Spin's listener does not set `TCP_NODELAY`, so a body
/// that is not ready when the headers leave waits for the client's delayed ACK: 40 ms on a
/// kept-alive connection. Therefore the task that writes the body is spawned first and polled twice
/// (once to start, once to offer the bytes) before the host gets the headers, and `content-length`
/// must be among them.
pub async fn respond(
    status: StatusCode,
    headers: &[(String, Vec<u8>)],
    content: Option<Bytes>,
) -> Result<Response, ErrorCode> {
    let headers = Fields::from_list(headers)
        .map_err(|error| ErrorCode::InternalError(Some(error.to_string())))?;
    let (_, no_trailers) = wit_future::new(|| Ok(None));
    let (body, write) = match content {
        Some(content) => {
            let (mut writer, body) = wit_stream::new();
            let write = async move { drop(writer.write_all(content.into()).await) };
            (Some(body), Some(write))
        }
        None => (None, None),
    };
    let (response, _) = Response::new(headers, body, no_trailers);
    let _ = response.set_status_code(status.as_u16());
    if let Some(write) = write {
        spawn(write);
        yield_async().await;
        yield_async().await;
    }
    Ok(response)
}
