//! The response of the baselines in `examples/`, which `cargo xtask bench` compares Afterword with.
//! A baseline is the least component that does a thing right, so it is the host's own limit:
//!
//! | example | a request |
//! | --- | --- |
//! | `constant` | nothing |
//! | `get` | one get from the key-value store, and its bytes as the response |
//! | `get`, with the query `?headers` | the same, with the headers that a cached article needs |
//! | `script` | the request's body, and one script in Redis over one kept connection |
//!
//! They have no time limits, no error responses and, unless the table says so, no headers but two.
//! What they keep between requests, the store and the connection, Afterword keeps, too. The package
//! in `wasi02` has the same baselines as WASI 0.2 components.

pub mod article;

use spin_sdk::wasip3::http::types::{ErrorCode, Fields, Response};
use spin_sdk::wasip3::wit_bindgen::yield_async;
use spin_sdk::wasip3::{spawn, wit_future, wit_stream};

/// A response with this content and two headers, in one TCP segment.
///
/// `afterword::host::http_server::respond` says why `content-length` is set, and why the body's
/// writer is spawned and polled twice before the response is returned: without that, the body would
/// wait 40 ms for the client's delayed ACK, and the baseline would be no limit.
///
/// # Errors
/// When the host refuses the headers.
pub async fn respond(content: Vec<u8>) -> Result<Response, ErrorCode> {
    respond_with(content, &[]).await
}

/// The same with more headers.
///
/// # Errors
/// When the host refuses the headers.
pub async fn respond_with(content: Vec<u8>, more: &[(&str, &str)]) -> Result<Response, ErrorCode> {
    let length = content.len().to_string().into_bytes();
    let mut headers = vec![
        ("content-length".to_owned(), length),
        ("content-type".to_owned(), b"application/json".to_vec()),
    ];
    let more = more.iter();
    headers.extend(more.map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())));
    let headers = Fields::from_list(&headers).map_err(failed)?;
    let (_, no_trailers) = wit_future::new(|| Ok(None));
    let (mut writer, body) = wit_stream::new();
    let (response, _) = Response::new(headers, Some(body), no_trailers);
    spawn(async move { drop(writer.write_all(content).await) });
    yield_async().await;
    yield_async().await;
    Ok(response)
}

/// The error that ends a request with status 500.
pub fn failed(error: impl std::fmt::Debug) -> ErrorCode {
    ErrorCode::InternalError(Some(format!("{error:?}")))
}
