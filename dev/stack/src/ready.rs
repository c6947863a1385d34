//! Retries until something works.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::time::sleep;

/// The pause between two attempts.
const PAUSE: Duration = Duration::from_millis(50);

/// Repeats `attempt` until it succeeds.
///
/// # Errors
///
/// When `limit` passes: the error of the last attempt, with the context `what`, such as "starting
/// Redis".
pub async fn eventually<T>(
    limit: Duration,
    what: &str,
    mut attempt: impl AsyncFnMut() -> Result<T>,
) -> Result<T> {
    let started = Instant::now();
    let mut last = anyhow::anyhow!("no result yet");
    while let Ok(outcome) =
        tokio::time::timeout(limit.saturating_sub(started.elapsed()), attempt()).await
    {
        match outcome {
            Ok(value) => return Ok(value),
            Err(error) => last = error,
        }
        if started.elapsed() >= limit {
            break;
        }
        sleep(PAUSE).await;
    }
    Err(last).with_context(|| format!("{what} took more than {limit:?}"))
}

/// Sends GET requests to `url` until a response comes, and returns its status.
///
/// # Errors
///
/// When `limit` passes: the error of the last request.
pub async fn http_answers(url: &str, limit: Duration) -> Result<u16> {
    // Ignore the environment's proxy, which is for other machines.
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .proxy(None)
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(5)))
        .build()
        .into();
    eventually(
        limit,
        &format!("waiting for a response from {url}"),
        async || {
            let (agent, url) = (agent.clone(), url.to_owned());
            let response = tokio::task::spawn_blocking(move || agent.get(url).call()).await?;
            Ok(response?.status().as_u16())
        },
    )
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_limit_returns_the_last_error() {
        let mut attempts = 0;
        let error = eventually(PAUSE * 3, "counting", async || -> Result<()> {
            attempts += 1;
            anyhow::bail!("not yet")
        })
        .await
        .unwrap_err();
        assert!(attempts > 1);
        let text = format!("{error:#}");
        assert!(text.starts_with("counting took more than"), "{text}");
    }

    #[tokio::test]
    async fn the_first_success_is_returned() {
        let mut attempts = 0;
        let value = eventually(Duration::from_secs(60), "counting", async || {
            attempts += 1;
            anyhow::ensure!(attempts == 3, "not yet");
            Ok(attempts)
        })
        .await
        .unwrap();
        assert_eq!(value, 3);
    }

    #[tokio::test]
    async fn a_hanging_attempt_ends_at_the_limit() {
        eventually(PAUSE, "hanging", async || -> Result<()> {
            std::future::pending().await
        })
        .await
        .unwrap_err();
    }
}
