//! A running Afterword for each scenario: a Redis, the stand-in for Supabase, and the application in
//! two processes (the HTTP side and the worker), each with its own ports and folder.
//!
//! | module | content |
//! | --- | --- |
//! | `setup` | how the application is started |
//! | `environment` | what `cargo xtask test` passes |
//! | `afterword` | its processes |
//! | `requests` | requests to the application and to the origin |
//! | `redis` | the work queue, and waiting for it |
//! | `faults` | faults of the origin and of the host |
//! | `response` | a response, read whole |
//!
//! The scenarios are in `tests/`; `cargo xtask test` builds what they need. A failing scenario prints
//! the output of each process.

mod afterword;
mod environment;
mod faults;
mod redis;
mod requests;
mod response;
mod setup;

pub use afterword::{Afterword, OtherApplication, PATIENCE, SECRET};
pub use environment::{host_has_dials, redis_program};
pub use redis::redis_key;
pub use response::Response;
pub use setup::{REFRESH_SECRET, Setup};
