//! The wake-up that sets the worker going.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::eventually;

/// The channel that the refresh component's Redis trigger subscribes to.
pub const CHANNEL: &str = "{afterword}:refresh";

/// The payload that makes the refresh component look for due marks.
pub const WORD: &str = "wake";

/// Publishes the wake-up until a subscriber has heard it, as after each start of a worker: a timer that ran out while
/// nobody was subscribed has woken nobody.
///
/// # Errors
///
/// When nobody has heard it within `limit`: why (Redis does not answer, or nobody is subscribed).
pub async fn wake(redis_url: &str, limit: Duration) -> Result<()> {
    let client = redis::Client::open(redis_url)?;
    eventually(limit, "waking the worker", async || {
        let mut connection = client.get_multiplexed_async_connection().await?;
        let heard: u64 = redis::cmd("PUBLISH")
            .arg(CHANNEL)
            .arg(WORD)
            .query_async(&mut connection)
            .await?;
        ensure!(heard > 0, "nobody is subscribed to {CHANNEL}");
        Ok(())
    })
    .await
}
