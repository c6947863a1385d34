//! The host: the only module that calls Spin or WASI. The other modules are plain Rust and run
//! natively in unit tests.
//!
//! | module | host interface |
//! | --- | --- |
//! | [`http_server`] | requests to this application and their responses (`wasi:http`) |
//! | [`http_client`] | requests to the origin (`wasi:http`) |
//! | [`key_value`] | `spin:key-value` |
//! | [`redis`] | `spin:redis` |
//! | [`signal`] | waking the tasks of other requests (the component model's streams) |
//! | this file | variables, clock, random numbers, tasks |
//!
//! The host sets no useful time limits; callers add their own with [`limit`](crate::limit).

mod body;
pub mod http_client;
pub mod http_server;
pub mod signal;

pub use body::{Body, BodyError};
pub use spin_sdk::time::sleep;
pub use spin_sdk::wasip3::random::random::get_random_u64 as random;
pub use spin_sdk::wasip3::spawn;
pub use spin_sdk::wasip3::wit_bindgen::yield_async as yield_now;
pub use spin_sdk::{key_value, redis};

/// The value of an application variable, or `None` if it is not set. The host's own error is
/// dropped because it may quote the value.
pub async fn variable(name: &str) -> Option<String> {
    spin_sdk::variables::get(name).await.ok()
}

/// The wall clock, in milliseconds since 1970.
pub fn now() -> u64 {
    let since_1970 = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    // `as_millis` computes with 128 bits.
    since_1970.as_secs() * 1_000 + u64::from(since_1970.subsec_millis())
}
