//! The Redis-triggered shell of the [`worker`].

#![expect(unsafe_code, reason = "the SDK's macro exports the handler with it")]

use afterword::log;
use bytes::Bytes;
use spin_sdk::redis_subscriber;
use std::error::Error;

/// An error is a line of the log: the SDK's macro prints it to standard error, and the host may
/// print it, too.
#[redis_subscriber]
async fn handle(message: Bytes) -> Result<(), String> {
    work(&message)
        .await
        .map_err(|error| worker::failure(&*error).to_string())
}

async fn work(message: &[u8]) -> Result<(), Box<dyn Error>> {
    log::init("refresh").await?;
    worker::on_message(message).await
}
