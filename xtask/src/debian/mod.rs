//! Programs from Debian's packages, unpacked below `target` without touching the machine.
//!
//! - [`RustCompiler`]: for machines that reach a Debian mirror but not rustup's server.
//! - [`RedisServer`]: for machines without Redis or Valkey.
//! - [`PostgreSql`]: for machines without PostgreSQL.
//! - [`promtool`](promtool()): for machines without Prometheus.
//! - [`Chromium`]: for machines without a browser.
//! - [`wrk`](wrk()): for machines without this load generator.
//! - A private [`apt`] fetches them, and [`unpacked`] is the result. The compiler comes from a
//!   newer Debian suite ([`sources`]).

mod apt;
mod chromium;
mod postgresql;
mod promtool;
mod redis_server;
mod rust_compiler;
mod sources;
mod unpacked;
mod wrk;

pub use chromium::Chromium;
pub use postgresql::PostgreSql;
pub use promtool::promtool;
pub use redis_server::RedisServer;
pub use rust_compiler::RustCompiler;
pub use wrk::wrk;
