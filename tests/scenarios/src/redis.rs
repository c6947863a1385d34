//! The work queue of the running application, and waiting for it.

use afterword_stack::eventually;
use anyhow::{Context, Result, ensure};
use redis::AsyncConnectionConfig;

use crate::afterword::{Afterword, PATIENCE};
use crate::waiting::wait_until;

/// The full name of one of the application's Redis keys, such as `lease`.
pub fn redis_key(name: &str) -> String {
    format!("{{afterword}}:v1:{name}")
}

/// The statistics of the Redis at `url`: a section of `INFO`, such as `stats`, or `all`.
///
/// # Errors
/// Redis does not respond.
pub async fn redis_info(url: &str, section: &str) -> Result<String> {
    run(url, &["INFO", section]).await
}

/// Runs a command of the Redis at `url`.
async fn run<T: redis::FromRedisValue>(url: &str, command: &[&str]) -> Result<T> {
    // The defaults of half a second and a second are short for a busy machine.
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(PATIENCE))
        .set_response_timeout(Some(PATIENCE));
    let mut connection = redis::Client::open(url)?
        .get_multiplexed_async_connection_with_config(&config)
        .await?;
    let (name, arguments) = command.split_first().context("a command has a name")?;
    let mut command = redis::cmd(name);
    for argument in arguments {
        command.arg(argument);
    }
    Ok(command.query_async(&mut connection).await?)
}

impl Afterword {
    /// Runs a Redis command.
    ///
    /// # Errors
    /// Redis does not respond, or with another type.
    pub async fn redis_command<T: redis::FromRedisValue>(&self, command: &[&str]) -> Result<T> {
        run(&self.redis.url(), command).await
    }

    /// Runs a command of the [shared store](crate::Setup::shared_store)'s Redis.
    ///
    /// # Panics
    /// There is no shared store, or its Redis responds with an error.
    pub async fn store_command<T: redis::FromRedisValue>(&self, command: &[&str]) -> T {
        let store = self.store.as_ref().expect("the store is in a Redis");
        let reply = run(&store.url(), command).await;
        reply.unwrap_or_else(|error| panic!("{command:?}: {error:#}"))
    }

    /// Whether one of the application's Redis keys, such as `lease`, exists.
    ///
    /// # Errors
    /// Redis does not respond.
    pub async fn key_exists(&self, name: &str) -> Result<bool> {
        self.redis_command(&["EXISTS", &redis_key(name)]).await
    }

    /// Waits until one of the application's Redis keys exists, or until it is gone.
    ///
    /// # Panics
    /// That does not happen.
    pub async fn wait_for_key(&self, name: &str, exists: bool) {
        let what = format!("waiting for the key {name}");
        let waited = eventually(PATIENCE, &what, async || {
            let found = self.key_exists(name).await?;
            ensure!(found == exists, "it exists: {found}");
            Ok(())
        });
        waited.await.unwrap_or_else(|error| panic!("{error:#}"));
    }

    /// The queued tasks, in alphabetical order.
    ///
    /// # Errors
    /// Redis does not respond.
    pub async fn queue(&self) -> Result<Vec<String>> {
        let queue = redis_key("queue");
        let mut tasks: Vec<String> = self.redis_command(&["ZRANGE", &queue, "0", "-1"]).await?;
        tasks.sort();
        Ok(tasks)
    }

    /// Waits until exactly these tasks are queued.
    ///
    /// # Panics
    /// That does not happen.
    pub async fn wait_for_queue(&self, tasks: &[&str]) {
        let waited = eventually(PATIENCE, "waiting for queued tasks", async || {
            let queue = self.queue().await?;
            ensure!(queue == tasks, "queued are {queue:?}");
            Ok(())
        });
        waited.await.unwrap_or_else(|error| panic!("{error:#}"));
    }

    /// Waits until the queue is empty and no worker holds the lease.
    ///
    /// # Errors
    /// That does not happen.
    pub async fn wait_until_drained(&self) -> Result<()> {
        eventually(PATIENCE, "draining the queue", async || {
            let queue = self.queue().await?;
            let lease = self.key_exists("lease").await?;
            ensure!(queue.is_empty(), "queued are {queue:?}");
            ensure!(!lease, "a worker holds the lease");
            Ok(())
        })
        .await
    }

