//! The stand-in as its users see it: over HTTP.

mod client;
mod dials;
mod program;
mod reading;
mod receiver;
mod rights;
mod webhooks;
mod writing;
