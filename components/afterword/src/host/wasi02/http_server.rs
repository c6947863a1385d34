//! Requests to this application, and their responses.

use super::body::Body;
use super::executor::{ready, run_spawned, spawn_response};
use crate::host::common;
use futures_util::future::LocalBoxFuture;
use http::{Method, StatusCode};
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::task::Poll;
use wasi::http::types::{self, ErrorCode, Fields, OutgoingBody, ResponseOutparam, Scheme};
use wasi::io::streams::OutputStream;

pub use crate::__export_http_handler as export;
pub use wasi::http::types::{ErrorCode as Error, OutgoingResponse as Outgoing};
// For `export!`.
#[doc(hidden)]
pub use wasi;

pub(super) use wasi::http::types::IncomingRequest as Request;

/// The HTTP handler of a component.
pub trait Guest {
    /// Responds to a request. Spawned tasks go on after the response.
    fn handle(request: Incoming) -> impl Future<Output = Result<Outgoing, Error>>;
}

/// Exports a [`Guest`].
#[doc(hidden)]
#[macro_export]
macro_rules! __export_http_handler {
    ($handler:ident) => {
        const _: () = {
            use $crate::host::http_server::wasi;

            struct Exported;

            impl wasi::exports::http::incoming_handler::Guest for Exported {
                fn handle(
                    request: wasi::http::types::IncomingRequest,
                    response: wasi::http::types::ResponseOutparam,
                ) {
                    $crate::host::http_server::handle::<$handler>(request, response);
                }
            }

    wasi::http::proxy::export!(Exported with_types_in wasi);
        };
    };
}

// For `export!`.
#[doc(hidden)]
pub fn handle<G: Guest>(request: Request, outparam: ResponseOutparam) {
    spawn_response(async {
        let response = G::handle(Incoming(Rc::new(request))).await;
        ResponseOutparam::set(outparam, response);
    });
    run_spawned();
}

/// A request. The host demands that it outlives its headers and its body.
pub struct Incoming(Rc<Request>);

/// The headers of a request.
pub struct Headers(
    Fields,
    #[expect(dead_code, reason = "dropped second")] Rc<Request>,
);

impl Headers {
    /// The values of a header, one for each line, in the order in which they arrived.
    pub fn get(&self, name: &str) -> Vec<Vec<u8>> {
        self.0.get(&name.to_owned())
    }
}

/// The method of a request.
pub fn method(request: &Incoming) -> Method {
    match request.0.method() {
        types::Method::Get => Method::GET,
        types::Method::Head => Method::HEAD,
        types::Method::Post => Method::POST,
        types::Method::Put => Method::PUT,
        types::Method::Delete => Method::DELETE,
        types::Method::Connect => Method::CONNECT,
        types::Method::Options => Method::OPTIONS,
        types::Method::Trace => Method::TRACE,
        types::Method::Patch => Method::PATCH,
        types::Method::Other(name) => Method::from_bytes(name.as_bytes()).unwrap_or_default(),
    }
}

/// The path and the query of a request; either may be empty.
pub fn path_and_query(request: &Incoming) -> (String, String) {
    common::path_and_query(request.0.path_with_query())
}

/// The host and the port that a request is for; empty if they are unknown.
pub fn authority(request: &Incoming) -> String {
    request.0.authority().unwrap_or_default()
}

/// Whether a request came over TLS.
pub fn is_https(request: &Incoming) -> bool {
    matches!(request.0.scheme(), Some(Scheme::Https))
}

/// The headers of a request.
pub fn headers(request: &Incoming) -> Headers {
    Headers(request.0.headers(), request.0.clone())
}

/// The body of a request, which has these headers.
pub fn body(request: Incoming, headers: &Headers) -> Body {
    let length = common::content_length(&headers.get("content-length"));
    Body::new(request.0.consume(), Some(request.0), length)
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

/// The content of a response that has begun. Dropping it ends the content.
pub struct BodyWriter(Option<(OutputStream, OutgoingBody)>);

impl BodyWriter {
    fn of(response: &Outgoing) -> Self {
        let body = response.body().ok();
        Self(body.and_then(|body| Some((body.write().ok()?, body))))
    }

    /// Writes the next bytes. Returns false if nobody reads them.
    pub async fn write(&mut self, bytes: Vec<u8>) -> bool {
        self.write_slice(&bytes).await
    }

    async fn write_slice(&mut self, mut bytes: &[u8]) -> bool {
        let Some((stream, _)) = &self.0 else {
            return false;
        };
        while !bytes.is_empty() {
            match stream.check_write() {
                Ok(0) => ready(stream.subscribe()).await,
                Ok(space) => {
                    let space = usize::try_from(space).unwrap_or(usize::MAX);
                    let (now, later) = bytes.split_at(space.min(bytes.len()));
                    if stream.write(now).is_err() {
                        return false;
                    }
                    bytes = later;
                }
                Err(_) => return false,
            }
        }
        true
    }

    /// Cuts the response: the client must not take it for complete.
    pub async fn cut(mut self) {
        // The host takes an unfinished body for a failure.
        drop(self.0.take());
    }
}

impl Drop for BodyWriter {
    fn drop(&mut self) {
        if let Some((stream, body)) = self.0.take() {
            drop(stream);
            // An error: fewer bytes than `content-length` says, as in a response to HEAD.
            let _ = OutgoingBody::finish(body, None);
        }
    }
}

/// Builds the response that the entry point returns to the host. All responses go through here.
///
/// The task that writes the body is polled before the host gets the headers. It fills the host's
/// pipe (two writes of up to 1 MiB), so headers and body leave in one TCP segment.
pub async fn respond(
    status: StatusCode,
    headers: Fields,
    content: Content,
) -> Result<Outgoing, ErrorCode> {
    let response = Outgoing::new(headers);
    // 200 is the default.
    if status != StatusCode::OK {
        let _ = response.set_status_code(status.as_u16());
    }
    let mut task: LocalBoxFuture<'static, ()> = match content {
        Content::None => return Ok(response),
        Content::Whole(content) => {
            let mut writer = BodyWriter::of(&response);
            Box::pin(async move {
                writer.write_slice(&content).await;
            })
        }
        Content::Streamed(produce) => produce(BodyWriter::of(&response)),
    };
    let begun = poll_fn(|context| Poll::Ready(task.as_mut().poll(context))).await;
    if begun.is_pending() {
        spawn_response(task);
    }
    Ok(response)
}
