//! The worker's process, which is started again whenever it ends: Spin's Redis trigger ends when its Redis goes away.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use afterword_stack::{App, Host, Process, wake};
use tokio::sync::watch;
use tokio::time::sleep;

use super::said;

const FIRST_DELAY: Duration = Duration::from_millis(500);
const LONGEST_DELAY: Duration = Duration::from_secs(30);

/// A worker that ran this long was well: what ends it is a new trouble, and the delays start over.
const WELL_AFTER: Duration = Duration::from_secs(60);

/// How long the wake-up is published before that is said and tried again.
const WAKE_LIMIT: Duration = Duration::from_secs(60);

/// Keeps `app` running under `host`, and wakes it after each start. `heard` becomes true with the first wake-up that a
/// worker has heard.
pub async fn keep_running(
    host: &Host,
    app: &App,
    redis_url: &str,
    verbose: bool,
    heard: watch::Sender<bool>,
) -> anyhow::Result<Infallible> {
    let mut delay = FIRST_DELAY;
    loop {
        let started = Instant::now();
        let on_line = said::by_the_application("refresh", verbose);
        let process = Process::spawn_with("the worker", host.command(app)?, on_line)?;
        let wake_up = async {
            while let Err(error) = wake(redis_url, WAKE_LIMIT).await {
                eprintln!("refresh    | not woken yet: {error:#}");
            }
            heard.send_replace(true);
            std::future::pending::<Infallible>().await
        };
        let status = tokio::select! {
            status = process.wait() => status,
            never = wake_up => match never {},
        };
        if started.elapsed() >= WELL_AFTER {
            delay = FIRST_DELAY;
        }
        eprintln!("refresh    | the worker ended ({status}); starting it again in {delay:?}");
        sleep(delay).await;
        delay = longer(delay);
    }
}

fn longer(delay: Duration) -> Duration {
    (delay * 2).min(LONGEST_DELAY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delays_double_up_to_half_a_minute() {
        let delays: Vec<_> = std::iter::successors(Some(FIRST_DELAY), |delay| Some(longer(*delay)))
            .take(8)
            .map(|delay| delay.as_millis())
            .collect();
        assert_eq!(
            delays,
            [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]
        );
    }
}
