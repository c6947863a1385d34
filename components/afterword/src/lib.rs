//! What the components of Afterword share, each thing under the noun that it is about.
//!
//! | module | what it is about |
//! | --- | --- |
//! | [`key`] | the cached resources: a request's path, and its name in the store and among the marks |
//! | [`entry`] | what the store holds for a key, byte by byte |
//! | [`freshness`] | how old an entry may be |
//! | [`store`] | Spin's key-value store, with time limits |
//! | [`marks`] | what is dirty, in Redis: the scripts and the two sides that call them |
//! | [`outbox`] | marks that Redis did not take |
//! | [`door`] | who may post a webhook |
//! | [`webhook`] | what a Supabase database webhook marks |
//! | [`row`] | a row's JSON, of which just the id is looked at |
//! | [`postgrest`] | the origin: rows and lists as the anonymous key may read them |
//! | [`fields`] | the header fields of requests |
//! | [`body`] | a message's content, up to a limit |
//! | [`conditional`] | what a client has already |
//! | [`accept`] | in which coding a client wants it |
//! | [`cors`] | whose pages may read it |
//! | [`cache_status`] | how the cache came by an answer |
//! | [`problem`] | the errors |
//! | [`answer`] | the responses of the HTTP components, and how they leave in one piece |
//! | [`variables`] | the application's variables, read and checked |
//! | [`limit`] | a time limit for everything that the host does for us, since the host sets none |
//!
//! Data flows one way: request → key → entry → answer; webhook → marks → rows → entries.

pub mod accept;
pub mod answer;
pub mod body;
pub mod cache_status;
pub mod conditional;
pub mod cors;
pub mod door;
pub mod entry;
pub mod fields;
pub mod freshness;
pub mod key;
pub mod limit;
pub mod marks;
pub mod outbox;
pub mod postgrest;
pub mod problem;
pub mod row;
pub mod store;
pub mod variables;
pub mod webhook;
