//! A running Afterword for each scenario: a Redis, the stand-in for Supabase, and the application
//! in two processes (the HTTP side and the worker), each with its own ports and folder. They run
//! either manifest.
//!
//! | module | content |
//! | --- | --- |
//! | `setup` | how the application is started |
//! | `environment` | what `cargo xtask test` passes |
//! | `afterword` | its processes |
//! | `manifest` | the manifests, and how each wakes the worker |
//! | `articles` | the origin's articles |
//! | `requests` | requests to the application and to the origin |
//! | `webhooks` | webhooks to the application |
//! | `reads` | reads until the response is as expected |
//! | `comparison` | comparisons of the cache with the origin |
//! | `redis` | the work queue, and waiting for it |
//! | `faults` | faults of the origin and of the host |
//! | `cost` | what an instance has cost |
//! | `status` | the status page, and the metrics |
//! | `log` | what the processes print, checked against docs/logs.md |
//! | `waiting` | waiting for a condition |
//! | `response` | a response, read whole |
//!
//! The scenarios are in `tests/`; `cargo xtask test` builds what they need. A failing scenario
//! prints the output of each process.

mod afterword;
mod articles;
mod comparison;
mod cost;
mod environment;
mod faults;
mod log;
mod manifest;
mod reads;
mod redis;
mod requests;
mod response;
mod setup;
mod status;
mod waiting;
mod webhooks;

pub use afterword::{Afterword, OtherApplication, PATIENCE, SECRET};
pub use cost::Cost;
pub use environment::{
    failing_calls, former_manifest, host, host_has_dials, host_measures, instances_are_reused,
    redis_program, redis_wakes_workers, reuses_instances,
};
pub use manifest::Wasi;
pub use redis::{redis_info, redis_key};
pub use response::Response;
pub use setup::{REFRESH_SECRET, Setup};
pub use status::ADMIN_TOKEN;
pub use waiting::{wait_at_most, wait_until};
