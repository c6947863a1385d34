//! The host: the only module that calls Spin or WASI. The other modules are plain Rust and run
//! natively in unit tests.
//!
//! There are two implementations. `wasi03`, for Spin 4.1 and later, is the default; the cargo
//! feature `wasi-02` chooses `wasi02`, for older hosts. `common` has what both share. Both offer the
//! same:
//!
//! | module | host interface |
//! | --- | --- |
//! | [`http_server`] | requests to this application and their responses (`wasi:http`) |
//! | [`http_client`] | requests to the origin (`wasi:http`) |
//! | [`redis_trigger`] | messages of Redis |
//! | [`key_value`] | Spin's key-value store |
//! | [`redis`] | Spin's outbound Redis |
//! | [`signal`] | waking other tasks |
//! | the module itself | variables, clock, random numbers, tasks, whether instances are reused |
//!
//! The host sets no useful time limits; callers add their own with [`limit`](crate::limit).

mod common;
#[cfg(feature = "wasi-02")]
#[path = "wasi02/mod.rs"]
mod wasi;
#[cfg(not(feature = "wasi-02"))]
#[path = "wasi03/mod.rs"]
mod wasi;

pub use wasi::*;

/// The wall clock, in milliseconds since 1970.
pub fn now() -> u64 {
    let since_1970 = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    // `as_millis` computes with 128 bits.
    since_1970.as_secs() * 1_000 + u64::from(since_1970.subsec_millis())
}
