//! Requests to this application, and their responses.
//!
//! Both stay in their WASI form. The `http` crate's types would cost a copy of every header, and
//! the conversion of a request with an unusual `Host` fails before the component could respond.

use super::body::Body;
use crate::host::common;
use http::{Method, StatusCode};
use spin_sdk::wasip3::http::types::{ErrorCode, Fields, Request, Response, Scheme};
use spin_sdk::wasip3::wit_bindgen::{FutureWriter, StreamWriter, yield_async};
use spin_sdk::wasip3::{spawn, wit_future, wit_stream};

/// The HTTP handler of a component.
pub use spin_sdk::wasip3::exports::http::handler::Guest;
/// Exports a [`Guest`].
pub use spin_sdk::wasip3::http::service::export;
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

/// The path and the query of a request; either may be empty.
pub fn path_and_query(request: &Request) -> (String, String) {
    common::path_and_query(request.get_path_with_query())
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

/// The body of a request, which has these headers.
pub fn body(request: Request, headers: &Headers) -> Body {
    let length = common::content_length(&headers.get("content-length"));
    let (_, no_error) = wit_future::new(|| Ok(()));
    let (stream, trailers) = Request::consume_body(request, no_error);
    Body::new(stream, trailers, length)
}

/// The headers of a response.
///
/// # Errors
/// A name or a value is invalid.
pub fn header_list(lines: &[(String, Vec<u8>)]) -> Result<Fields, ErrorCode> {
    Fields::from_list(lines).map_err(|error| ErrorCode::InternalError(Some(error.to_string())))
}

/// The content of a response.
pub type Content = common::Content<BodyWriter>;

/// Writes the content of a response, after the response has begun.
pub type Produce = common::Produce<BodyWriter>;

/// The content of a response that has begun.
pub struct BodyWriter {
    stream: StreamWriter<u8>,
    end: FutureWriter<Result<Option<Fields>, ErrorCode>>,
}

impl BodyWriter {
    /// Writes the next bytes. Returns false if nobody reads them.
    pub async fn write(&mut self, bytes: Vec<u8>) -> bool {
        self.stream.write_all(bytes).await.is_empty()
    }

    /// Cuts the response: the client must not take it for complete.
    pub async fn cut(self) {
        let error = ErrorCode::InternalError(Some("the content is incomplete".to_owned()));
        let _ = self.end.write(Err(error)).await;
    }
}

/// Builds the response that the entry point returns to the host. All responses go through here.
/// The host itself omits the body of a response to `HEAD`.
///
/// Headers and body leave in one TCP segment. Spin's listener does not set `TCP_NODELAY`, so a body
/// that is not ready when the headers leave waits for the client's delayed ACK: 40 ms on a
/// kept-alive connection. Therefore the task that writes the body is spawned first and polled twice
/// (once to start, once to offer the bytes) before the host gets the headers, and `content-length`
/// must be among them. With one yield less, every third response from the SQLite store stalls.
pub async fn respond(
    status: StatusCode,
    headers: Fields,
    content: Content,
) -> Result<Response, ErrorCode> {
    let (end, trailers) = wit_future::new(|| Ok(None));
    let (body, has_body) = match content {
        Content::None => (None, false),
        Content::Whole(content) => {
            let (mut stream, body) = wit_stream::new();
            spawn(async move { drop(stream.write_all(content.into()).await) });
            (Some(body), true)
        }
        Content::Streamed(produce) => {
            let (stream, body) = wit_stream::new();
            spawn(produce(BodyWriter { stream, end }));
            (Some(body), true)
        }
    };
    let (response, _) = Response::new(headers, body, trailers);
    // 200 is the default.
    if status != StatusCode::OK {
        let _ = response.set_status_code(status.as_u16());
    }
    if has_body {
        yield_async().await;
        yield_async().await;
    }
    Ok(response)
}
