//! The processes of a running Afterword, as children of this program: what `cargo xtask up` starts for a person, the
//! scenarios start for a test.
//!
//! - [`process`]: a child with its output and everything it started itself; ends with its [`Process`].
//! - [`command`](mod@command): finding programs, and starting them so that they do not outlive this one.
//! - [`redis`]: a Redis or Valkey of our own, which can be killed and started again.
//! - [`app`]: the application, or some of its components, under Spin or under the embedded host.
//! - [`wake`](mod@wake): the wake-up that sets the worker going, and whether the worker answers it.
//! - [`ready`]: trying until something works, and waiting until HTTP is answered.
//! - [`port`]: TCP ports that other programs of this workspace leave alone.
//!
//! Everything here needs a running tokio runtime, and Unix: process groups and signals.

pub mod app;
pub mod command;
pub mod port;
pub mod process;
pub mod ready;
pub mod redis;
pub mod wake;

pub use app::{App, Host};
pub use command::{command, find_program};
pub use port::{Port, on_free_port};
pub use process::{Process, Signal, Stream};
pub use ready::{eventually, http_answers};
pub use redis::Redis;
pub use wake::WakeUp;
