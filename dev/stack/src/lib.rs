//! The processes of a running Afterword, as children of this program. `cargo xtask up` and the
//! scenarios start them.
//!
//! - [`process`]: a child process with its output and its own children. It ends with its
//!   [`Process`].
//! - [`command`](mod@command): finds programs, and makes commands that end with this program.
//! - [`redis`]: a Redis or Valkey server, which can be killed and restarted.
//! - `certificates`: the certificates of a Redis with TLS, with the feature of that name.
//! - [`app`]: the application or some of its components, under Spin or the embedded host.
//! - [`wake`](mod@wake): the wake-up of the worker, and whether the worker responds.
//! - [`ready`]: retries until something works.
//! - [`port`]: TCP ports that no other program of this workspace takes.
//!
//! Everything here needs a running tokio runtime, and Unix process groups and signals.

pub mod app;
#[cfg(feature = "certificates")]
pub mod certificates;
pub mod command;
pub mod port;
pub mod process;
pub mod ready;
pub mod redis;
pub mod wake;

pub use app::{App, Host};
#[cfg(feature = "certificates")]
pub use certificates::{Certificates, redis_has_tls};
pub use command::{command, find_program};
pub use port::{Port, on_free_port};
pub use process::{Process, Signal, Stream};
pub use ready::{eventually, http_answers};
pub use redis::Redis;
pub use wake::WakeUp;
