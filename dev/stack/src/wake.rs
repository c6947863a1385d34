//! Wakes the worker, and checks that it responds.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use redis::AsyncTypedCommands;
use redis::aio::MultiplexedConnection;
use tokio::time::{Instant, sleep, timeout};

use crate::ready::eventually;

/// The message that makes the refresh component check the work queue.
const MESSAGE: &str = "wake";

/// How long Redis may take for one check. A paused Redis or a half-dead connection never responds.
const REDIS_LIMIT: Duration = Duration::from_secs(5);

/// The pause between two reads of the worker's key.
const PAUSE: Duration = Duration::from_millis(250);

/// How long the supervisor's own key lives, in seconds.
const SUPERVISOR_EXPIRY: u64 = 120;

/// The wake-up of one application's workers.
///
/// A worker changes the value of [`alive_key`](Self::alive_key) at each wake-up, and every 5 s
/// while it works.
#[derive(Clone, Debug)]
pub struct WakeUp {
    redis_url: String,
    prefix: String,
}

/// The response to a wake-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Response {
    /// A worker has changed its key.
    Alive,
    /// No worker has changed its key, although Redis works.
    Silent,
}

impl WakeUp {
    /// The default of the variable `redis_prefix`.
    pub const DEFAULT_PREFIX: &str = "{afterword}";

    /// The wake-up through the Redis at `redis_url`, of workers whose variable `redis_prefix` is
    /// `prefix`.
    pub fn new(redis_url: &str, prefix: &str) -> Self {
        Self {
            redis_url: redis_url.to_owned(),
            prefix: prefix.to_owned(),
        }
    }

    /// The channel that the refresh component's Redis trigger subscribes to.
    pub fn channel(&self) -> String {
        format!("{}:refresh", self.prefix)
    }

    /// The key whose value a living worker changes.
    pub fn alive_key(&self) -> String {
        format!("{}:v1:alive", self.prefix)
    }

    /// Publishes the wake-up until a subscriber receives it.
    ///
    /// Each started worker needs this: an alarm that expired before its subscription woke no
    /// worker.
    ///
    /// # Errors
    ///
    /// When `limit` passes: Redis does not respond, or there is no subscriber.
    pub async fn until_heard(&self, limit: Duration) -> Result<()> {
        eventually(limit, "waking the worker", async || {
            let receivers = self.publish(&mut self.connect().await?).await?;
            ensure!(
                receivers > 0,
                "no worker is subscribed to {}",
                self.channel()
            );
            Ok(())
        })
        .await
    }

    /// Publishes the wake-up once, and waits up to `limit` for a worker's response.
    ///
    /// The result of PUBLISH is not enough: Redis also counts subscribers on dead connections.
    ///
    /// # Errors
    ///
    /// When Redis does not respond or refuses writes, so that a worker cannot respond either.
    pub async fn send(&self, limit: Duration) -> Result<Response> {
        let publish = async {
            let mut redis = self.connect().await?;
            let writable = self.check_writes(&mut redis).await;
            let before = self.alive(&mut redis).await?;
            // Wake the worker even if Redis is full: its work frees memory.
            self.publish(&mut redis).await?;
            writable?;
            anyhow::Ok((redis, before))
        };
        let (mut redis, before) = in_time(publish).await?;
        let deadline = Instant::now() + limit;
        loop {
            let is_late = Instant::now() >= deadline;
            let now = in_time(self.alive(&mut redis)).await?;
            if is_change(before.as_deref(), now.as_deref()) {
                return Ok(Response::Alive);
            }
            if is_late {
                in_time(self.check_writes(&mut redis)).await?;
                return Ok(Response::Silent);
            }
            sleep(PAUSE).await;
        }
    }

    /// A new connection, since a kept one may be dead without an error.
    async fn connect(&self) -> Result<MultiplexedConnection> {
        let client = redis::Client::open(self.redis_url.as_str())?;
        Ok(client.get_multiplexed_async_connection().await?)
    }

    async fn publish(&self, redis: &mut MultiplexedConnection) -> Result<usize> {
        Ok(redis.publish(self.channel(), MESSAGE).await?)
    }

    /// The value of the worker's key.
    async fn alive(&self, redis: &mut MultiplexedConnection) -> Result<Option<String>> {
        Ok(redis.get(self.alive_key()).await?)
    }

    /// Checks that Redis accepts writes, which a worker's response needs.
    async fn check_writes(&self, redis: &mut MultiplexedConnection) -> Result<()> {
        let key = format!("{}:supervisor", self.prefix);
        redis
            .set_ex(key, 1, SUPERVISOR_EXPIRY)
            .await
            .context("Redis refuses writes")
    }
}

