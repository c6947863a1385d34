//! The interfaces that components import.

mod http;
mod key_value;
mod redis;
mod variables;

pub(crate) use http::HttpClient;
