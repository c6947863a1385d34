//! The baselines of `bench/limit` as WASI 0.2 components. An instance handles one request, so
//! nothing is kept between requests.

#[path = "../../src/article.rs"]
pub mod article;

use wasi::http::types::{
    ErrorCode, Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};
use wasi::io::streams::StreamError;

// For `handler!`.
pub use wasi;

/// Exports a function as the HTTP handler.
#[macro_export]
macro_rules! handler {
    ($handler:ident) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            use $crate::wasi;

            struct Exported;

            impl wasi::exports::http::incoming_handler::Guest for Exported {
                fn handle(
                    request: wasi::http::types::IncomingRequest,
                    response: wasi::http::types::ResponseOutparam,
                ) {
                    $crate::respond(response, $handler(request));
                }
            }

    wasi::http::proxy::export!(Exported with_types_in wasi);
        };
    };
}

/// The content of a response, and what it has for headers besides the two that each has.
pub struct Content {
    /// The content.
    pub bytes: Vec<u8>,
    /// Names and values.
    pub headers: &'static [(&'static str, &'static str)],
}

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            headers: &[],
        }
    }
}

/// Responds with this content.
pub fn respond(outparam: ResponseOutparam, content: Result<Content, ErrorCode>) {
    ResponseOutparam::set(outparam, content.and_then(response));
}

/// The content is written before the host gets the headers, so that both leave in one TCP segment.
fn response(content: Content) -> Result<OutgoingResponse, ErrorCode> {
    let Content { bytes, headers } = content;
    let length = bytes.len().to_string().into_bytes();
    let mut lines = vec![
        ("content-length".to_owned(), length),
        ("content-type".to_owned(), b"application/json".to_vec()),
    ];
    let more = headers.iter();
    lines.extend(more.map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())));
    let response = OutgoingResponse::new(Fields::from_list(&lines).map_err(failed)?);
    let body = response.body().map_err(failed)?;
    write(&body, &bytes).map_err(failed)?;
    OutgoingBody::finish(body, None)?;
    Ok(response)
}

fn write(body: &OutgoingBody, bytes: &[u8]) -> Result<(), StreamError> {
    let stream = body.write().map_err(|()| StreamError::Closed)?;
    // The host permits a megabyte, more than any of these contents has.
    stream.check_write()?;
    stream.write(bytes)
}

/// The whole body of a request.
///
/// # Errors
/// The client does not send it.
pub fn body(request: &IncomingRequest) -> Result<Vec<u8>, ErrorCode> {
    let body = request.consume().map_err(failed)?;
    let stream = body.stream().map_err(failed)?;
    let mut bytes = Vec::new();
    loop {
        match stream.blocking_read(64 << 10) {
            Ok(read) => bytes.extend(read),
            Err(StreamError::Closed) => return Ok(bytes),
            Err(error) => return Err(failed(error)),
        }
    }
}

/// The error that ends a request with status 500.
pub fn failed(error: impl std::fmt::Debug) -> ErrorCode {
    ErrorCode::InternalError(Some(format!("{error:?}")))
}
