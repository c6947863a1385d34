//! Waiting until something works.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::time::sleep;

/// The pause between two attempts: short enough that nobody notices it, long enough to leave the processor alone.
const PAUSE: Duration = Duration::from_millis(50);

/// Repeats `attempt` until it succeeds.
///
/// # Errors
///
/// When `limit` has passed: the last attempt's error, in the context `what` ("waiting for Redis to answer").
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

/// Waits until a GET of `url` is answered, whatever the status, and returns that status.
///
/// # Errors
///
/// When `limit` has passed: why the last request was not answered.
pub async fn http_answers(url: &str, limit: Duration) -> Result<u16> {
    // Straight to the address: a proxy of the environment is for the world outside, and it would answer for us.
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .proxy(None)
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(5)))
        .build()
        .into();
    eventually(
        limit,
        &format!("waiting for an answer from {url}"),
        async || {
            let (agent, url) = (agent.clone(), url.to_owned());
            let answer = tokio::task::spawn_blocking(move || agent.get(url).call()).await?;
            Ok(answer?.status().as_u16())
        },
    )
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_error_is_told_when_the_time_is_up() {
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
    async fn the_first_success_ends_the_waiting() {
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
    async fn an_attempt_that_hangs_does_not_outlast_the_limit() {
        eventually(PAUSE, "hanging", async || -> Result<()> {
            std::future::pending().await
        })
        .await
        .unwrap_err();
    }
}
