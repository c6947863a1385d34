//! The work queue: the set of tasks in Redis that have to be done. It is durable, contains each
//! task once, and retries failed tasks with exponential delay, like client-go's `workqueue`.
//!
//! This module holds what all components need: the names of the Redis keys, the scripts with their
//! operations (`lua/`, one file each), and connections.

mod connection;
mod redis;
pub mod script;
mod task;

pub use connection::{Connection, Error, Reply, milliseconds, number, run, run_within};
pub use redis::Redis;
pub use task::{Task, invalidation, names};
