//! Programs from Debian's packages, unpacked below `target` without touching the machine.
//!
//! - [`RustCompiler`]: for machines that reach a Debian mirror but not rustup's server.
//! - [`RedisServer`]: for machines without Redis or Valkey.
//! - Both are [`unpacked`] by a private [`apt`]; the compiler from a Debian suite of its own
//!   ([`sources`]).

mod apt;
mod redis_server;
mod rust_compiler;
mod sources;
mod unpacked;

pub use redis_server::RedisServer;
pub use rust_compiler::RustCompiler;
