//! The embedded host: wasmtime and just the interfaces that Afterword's components import, reading the same `spin.toml`
//! as Spin. It runs the application where the `spin` program is not installed, and it can inject faults that Spin cannot.
//! It is not a product: where behaviour shows, it does what Spin 4.1 does, and the same scenarios run against both.
//!
//! - Starting: [`options`](Options) → `manifest` → `variables` and `template` → `runtime_config` → `engine` → `component` →
//!   [`host`](Host).
//! - Triggers: `http_trigger`, with `routes` and the instances in `http_worker`; `redis_trigger`.
//! - What components import: `key_value` with its `sqlite` and `redis`, `redis_client`, `http_client` and `variables`, over the `bindings` of the WIT in
//!   `wit/`; `allow_list` guards the two clients; `stdio` is what components print.
//! - Faults: [`dials`](Dials), and `dials_server` for setting them over HTTP.

mod allow_list;
mod bindings;
mod component;
mod dials;
mod dials_server;
mod engine;
mod host;
mod http_client;
mod http_trigger;
mod http_worker;
mod key_value;
mod manifest;
mod options;
mod redis_client;
mod redis_trigger;
mod routes;
mod runtime_config;
mod stdio;
mod template;
mod variables;

pub use dials::{Call, Death, Dials, Fault, Settings, When};
pub use host::Host;
pub use options::Options;
