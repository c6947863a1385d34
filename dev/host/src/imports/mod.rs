//! The interfaces of Spin that components import.

mod key_value;
mod redis;
mod variables;
mod wasi02;