/// Whether a worker has changed its key between two reads. An expired key is no change.
fn is_change(before: Option<&str>, now: Option<&str>) -> bool {
    now.is_some() && now != before
}

async fn in_time<T>(operation: impl Future<Output = Result<T>>) -> Result<T> {
    timeout(REDIS_LIMIT, operation)
        .await
        .context("Redis does not respond")?
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;
    use tempfile::TempDir;

    use super::*;
    use crate::redis::Redis;

    const PATIENCE: Duration = Duration::from_secs(60);
    const SHORT_LIMIT: Duration = Duration::from_millis(500);

    struct Setup {
        redis: Redis,
        wake_up: WakeUp,
        _dir: TempDir,
    }

    async fn setup() -> Setup {
        let program = Redis::find().expect("`cargo xtask test` puts redis-server on the PATH");
        let dir = tempfile::tempdir().unwrap();
        let redis = Redis::start(&program, dir.path(), &[]).await.unwrap();
        Setup {
            wake_up: WakeUp::new(&redis.url(), "{shop}"),
            redis,
            _dir: dir,
        }
    }

    impl Setup {
        /// Subscribes, and runs this command at each wake-up.
        async fn subscribe(&self, at_wake_up: String) {
            let client = redis::Client::open(self.redis.url()).unwrap();
            let mut connection = client.get_multiplexed_async_connection().await.unwrap();
            let mut subscription = client.get_async_pubsub().await.unwrap();
            subscription
                .subscribe(self.wake_up.channel())
                .await
                .unwrap();
            tokio::spawn(async move {
                let mut messages = subscription.into_on_message();
                while messages.next().await.is_some() {
                    run(&mut connection, &at_wake_up).await;
                }
            });
        }

        async fn run(&self, command: &str) {
            let client = redis::Client::open(self.redis.url()).unwrap();
            let mut connection = client.get_multiplexed_async_connection().await.unwrap();
            run(&mut connection, command).await;
        }
    }

    async fn run(connection: &mut MultiplexedConnection, command: &str) {
        let mut words = command.split(' ');
        let mut command = redis::cmd(words.next().unwrap());
        for word in words {
            command.arg(word);
        }
        command.exec_async(connection).await.unwrap();
    }

    #[tokio::test]
    async fn a_worker_that_changes_its_key_is_alive() {
        let setup = setup().await;
        setup
            .subscribe(format!("INCR {}", setup.wake_up.alive_key()))
            .await;
        // The key appears, and then changes.
        for _ in 0..2 {
            let response = setup.wake_up.send(PATIENCE).await.unwrap();
            assert_eq!(response, Response::Alive);
        }
    }

    /// Redis counts its subscription, too.
    #[tokio::test]
    async fn a_worker_without_a_reaction_is_silent() {
        let setup = setup().await;
        setup
            .run(&format!("SET {} 17", setup.wake_up.alive_key()))
            .await;
        setup.subscribe("PING".to_owned()).await;
        setup.wake_up.until_heard(PATIENCE).await.unwrap();
        let response = setup.wake_up.send(SHORT_LIMIT).await.unwrap();
        assert_eq!(response, Response::Silent);
    }

    #[tokio::test]
    async fn a_missing_worker_is_silent() {
        let setup = setup().await;
        assert!(setup.wake_up.until_heard(SHORT_LIMIT).await.is_err());
        let response = setup.wake_up.send(SHORT_LIMIT).await.unwrap();
        assert_eq!(response, Response::Silent);
    }

    #[tokio::test]
    async fn a_redis_that_refuses_writes_is_an_error() {
        let mut setup = setup().await;
        setup.run("CONFIG SET min-replicas-to-write 1").await;
        let error = setup.wake_up.send(PATIENCE).await.unwrap_err();
        assert!(error.to_string().contains("refuses writes"), "{error:#}");
        setup.redis.kill().await;
        assert!(setup.wake_up.send(PATIENCE).await.is_err());
        setup.redis.restart().await.unwrap();
        setup.wake_up.send(SHORT_LIMIT).await.unwrap();
    }

    #[test]
    fn an_unchanged_or_expired_key_is_no_change() {
        for (before, now, new) in [
            (None, Some("1"), true),
            (Some("1"), Some("2"), true),
            (Some("1"), Some("1"), false),
            (Some("1"), None, false),
            (None, None, false),
        ] {
            assert_eq!(is_change(before, now), new, "{before:?} {now:?}");
        }
    }
}
