//! The wake-up that sets the worker going, and whether a worker answers it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use redis::AsyncTypedCommands;
use redis::aio::MultiplexedConnection;
use tokio::time::{Instant, sleep, timeout};

use crate::eventually;

/// The payload that makes the refresh component look for due keys.
const WORD: &str = "wake";

/// How long Redis may take for all that one look costs it. It does not answer a paused or half-dead
/// connection ever.
const REDIS_LIMIT: Duration = Duration::from_secs(5);

/// The pause between two looks at the worker's sign of life.
const PAUSE: Duration = Duration::from_millis(250);

/// How long the supervisor's own key stays, in seconds.
const SUPERVISOR_EXPIRY: u64 = 120;

/// The wake-up of the workers of one application.
///
/// A worker changes the value of the key `<prefix>:alive` at every sign of life: when it is woken,
/// and every 5 s while it is at work.
#[derive(Clone, Debug)]
pub struct WakeUp {
    redis_url: String,
    prefix: String,
}

/// What a worker made of a wake-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A worker gave a sign of life.
    Alive,
    /// None did, although Redis works: no worker listens, or none does anything.
    Silent,
}

impl WakeUp {
    /// The prefix of the application's Redis keys and channel, if `redis_prefix` does not say
    /// otherwise.
    pub const DEFAULT_PREFIX: &str = "{afterword}";

    /// The wake-up by way of the Redis at `redis_url`, for the workers whose variable
    /// `redis_prefix` is `prefix`.
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

    /// Publishes the wake-up until a subscriber has heard it, as after each start of a worker: a
    /// timer that ran out while nobody was subscribed has woken nobody.
    ///
    /// # Errors
    ///
    /// When nobody has heard it within `limit`: why (Redis does not answer, or nobody is
    /// subscribed).
    pub async fn until_heard(&self, limit: Duration) -> Result<()> {
        eventually(limit, "waking the worker", async || {
            let heard = self.publish(&mut self.connect().await?).await?;
            ensure!(heard > 0, "nobody is subscribed to {}", self.channel());
            Ok(())
        })
        .await
    }

    /// Publishes the wake-up once, and waits up to `limit` for a worker's sign of life.
    ///
    /// PUBLISH alone tells little: Redis counts a subscriber whose connection is dead without a
    /// word.
    ///
    /// # Errors
    ///
    /// When nothing can be said of the worker, because Redis does not answer or takes no writes.
    pub async fn answer(&self, limit: Duration) -> Result<Answer> {
        let look = async {
            let mut redis = self.connect().await?;
            let writable = self.check_writes(&mut redis).await;
            let before = self.sign(&mut redis).await?;
            // A full Redis is emptied by a worker that wakes.
            self.publish(&mut redis).await?;
            writable?;
            anyhow::Ok((redis, before))
        };
        let (mut redis, before) = in_time(look).await?;
        let until = Instant::now() + limit;
        loop {
            let late = Instant::now() >= until;
            let now = in_time(self.sign(&mut redis)).await?;
            if is_new(before.as_deref(), now.as_deref()) {
                return Ok(Answer::Alive);
            }
            if late {
                in_time(self.check_writes(&mut redis)).await?;
                return Ok(Answer::Silent);
            }
            sleep(PAUSE).await;
        }
    }

    /// Always a new connection: a kept one may be dead without a word, as the worker's may.
    async fn connect(&self) -> Result<MultiplexedConnection> {
        let client = redis::Client::open(self.redis_url.as_str())?;
        Ok(client.get_multiplexed_async_connection().await?)
    }

    async fn publish(&self, redis: &mut MultiplexedConnection) -> Result<usize> {
        Ok(redis.publish(self.channel(), WORD).await?)
    }

    /// The worker's last sign of life.
    async fn sign(&self, redis: &mut MultiplexedConnection) -> Result<Option<String>> {
        Ok(redis.get(format!("{}:alive", self.prefix)).await?)
    }

    /// A worker cannot answer by a write that Redis refuses.
    async fn check_writes(&self, redis: &mut MultiplexedConnection) -> Result<()> {
        let key = format!("{}:supervisor", self.prefix);
        redis
            .set_ex(key, 1, SUPERVISOR_EXPIRY)
            .await
            .context("Redis takes no writes")
    }
}

/// Whether the worker has given a sign of life between two looks. The key may have expired, which
/// is none.
fn is_new(before: Option<&str>, now: Option<&str>) -> bool {
    now.is_some() && now != before
}

async fn in_time<T>(asked: impl Future<Output = Result<T>>) -> Result<T> {
    timeout(REDIS_LIMIT, asked)
        .await
        .context("Redis does not answer")?
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;
    use tempfile::TempDir;

    use super::*;
    use crate::Redis;

    const PATIENCE: Duration = Duration::from_secs(60);
    const SHORT: Duration = Duration::from_millis(500);

    struct Stand {
        redis: Redis,
        wake_up: WakeUp,
        _dir: TempDir,
    }

    async fn stand() -> Stand {
        let program =
            Redis::find().expect("redis-server is on the PATH; `cargo xtask test` sees to it");
        let dir = tempfile::tempdir().unwrap();
        let redis = Redis::start(&program, dir.path(), &[]).await.unwrap();
        Stand {
            wake_up: WakeUp::new(&redis.url(), "{shop}"),
            redis,
            _dir: dir,
        }
    }

    impl Stand {
        /// Subscribes, and does this at each wake-up.
        async fn subscribe(&self, at_wake_up: &'static str) {
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
                    run(&mut connection, at_wake_up).await;
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
    async fn a_worker_that_changes_its_sign_of_life_has_answered() {
        let stand = stand().await;
        stand.subscribe("INCR {shop}:alive").await;
        // The key appears, and then changes.
        for _ in 0..2 {
            let answer = stand.wake_up.answer(PATIENCE).await.unwrap();
            assert_eq!(answer, Answer::Alive);
        }
    }

    /// Redis counts its subscription all the same.
    #[tokio::test]
    async fn a_worker_that_does_nothing_is_silent() {
        let stand = stand().await;
        stand.run("SET {shop}:alive 17").await;
        stand.subscribe("PING").await;
        stand.wake_up.until_heard(PATIENCE).await.unwrap();
        let answer = stand.wake_up.answer(SHORT).await.unwrap();
        assert_eq!(answer, Answer::Silent);
    }

    #[tokio::test]
    async fn a_worker_that_is_not_there_is_silent() {
        let stand = stand().await;
        assert!(stand.wake_up.until_heard(SHORT).await.is_err());
        let answer = stand.wake_up.answer(SHORT).await.unwrap();
        assert_eq!(answer, Answer::Silent);
    }

    #[tokio::test]
    async fn of_a_redis_that_takes_no_writes_nothing_follows_for_the_worker() {
        let mut stand = stand().await;
        stand.run("CONFIG SET min-replicas-to-write 1").await;
        let error = stand.wake_up.answer(PATIENCE).await.unwrap_err();
        assert!(error.to_string().contains("takes no writes"), "{error:#}");
        stand.redis.kill().await;
        assert!(stand.wake_up.answer(PATIENCE).await.is_err());
        stand.redis.restart().await.unwrap();
        stand.wake_up.answer(SHORT).await.unwrap();
    }

    #[test]
    fn a_key_that_stays_or_expires_is_no_sign_of_life() {
        for (before, now, new) in [
            (None, Some("1"), true),
            (Some("1"), Some("2"), true),
            (Some("1"), Some("1"), false),
            (Some("1"), None, false),
            (None, None, false),
        ] {
            assert_eq!(is_new(before, now), new, "{before:?} {now:?}");
        }
    }
}