    /// Waits for the first reconciliation, which fetches the list, and for the end of its drain.
    ///
    /// # Errors
    /// That does not happen.
    pub async fn wait_until_reconciled(&self) -> Result<()> {
        let what = "waiting for the first reconciliation";
        eventually(PATIENCE, what, async || {
            ensure!(self.key_exists("reconciled").await?, "it is not done");
            Ok(())
        })
        .await?;
        self.wait_until_drained().await
    }

    /// Waits until the refreshes of at least this many tasks have failed.
    ///
    /// # Panics
    /// That does not happen.
    pub async fn wait_for_failures(&self, tasks: usize) {
        let waited = eventually(PATIENCE, "waiting for failures", async || {
            let failures = redis_key("failures");
            let failed: usize = self.redis_command(&["HLEN", &failures]).await?;
            ensure!(failed >= tasks, "{failed} tasks have failed");
            Ok(())
        });
        waited.await.unwrap_or_else(|error| panic!("{error:#}"));
    }

    /// Deletes the fetch locks and the negative cache, once it has failures of these paths: they are
    /// remembered after the response.
    pub async fn forget_failures(&self, paths: &[&str]) {
        let locks = redis_key("fetch_locks");
        wait_until("the negative cache", async || {
            let slots: Vec<String> = self.redis_command(&["HVALS", &locks]).await?;
            for path in paths {
                // The millisecond at which it expires, the status or 1 for a lock, the path.
                let is_remembered = |slot: &String| {
                    let parts: Vec<&str> = slot.splitn(3, ' ').collect();
                    parts[1] != "1" && parts[2] == *path
                };
                ensure!(slots.iter().any(is_remembered), "{path}: {slots:?}");
            }
            Ok(())
        })
        .await;
        self.release_fetch_locks().await;
    }

    /// Deletes the fetch locks and the negative cache, which would expire in some seconds.
    ///
    /// # Panics
    /// Redis does not respond.
    pub async fn release_fetch_locks(&self) {
        let locks = redis_key("fetch_locks");
        let deleted = self.redis_command::<u64>(&["DEL", &locks]).await;
        deleted.expect("Redis responds");
    }

    /// The number of versions and lease tokens given so far.
    ///
    /// # Panics
    /// Redis does not respond.
    pub async fn counter(&self) -> u64 {
        let get = ["GET", &redis_key("counter")];
        self.redis_command(&get).await.expect("Redis responds")
    }

    /// The time of the Redis server, in milliseconds since 1970.
    ///
    /// # Panics
    /// Redis does not respond.
    pub async fn redis_now(&self) -> u64 {
        let now: Result<(u64, u64)> = self.redis_command(&["TIME"]).await;
        let (seconds, micros) = now.expect("Redis responds");
        seconds * 1_000 + micros / 1_000
    }

    /// Asserts that the changes of these articles are queued: each article, and its place in the
    /// list or the whole list.
    ///
    /// # Panics
    /// A task is missing.
    pub async fn assert_queued(&self, ids: impl IntoIterator<Item = u32>) {
        let queue = self.queue().await.unwrap();
        let has = |task: String| queue.contains(&task);
        for id in ids {
            assert!(has(format!("/articles/{id}")), "{id}: {queue:?}");
            let place = has(format!("/articles#{id}"));
            assert!(place || has("/articles".into()), "{id}: {queue:?}");
        }
    }

    /// A number of `INFO`, such as `total_connections_received` or `cmdstat_publish:calls`. 0 if
    /// Redis does not report it.
    ///
    /// # Panics
    /// Redis does not respond.
    pub async fn redis_statistic(&self, name: &str) -> u64 {
        statistic(&self.redis.url(), name).await
    }

    /// The bytes that the store's Redis has received since its start.
    ///
    /// # Panics
    /// The setup has no shared store, or Redis does not respond.
    pub async fn bytes_to_the_store(&self) -> u64 {
        let store = self.store.as_ref().expect("the store is shared");
        statistic(&store.url(), "total_net_input_bytes").await
    }
}

/// A number of `INFO`; 0 if it is missing.
async fn statistic(url: &str, name: &str) -> u64 {
    let info = redis_info(url, "all").await.expect("Redis responds");
    let value = info.lines().find_map(|line| {
        let rest = line.strip_prefix(name)?.strip_prefix([':', '='])?;
        rest.split(',').next()?.trim().parse().ok()
    });
    value.unwrap_or(0)
}
