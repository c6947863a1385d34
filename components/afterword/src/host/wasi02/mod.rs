//! The host by WASI 0.2 and spin-sdk 5.2: for Spin before 4.1, SpinKube's shim and Fermyon Cloud.
//!
//! An instance handles one request or message. Key-value, Redis and variables block it, so no time
//! limit can be raced against them; sleeps and HTTP do not.

mod body;
pub mod executor;
pub mod http_client;
pub mod http_server;
pub mod key_value;
pub mod redis;
pub mod redis_trigger;
pub mod signal;

pub use body::{Body, BodyError};
pub use executor::{after_response, run, sleep, spawn, yield_now};
pub use wasi::random::random::get_random_u64 as random;

/// Whether an instance may serve further requests.
pub const REUSES_INSTANCES: bool = false;

/// The value of an application variable, or `None` if it is not set. The host's own error is
/// dropped because it may quote the value.
pub async fn variable(name: &str) -> Option<String> {
    spin_sdk_02::variables::get(name).ok()
}
