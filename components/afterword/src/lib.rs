//! Code shared by at least two components.
//!
//! | module | content |
//! | --- | --- |
//! | [`bearer`] | bearer tokens |
//! | [`host`] | the only module that calls Spin or WASI |
//! | [`resource`] | the cached table: its path, columns and queries |
//! | [`key`] | cached resources: a request's path and its name in the store and in Redis |
//! | [`entry`] | the format of a stored response |
//! | [`directory`], [`chunk`] | the format of a long list |
//! | [`freshness`] | how long an entry may be served (RFC 9111, RFC 5861) |
//! | [`row`] | reading single columns of a row's JSON |
//! | [`store`] | the key-value store, with time limits |
//! | [`queue`] | the work queue in Redis: keys, script and connection |
//! | [`outbox`] | invalidations kept in the key-value store while Redis is away |
//! | [`postgrest`] | the origin: reads rows and lists from Supabase |
//! | [`response`] | the responses of the HTTP components |
//! | [`problem`] | the errors (RFC 9457) |
//! | [`metrics`] | counters, and their report to Redis |
//! | [`wake`] | wakes a worker on hosts without a Redis trigger |
//! | [`variables`] | the application's variables, read and checked |
//! | [`log`] | structured logs: lines, events, sampling |
//! | [`limit`] | time limits for calls to the host |

pub mod bearer;
pub mod chunk;
pub mod directory;
pub mod entry;
pub mod freshness;
pub mod host;
pub mod key;
pub mod limit;
pub mod log;
pub mod metrics;
pub mod outbox;
pub mod postgrest;
pub mod problem;
pub mod queue;
pub mod resource;
pub mod response;
pub mod row;
pub mod store;
pub mod variables;
pub mod wake;
