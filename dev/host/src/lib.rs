//! The embedded host: a development tool that runs Afterword without Spin.
//!
//! It consists of wasmtime and the interfaces that Afterword's components import, and reads the
//! same `spin.toml` as Spin. Where behaviour shows, it does what Spin 4.1 does: the same scenarios
//! run against both.
//!
//! - Start: `program` (the command line) → [`Options`] → `manifest` → `variables` and `template` →
//!   `runtime_config` → `engine` → `linker` → [`Host`].
//! - Triggers: `http_trigger` with `routes`, `route_headers` and `http_instances`; `redis_trigger`.
//! - Components: `component`, and `instance` for the state of each instance. `stdio` prefixes their
//!   output.
//! - Imports: `imports` implements Spin's interfaces, over the `bindings` of the WIT in `wit/`.
//!   `resources` are the types of their handles. `key_value` stores entries, `http_client` sends
//!   requests, some by `service_chaining`, and `allow_list` limits outbound connections.
//! - Costs, only with [`Options::measure`]: `measure`.
//! - Faults, only with the cargo feature `faults`: `dials`, set over HTTP by `dials_server`, act on
//!   each `call`.

mod allow_list;
mod bindings;
mod call;
mod component;
#[cfg(feature = "faults")]
mod dials;
#[cfg(feature = "faults")]
mod dials_server;
mod engine;
mod host;
mod http_client;
mod http_instances;
mod http_trigger;
mod imports;
mod instance;
mod key_value;
mod linker;
mod manifest;
mod measure;
#[cfg(not(feature = "faults"))]
mod no_dials;
mod options;
mod program;
mod redis_trigger;
mod resources;
mod route_headers;
mod routes;
mod runtime_config;
mod service_chaining;
mod stdio;
mod template;
mod variables;

#[cfg(not(feature = "faults"))]
use no_dials as dials;

pub use host::Host;
pub use options::Options;
pub use program::run_program;
