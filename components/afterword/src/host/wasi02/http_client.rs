//! Requests to the origin, and to this application itself.

use super::body::Body;
use super::executor::ready;
use crate::host::common::nanoseconds;
use http::{Method, StatusCode};
use wasi::http::outgoing_handler;
use wasi::http::types::{
    self, ErrorCode, Fields, IncomingResponse, OutgoingRequest, RequestOptions, Scheme,
};

pub use crate::host::common::Request;
pub use wasi::http::types::ErrorCode as Error;

/// A response whose body has not been read. Its fields are dropped in this order, as the host
/// demands.
pub struct Response {
    /// `None` if the origin sent a number that is no status.
    pub status: Option<StatusCode>,
    headers: Fields,
    /// The body.
    pub body: Body,
    _response: IncomingResponse,
}

impl Response {
    /// The first value of a header; empty if the header is missing.
    pub fn header(&self, name: &str) -> Vec<u8> {
        let values = self.headers.get(&name.to_owned());
        values.into_iter().next().unwrap_or_default()
    }
}

/// Sends the request and waits for the headers of the response. `None`: a part of the request
/// contains a character that HTTP does not allow.
pub async fn send(request: Request<'_>) -> Option<Result<Response, ErrorCode>> {
    let message = wasi(&request)?;
    let options = RequestOptions::new();
    let (connect, read) = (request.connect_timeout, request.read_timeout);
    let _ = options.set_connect_timeout(Some(nanoseconds(connect)));
    let _ = options.set_first_byte_timeout(Some(nanoseconds(read)));
    let _ = options.set_between_bytes_timeout(Some(nanoseconds(read)));
    Some(exchange(message, options).await.map(response))
}

async fn exchange(
    message: OutgoingRequest,
    options: RequestOptions,
) -> Result<IncomingResponse, ErrorCode> {
    let response = outgoing_handler::handle(message, Some(options))?;
    loop {
        match response.get() {
            Some(Ok(outcome)) => return outcome,
            Some(Err(())) => return Err(ErrorCode::InternalError(None)),
            None => ready(response.subscribe()).await,
        }
    }
}

fn wasi(request: &Request<'_>) -> Option<OutgoingRequest> {
    let message = OutgoingRequest::new(Fields::from_list(&request.headers).ok()?);
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

fn response(response: IncomingResponse) -> Response {
    Response {
        status: StatusCode::from_u16(response.status()).ok(),
        headers: response.headers(),
        body: Body::new(response.consume(), None, None),
        _response: response,
    }
}
