//! A constant response.

use spin_sdk::wasip3::exports::http::handler::Guest;
use spin_sdk::wasip3::http::types::{ErrorCode, Request, Response};

/// As long as a small article.
const CONTENT: [u8; 1_000] = [b' '; 1_000];

/// The HTTP handler.
pub struct Constant;

#[cfg(target_family = "wasm")]
spin_sdk::wasip3::http::service::export!(Constant);

impl Guest for Constant {
    async fn handle(_: Request) -> Result<Response, ErrorCode> {
        afterword_limit::respond(CONTENT.to_vec()).await
    }
}
