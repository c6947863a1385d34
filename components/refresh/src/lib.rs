//! The Redis-triggered shell of the [`worker`].

#![expect(unsafe_code, reason = "the SDK's macro exports the handler with it")]

use bytes::Bytes;
use spin_sdk::redis_subscriber;
use std::error::Error;

#[redis_subscriber]
async fn handle(message: Bytes) -> Result<(), Box<dyn Error>> {
    worker::on_message(&message).await
}
