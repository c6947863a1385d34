//! Requests to the origin, and to this application itself.
//!
//! Requests and responses stay in their WASI form: the `http` crate's header map and body adapters
//! would add 30 kB to each component.

use super::body::Body;
use crate::host::common::nanoseconds;
use http::{Method, StatusCode};
use spin_sdk::wasip3::http::client;
use spin_sdk::wasip3::http::types::{
    self, ErrorCode, Fields, RequestOptions, Response as WasiResponse, Scheme,
};
use spin_sdk::wasip3::wit_future;

pub use crate::host::common::Request;
pub use spin_sdk::wasip3::http::types::ErrorCode as Error;

/// A response whose body has not been read.
pub struct Response {
    /// `None` if the origin sent a number that is no status.
    pub status: Option<StatusCode>,
    headers: Fields,
    /// The body.
    pub body: Body,
}

impl Response {
    /// The first value of a header; empty if the header is missing.
    pub fn header(&self, name: &str) -> Vec<u8> {
        let values = self.headers.get(name);
        values.into_iter().next().unwrap_or_default()
    }
}

/// Sends the request and waits for the headers of the response. `None`: a part of the request
/// contains a character that HTTP does not allow.
pub async fn send(request: Request<'_>) -> Option<Result<Response, ErrorCode>> {
    let request = wasi(&request)?;
    Some(client::send(request).await.map(response))
}

fn wasi(request: &Request<'_>) -> Option<types::Request> {
    let options = RequestOptions::new();
    // A host that does not support a time limit returns an error here. The caller's limit on the
    // whole exchange still holds.
    let _ = options.set_connect_timeout(Some(nanoseconds(request.connect_timeout)));
    let _ = options.set_first_byte_timeout(Some(nanoseconds(request.read_timeout)));
    let _ = options.set_between_bytes_timeout(Some(nanoseconds(request.read_timeout)));
    let (_, no_trailers) = wit_future::new(|| Ok(None));
    let headers = Fields::from_list(&request.headers).ok()?;
    let (message, _) = types::Request::new(headers, None, no_trailers, Some(options));
    let scheme = if request.https {
        Scheme::Https
    } else {
        Scheme::Http
    };
    let method = match request.method {
        Method::POST => types::Method::Post,
        _ => types::Method::Get,
    };
    message.set_method(&method).ok()?;
    message.set_scheme(Some(&scheme)).ok()?;
    message.set_authority(Some(request.authority)).ok()?;
    message
        .set_path_with_query(Some(request.path_with_query))
        .ok()?;
    Some(message)
}

fn response(response: WasiResponse) -> Response {
    let status = StatusCode::from_u16(response.get_status_code()).ok();
    let headers = response.get_headers();
    let (_, no_error) = wit_future::new(|| Ok(()));
    let (stream, trailers) = WasiResponse::consume_body(response, no_error);
    let body = Body::new(stream, trailers, None);
    Response {
        status,
        headers,
        body,
    }
}
