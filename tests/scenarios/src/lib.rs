//! The whole of Afterword, running, for one scenario: a Redis, the stand-in for Supabase, and the application in two
//! processes, the HTTP side and the worker, each with ports and a folder of its own.
//!
//! - [`Setup`] says how it is to run, [`Afterword`] is it running.
//! - [`Answer`] is what a reader or a webhook's sender got.
//!
//! The scenarios are in `tests/`; `cargo xtask test` builds what they need. When one fails, what each process said is
//! printed with it.

mod afterword;
mod answer;
mod setup;

pub use afterword::{Afterword, Neighbour};
pub use answer::Answer;
pub use setup::{SECRET, Setup, host_has_dials, redis_program};
