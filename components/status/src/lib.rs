//! The status page.

pub mod snapshot;
