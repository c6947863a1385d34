//! Waiting for a condition.

use std::time::Duration;

use afterword_stack::eventually;
use anyhow::Result;

use crate::afterword::PATIENCE;

/// Attempts something until it succeeds, and returns its result.
///
/// # Panics
/// It keeps failing for longer than [`PATIENCE`].
pub async fn wait_until<T>(what: &str, attempt: impl AsyncFnMut() -> Result<T>) -> T {
    wait_at_most(PATIENCE, what, attempt).await
}

/// Attempts something until it succeeds, and returns its result.
///
/// # Panics
/// It keeps failing for longer than `limit`.
pub async fn wait_at_most<T>(
    limit: Duration,
    what: &str,
    attempt: impl AsyncFnMut() -> Result<T>,
) -> T {
    eventually(limit, what, attempt)
        .await
        .unwrap_or_else(|error| panic!("{error:#}"))
}
