//! The worker's connection to the work queue.

use afterword::host::{self, redis::RedisResult};
use afterword::limit::limit;
use afterword::log::{self, event};
use afterword::metrics;
use afterword::queue::script::{self, Operation};
use afterword::queue::{Connection, Error, Redis, Reply, Task, invalidation, names};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

/// How long the worker tries to reconnect. It may have to queue again what it has just written.
const RECONNECT_LIMIT: Duration = Duration::from_secs(20);

const RECONNECT_INTERVAL: Duration = Duration::from_millis(500);

/// The maximum number of tasks in one call of the script, which blocks Redis.
pub const MAX_TASKS: usize = 1_000;

const SECONDS_OF_A_DAY: &[u8] = b"86400";

/// The work queue, as the worker uses it.
pub struct WorkQueue {
    redis: Rc<Redis>,
    connection: RefCell<Rc<Connection>>,
}

impl WorkQueue {
    /// Connects to Redis.
    pub async fn open(redis: Rc<Redis>) -> Result<Self, Error> {
        let connection = RefCell::new(Rc::new(Connection::open(&redis).await?));
        Ok(Self { redis, connection })
    }

    /// Makes Redis publish an event when a key expires (`notify-keyspace-events` with `K` and `x`).
    /// If that is not possible, logs a warning, at most once a day.
    pub async fn enable_expiry_events(&self) {
        if self.try_enable_expiry_events().await || !self.is_first_of_the_day("no-events").await {
            return;
        }
        log::event(
            event::EXPIRY_EVENTS_OFF,
            "this user of Redis may not read and set `notify-keyspace-events`: unless it contains \
             `K` and `x`, Redis does not report expired keys, and retries and reconciliation wait \
             for the next webhook, read or wake-up",
        )
        .emit();
    }

    async fn try_enable_expiry_events(&self) -> bool {
        const NAME: &[u8] = b"notify-keyspace-events";
        let connection = self.connection();
        let Ok(reply) = connection.command("CONFIG", &[b"GET", NAME]).await else {
            return false;
        };
        let [_, RedisResult::Binary(events)] = reply.list() else {
            return false;
        };
        let mut enabled = events.clone();
        // `A` includes all classes of events, and therefore `x`.
        let missing = [(b'K', b"K".as_slice()), (b'x', b"xA")]
            .into_iter()
            .filter(|(_, any)| !any.iter().any(|flag| events.contains(flag)));
        enabled.extend(missing.map(|(flag, _)| flag));
        if enabled == *events {
            return true;
        }
        connection
            .command("CONFIG", &[b"SET", NAME, &enabled])
            .await
            .is_ok()
    }

    /// Whether no worker has logged this for a day.
    pub async fn is_first_of_the_day(&self, what: &str) -> bool {
        let name = format!("{}:{what}", self.redis.key("v1:alive"));
        let arguments = [name.as_bytes(), b"1", b"NX", b"EX", SECONDS_OF_A_DAY];
        let reply = self.connection().command("SET", &arguments).await;
        reply.is_ok_and(|reply| !reply.is_nil())
    }

    /// Queues tasks of webhooks that waited in the outbox.
    pub async fn invalidate(&self, tasks: &[Task]) -> Result<(), Error> {
        for tasks in tasks.chunks(MAX_TASKS) {
            let arguments = invalidation("outbox", Duration::ZERO, tasks);
            self.run(script::INVALIDATE, &arguments).await?;
        }
        Ok(())
    }

    /// Queues tasks whose entries the worker found to be outdated.
    pub async fn requeue(&self, tasks: &[Task]) -> Result<(), Error> {
        for tasks in tasks.chunks(MAX_TASKS) {
            self.run(script::REQUEUE, &names(tasks)).await?;
        }
        Ok(())
    }

    /// Reports what this instance has counted.
    pub async fn report(&self) -> Result<(), Error> {
        if let Some(arguments) = metrics::take() {
            self.run(script::REPORT, &arguments).await?;
        }
        Ok(())
    }

    /// The current versions of tasks; empty for a task that is not queued.
    pub async fn versions(&self, tasks: &[Task]) -> Result<Vec<String>, Error> {
        let mut versions = Vec::with_capacity(tasks.len());
        for tasks in tasks.chunks(MAX_TASKS) {
            let names = names(tasks);
            let mut arguments = vec![self.redis.key("v1:versions").as_bytes()];
            arguments.extend(names.iter().map(Vec::as_slice));
            let reply = self.connection().command("HMGET", &arguments).await?;
            versions.extend(reply.list().iter().map(|version| match version {
                RedisResult::Binary(version) => String::from_utf8_lossy(version).into_owned(),
                _ => String::new(),
            }));
        }
        Ok(versions)
    }

    /// The version of the last change that was reported; empty if there was none.
    pub async fn last_change(&self) -> Result<Vec<u8>, Error> {
        let name = self.redis.key("v1:last_change").as_bytes();
        let reply = self.connection().command("GET", &[name]).await?;
        Ok(if reply.is_nil() {
            Vec::new()
        } else {
            reply.text()?.to_vec()
        })
    }

    /// The current connection. Must not be borrowed across an `await`, because another call may
    /// replace it.
    fn connection(&self) -> Rc<Connection> {
        self.connection.borrow().clone()
    }

    /// Runs an operation. After any error but out-of-memory, reconnects and runs it
    /// again: queueing and completing are idempotent, a failure may be counted twice, and a lease
    /// that was acquired unnoticed expires.
    pub async fn run(&self, operation: Operation, arguments: &[Vec<u8>]) -> Result<Reply, Error> {
        let connection = self.connection();
        let first = connection.run(&self.redis, operation, arguments).await;
        match &first {
            Err(error) if !error.is_out_of_memory() => {}
            _ => return first,
        }
        let retry = async {
            loop {
                if let Ok(connection) = Connection::open(&self.redis).await {
                    let connection = Rc::new(connection);
                    let reply = connection.run(&self.redis, operation, arguments).await;
                    if reply.is_ok() {
                        self.connection.replace(connection);
                        return reply;
                    }
                }
                host::sleep(RECONNECT_INTERVAL).await;
            }
        };
        limit(RECONNECT_LIMIT, retry).await.unwrap_or(first)
    }
}
