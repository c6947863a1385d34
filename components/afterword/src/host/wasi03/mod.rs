//! The host by WASI 0.3 and spin-sdk 7.

mod body;
pub mod http_client;
pub mod http_server;
pub mod redis_trigger;
pub mod signal;

pub use body::{Body, BodyError};
pub use spin_sdk::time::sleep;
pub use spin_sdk::wasip3::random::random::get_random_u64 as random;
/// Starts a task that goes on after the response. Its calls do not hold up anything.
pub use spin_sdk::wasip3::spawn as after_response;
pub use spin_sdk::wasip3::spawn;
pub use spin_sdk::wasip3::wit_bindgen::yield_async as yield_now;
pub use spin_sdk::{key_value, redis};

/// Whether an instance may serve further requests.
pub const REUSES_INSTANCES: bool = true;

/// The value of an application variable, or `None` if it is not set. The host's own error is
/// dropped because it may quote the value.
pub async fn variable(name: &str) -> Option<String> {
    spin_sdk::variables::get(name).await.ok()
}
