//! The Redis-triggered shell of the [`worker`].

use afterword::host::redis_trigger::{self, Guest};
use afterword::log;
use std::error::Error;

struct Refresh;

redis_trigger::export!(Refresh);

impl Guest for Refresh {
    /// An error is a line of the log: the module prints it to standard error, and the host may
    /// print it, too.
    async fn handle(message: Vec<u8>) -> Result<(), String> {
        work(&message)
            .await
            .map_err(|error| worker::failure(&*error).to_string())
    }
}

async fn work(message: &[u8]) -> Result<(), Box<dyn Error>> {
    log::init("refresh").await?;
    worker::on_message(message).await
}
