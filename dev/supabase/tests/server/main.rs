//! Tests of the stand-in over HTTP.

mod client;
mod dials;
mod program;
mod reading;
mod receiver;
mod rights;
mod webhooks;
mod writing;
