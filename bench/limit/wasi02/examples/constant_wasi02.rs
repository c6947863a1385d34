//! A constant response.

use afterword_limit_wasi02::Content;
use wasi::http::types::{ErrorCode, IncomingRequest};

/// As long as a small article.
const CONTENT: [u8; 1_000] = [b' '; 1_000];

afterword_limit_wasi02::handler!(constant);

/// The HTTP handler.
pub fn constant(_: IncomingRequest) -> Result<Content, ErrorCode> {
    Ok(CONTENT.to_vec().into())
}
