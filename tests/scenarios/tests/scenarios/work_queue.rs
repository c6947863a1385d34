//! The script of the work queue, with a real Redis: atomicity, versions and the lease.

use std::time::Duration;

use afterword::queue::script::{self, Operation};
use afterword_scenarios::{redis_key, redis_program};
use afterword_stack::Redis;
use futures_util::StreamExt;
use redis::aio::{MultiplexedConnection, PubSub};
use redis::{FromRedisValue, RedisResult};
use serde_json::{Value, json};

/// The application's key-value store and origin.
const APPLICATION: [&str; 3] = ["a-store", "https://a.example public.articles", "0"];

/// The channel that wakes a worker.
const CHANNEL: &str = "{afterword}:refresh";

/// The work queue in a Redis of its own.
struct Queue {
    redis: Redis,
    connection: MultiplexedConnection,
    /// Whether the host has a Redis trigger.
    has_channel: bool,
    _dir: tempfile::TempDir,
}

impl Queue {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let redis = Redis::start(&redis_program(), dir.path(), &[])
            .await
            .unwrap();
        let connection = redis::Client::open(redis.url())
            .unwrap()
            .get_multiplexed_async_connection()
            .await
            .unwrap();
        Self {
            redis,
            connection,
            has_channel: true,
            _dir: dir,
        }
    }

    /// The same on a host without a Redis trigger, where the callers wake the worker.
    async fn start_without_channel() -> Self {
        Self {
            has_channel: false,
            ..Self::start().await
        }
    }

    /// Runs an operation of the script.
    async fn run<T: FromRedisValue>(&mut self, operation: &str, arguments: &[&str]) -> T {
        self.try_run(operation, arguments).await.unwrap()
    }

    async fn try_run<T: FromRedisValue>(
        &mut self,
        operation: &str,
        arguments: &[&str],
    ) -> RedisResult<T> {
        let named = script::ALL.iter().find(|it| it.name == operation);
        let Operation { script, name } = named.expect("there is such an operation");
        let mut keys = script::NAMES.map(|name| format!("{{afterword}}:{name}"));
        if !self.has_channel {
            *keys.last_mut().unwrap() = "{afterword}:".into();
        }
        let keys: Vec<&String> = script.keys.iter().map(|&at| &keys[at]).collect();
        let mut command = redis::cmd("EVAL");
        command
            .arg(script.text)
            .arg(keys.len())
            .arg(&keys[..])
            .arg(name)
            .arg(arguments);
        command.query_async(&mut self.connection).await
    }

    /// Runs a Redis command.
    async fn command<T: FromRedisValue>(&mut self, command: &[&str]) -> T {
        redis::cmd(command[0])
            .arg(&command[1..])
            .query_async(&mut self.connection)
            .await
            .unwrap()
    }

    /// Whether one of the queue's keys exists.
    async fn exists(&mut self, name: &str) -> bool {
        self.command(&["EXISTS", &redis_key(name)]).await
    }

    /// Deletes one of the queue's keys.
    async fn delete(&mut self, name: &str) {
        self.command::<()>(&["DEL", &redis_key(name)]).await;
    }

    /// Subscribes to the wake-ups.
    async fn subscribe(&self) -> PubSub {
        let client = redis::Client::open(self.redis.url()).unwrap();
        let mut subscriber = client.get_async_pubsub().await.unwrap();
        subscriber.subscribe(CHANNEL).await.unwrap();
        subscriber
    }

    /// Redis's clock in milliseconds.
    async fn now(&mut self) -> u64 {
        let (seconds, micros): (u64, u64) = self.command(&["TIME"]).await;
        seconds * 1_000 + micros / 1_000
    }

    /// The number of the version.
    async fn invalidate(&mut self, key: &str) -> i64 {
        let [version, _]: [i64; 2] = self.run("invalidate", &["webhook", "0", key]).await;
        version
    }

    /// 1 if the key was not queued.
    async fn request_refresh(&mut self, key: &str) -> i64 {
        let [added, _, _]: [i64; 3] = self.run("request_refresh", &[key]).await;
        added
    }

    /// 1 if a wake-up reached a worker.
    async fn check(&mut self) -> i64 {
        let [reached, _]: [i64; 2] = self.run("report", &["1"]).await;
        reached
    }

    /// Whether the caller of an operation has to wake a worker.
    async fn caller_wakes(&mut self, operation: &str, arguments: &[&str]) -> bool {
        let reply: Vec<i64> = self.run(operation, arguments).await;
        reply[1] == 1
    }

    async fn acquire(&mut self) -> String {
        self.run::<Option<String>>("acquire", &APPLICATION)
            .await
            .expect("the lease is free")
    }

    /// The claimed tasks with their versions.
    async fn claim(&mut self, token: &str) -> Vec<(String, String)> {
        self.claim_as(token, "this").await
    }

    /// The same with this digest of the configuration.
    async fn claim_as(&mut self, token: &str, configuration: &str) -> Vec<(String, String)> {
        self.claim_up_to(token, configuration, "800").await
    }

    async fn claim_up_to(
        &mut self,
        token: &str,
        configuration: &str,
        limit: &str,
    ) -> Vec<(String, String)> {
        let claimed: Vec<String> = self
            .run::<Option<_>>("claim", &[token, limit, configuration, "0", "0"])
            .await
            .expect("the lease is held");
        claimed[4..]
            .chunks(5)
            .map(|task| (task[0].clone(), task[1].clone()))
            .collect()
    }

    /// The queued tasks, in alphabetical order.
    async fn queued(&mut self) -> Vec<String> {
        let mut tasks: Vec<String> = self
            .command(&["ZRANGE", &redis_key("queue"), "0", "-1"])
            .await;
        tasks.sort();
        tasks
    }

    /// The version of a queued task.
    async fn version(&mut self, task: &str) -> String {
        self.command(&["HGET", &redis_key("versions"), task]).await
    }

    /// Completes a task that was claimed just now.
    async fn complete(&mut self, token: &str, task: &str, version: &str) -> String {
        let claimed = self.now().await.to_string();
        let arguments = [token, "0", task, version, &claimed];
        let [outcome] = self.run("complete", &arguments).await;
        outcome
    }

    async fn back_off(&mut self, token: &str, why: &str, task: &str, delay: &str) -> i64 {
        self.run("back_off", &[token, why, task, delay]).await
    }

    /// Tasks failed because the origin failed. Returns for how many milliseconds the circuit
    /// breaker has been open, or -1 if it stays closed.
    async fn trip(&mut self, token: &str, tasks: &[&str]) -> i64 {
        self.trip_for(token, "5000", "0", tasks).await
    }

    /// The same with this pause in milliseconds. If `always` is 1, suspects trip it, too.
    async fn trip_for(&mut self, token: &str, pause: &str, always: &str, tasks: &[&str]) -> i64 {
        let tasks = tasks.iter().flat_map(|task| [*task, "1000"]);
        let why = "the origin responded with 503";
        let mut arguments = vec![token, why, "this", pause, always];
        arguments.extend(tasks);
        self.run("trip", &arguments).await
    }

    async fn recovered(&mut self, token: &str) -> bool {
        self.run::<i64>("recovered", &[token]).await == 1
    }

    /// Makes the next probe due.
    async fn probe_now(&mut self) {
        let probe = ["HSET", &redis_key("breaker"), "probe", "0"];
        self.command::<()>(&probe).await;
    }

    /// The milliseconds for which the lease is kept; `None` if it is released or lost.
    async fn release(&mut self, token: &str) -> Option<i64> {
        match self.release_on_request(token, "0", "0").await {
            Some([1, wait, ..]) => Some(wait),
            _ => None,
        }
    }

    /// The script's reply: kept, wait, due, wakes, closed.
    async fn release_on_request(
        &mut self,
        token: &str,
        stop: &str,
        patience: &str,
    ) -> Option<[i64; 5]> {
        self.run("release", &[token, "300000", stop, patience])
            .await
    }

    /// Claims as a worker that sent this many requests since the last claim and may send 10 an
    /// hour. Returns the milliseconds until the hour ends, or 0, and the number of claimed tasks.
    async fn claim_limited(&mut self, token: &str, sent: &str) -> (i64, usize) {
        let arguments = [token, "800", "this", sent, "10"];
        let reply: Vec<redis::Value> = self.run("claim", &arguments).await;
        let quota_wait = i64::from_redis_value(reply[2].clone()).unwrap();
        (quota_wait, (reply.len() - 4) / 5)
    }

    /// Waits for the start of a debounce window, so that the next commands fall into one window.
    async fn wait_for_debounce_window(&mut self) {
        loop {
            let elapsed = self.now().await % 500;
            if elapsed < 100 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(505 - elapsed)).await;
        }
    }

    /// The time at which a task is due; `None` if it is not queued.
    async fn due_at(&mut self, task: &str) -> Option<f64> {
        self.command(&["ZSCORE", &redis_key("queue"), task]).await
    }

    /// The remaining time of the alarm in milliseconds.
    async fn alarm(&mut self) -> i64 {
        self.command(&["PTTL", &redis_key("alarm")]).await
    }
}

#[tokio::test]
async fn every_invalidation_gets_a_new_version_and_a_queued_key_keeps_its_time() {
    let mut queue = Queue::start().await;
    let first = queue.invalidate("/articles/1").await;
    let due = queue.due_at("/articles/1").await;
    let version = queue.version("/articles/1").await;
    let second = queue.invalidate("/articles/1").await;
    assert!(second > first);
    assert_eq!(queue.due_at("/articles/1").await, due);
    let token = queue.acquire().await;
    let claimed = queue.claim(&token).await;
    assert_eq!(
        claimed,
        [("/articles/1".into(), queue.version("/articles/1").await)]
    );
    assert_ne!(claimed[0].1, version);
}

#[tokio::test]
async fn a_readers_request_does_not_change_a_queued_key() {
    let mut queue = Queue::start().await;
    assert_eq!(queue.request_refresh("/articles/1").await, 1);
    let version = queue.version("/articles/1").await;
    let token = queue.acquire().await;
    queue.claim(&token).await;
    queue.back_off(&token, "why", "/articles/1", "60000").await;
    let due = queue.due_at("/articles/1").await;
    assert_eq!(queue.request_refresh("/articles/1").await, 0);
    assert_eq!(queue.due_at("/articles/1").await, due, "it still backs off");
    assert_eq!(queue.version("/articles/1").await, version);
}

#[tokio::test]
async fn an_invalidation_does_not_undo_a_back_off_but_gets_a_new_version() {
    let mut queue = Queue::start().await;
    let first = queue.invalidate("/articles/1").await;
    let token = queue.acquire().await;
    queue
        .back_off(
            &token,
            "the origin responded with 400",
            "/articles/1",
            "60000",
        )
        .await;
    let due = queue.due_at("/articles/1").await;
    assert!(queue.claim(&token).await.is_empty());
    assert!(queue.invalidate("/articles/1").await > first);
    assert_eq!(queue.due_at("/articles/1").await, due);
    let failures = ["HGET", &redis_key("failures"), "/articles/1"];
    assert_eq!(queue.command::<i64>(&failures).await, 1);
    let error = ["HGET", &redis_key("errors"), "/articles/1"];
    assert_eq!(
        queue.command::<String>(&error).await,
        "the origin responded with 400"
    );
}

#[tokio::test]
async fn a_key_invalidated_after_its_claim_stays_queued_for_the_next_debounce_window() {
    let mut queue = Queue::start().await;
    queue.invalidate("/articles/1").await;
    let token = queue.acquire().await;
    let claimed = queue.claim(&token).await[0].1.clone();
    queue.wait_for_debounce_window().await;
    queue.invalidate("/articles/1").await;
    let again = queue.version("/articles/1").await;
    assert_eq!(
        queue.complete(&token, "/articles/1", &claimed).await,
        "again"
    );
    assert!(
        queue.claim(&token).await.is_empty(),
        "it was completed a moment ago"
    );
    let wait = queue
        .release(&token)
        .await
        .expect("the lease is kept for it");
    assert!((0..=500).contains(&wait), "{wait}");
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(
        queue.claim(&token).await,
        [("/articles/1".into(), again.clone())]
    );
    assert_eq!(
        queue.complete(&token, "/articles/1", &again).await,
        "completed"
    );
    for name in ["queue", "versions", "queued_at", "failures", "errors"] {
        assert!(!queue.exists(name).await, "{name} is empty");
    }
}

#[tokio::test]
async fn a_key_completed_a_moment_ago_waits_for_the_next_debounce_window() {
    let mut queue = Queue::start().await;
    queue.invalidate("/articles/1").await;
    let version = queue.version("/articles/1").await;
    let token = queue.acquire().await;
    queue.wait_for_debounce_window().await;
    queue.complete(&token, "/articles/1", &version).await;
    queue.invalidate("/articles/1").await;
    queue.invalidate("/articles/2").await;
    let claimed = queue.claim(&token).await;
    assert_eq!(claimed.len(), 1, "only the other key: {claimed:?}");
    assert_eq!(claimed[0].0, "/articles/2");
}

#[tokio::test]
async fn one_worker_holds_the_lease_and_tokens_are_unique() {
    let mut queue = Queue::start().await;
    let first = queue.acquire().await;
    assert_eq!(
        queue.run::<Option<String>>("acquire", &APPLICATION).await,
        None
    );
    assert_eq!(queue.release(&first).await, None);
    let second = queue.acquire().await;
    assert_ne!(first, second);
    assert_eq!(queue.run::<i64>("renew", &[&first]).await, 0);
    assert_eq!(queue.run::<i64>("renew", &[&second]).await, 1);
    assert_eq!(queue.release(&first).await, None);
    assert!(
        queue.exists("lease").await,
        "another worker's lease cannot be released"
    );
}

#[tokio::test]
async fn a_worker_that_lost_the_lease_claims_nothing_and_its_task_is_queued_again() {
    let mut queue = Queue::start().await;
    queue.invalidate("/articles/1").await;
    let version = queue.version("/articles/1").await;
    let lost = queue.acquire().await;
    queue.claim(&lost).await;
    queue.delete("lease").await;
    let holder = queue.acquire().await;
    assert_eq!(
        queue.complete(&holder, "/articles/1", &version).await,
        "completed"
    );
    assert_eq!(queue.complete(&lost, "/articles/1", &version).await, "lost");
    // Its directory may have older content in other places.
    queue.complete(&lost, "/articles#1", &version).await;
    let queued = queue.queued().await;
    assert_eq!(queued, ["/articles", "/articles#1", "/articles/1"]);
    assert_eq!(
        queue
            .run::<Option<Vec<String>>>("claim", &[&lost, "800", "this"])
            .await,
        None
    );
    assert!(
        queue.due_at("/articles/1").await.is_some(),
        "the holder of the lease writes last"
    );
    assert!(
        queue.release(&holder).await.is_some(),
        "the holder does not stop before that"
    );
}

#[tokio::test]
async fn a_task_that_backs_off_without_the_lease_is_queued_again() {
    let mut queue = Queue::start().await;
    queue.invalidate("/articles/1").await;
    let version = queue.version("/articles/1").await;
    let lost = queue.acquire().await;
    queue.delete("lease").await;
    let holder = queue.acquire().await;
    assert_eq!(
        queue.complete(&holder, "/articles/1", &version).await,
        "completed"
    );
    let why = "the store did not respond";
    let held = queue.back_off(&lost, why, "/articles/1", "60000").await;
    assert_eq!(held, 0);
    assert!(queue.due_at("/articles/1").await.is_some());
}

#[tokio::test]
async fn a_wake_up_is_published_only_if_none_is_pending_and_the_lease_is_free() {
    let mut queue = Queue::start().await;
    queue.invalidate("/articles/1").await;
    assert!(
        !queue.exists("wake_pending").await,
        "it reached no worker, so the next invalidation tries again"
    );

    let mut subscriber = queue.subscribe().await;
    queue.invalidate("/articles/1").await;
    queue.invalidate("/articles/2").await;
    assert!(queue.exists("wake_pending").await);
    let token = queue.acquire().await;
    assert!(!queue.exists("wake_pending").await);
    queue.invalidate("/articles/3").await;
    assert!(
        !queue.exists("wake_pending").await,
        "the worker looks again before it stops"
    );
    for (key, version) in queue.claim(&token).await {
        queue.complete(&token, &key, &version).await;
    }
    assert_eq!(queue.release(&token).await, None);
    queue.invalidate("/articles/4").await;
    // This message marks the end of the wake-ups.
    queue.command::<()>(&["PUBLISH", CHANNEL, "end"]).await;
    let mut published = Vec::new();
    let mut messages = subscriber.on_message();
    while published.last().is_none_or(|last| last != "end") {
        let message = messages.next().await.unwrap();
        published.push(message.get_payload::<String>().unwrap());
    }
    assert_eq!(published, ["wake", "wake", "end"]);
}

#[tokio::test]
async fn a_user_without_the_right_to_publish_can_invalidate() {
    let mut queue = Queue::start().await;
    let rights = "on >pw ~{afterword}:* +@all -publish resetchannels";
    let rights = rights.split(' ');
    let user: Vec<&str> = ["ACL", "SETUSER", "quiet"]
        .into_iter()
        .chain(rights)
        .collect();
    queue.command::<()>(&user).await;
    queue.command::<()>(&["AUTH", "quiet", "pw"]).await;
    assert!(queue.invalidate("/articles/1").await > 0);
    assert!(queue.due_at("/articles/1").await.is_some());
}

#[tokio::test]
async fn a_key_that_backs_off_wakes_no_worker() {
    let mut queue = Queue::start().await;
    let token = queue.acquire().await;
    queue.invalidate("/articles/1").await;
    queue.back_off(&token, "why", "/articles/1", "60000").await;
    assert_eq!(queue.release(&token).await, None);
    let _subscriber = queue.subscribe().await;
    queue.request_refresh("/articles/1").await;
    queue.invalidate("/articles/1").await;
    assert!(!queue.exists("wake_pending").await);
}

#[tokio::test]
async fn an_open_circuit_breaker_allows_one_task_every_five_seconds() {
    let mut queue = Queue::start().await;
    for key in ["/articles/1", "/articles/2", "/articles/3"] {
        queue.invalidate(key).await;
    }
    let token = queue.acquire().await;
    assert_eq!(queue.claim(&token).await.len(), 3);
    assert!(queue.trip(&token, &["/articles/1"]).await >= 0);
    assert!(
        queue.claim(&token).await.is_empty(),
        "the next probe is 5 s away"
    );
    assert!(
        queue.release(&token).await.is_none(),
        "the lease is not kept until then"
    );
    let left = queue.alarm().await;
    assert!(
        (1..=5_000).contains(&left),
        "the alarm is set to the next probe: {left}"
    );

    let token = queue.acquire().await;
    queue.probe_now().await;
    let probe = queue.claim(&token).await;
    assert_eq!(probe.len(), 1);
    assert_ne!(probe[0].0, "/articles/1", "the next probe is another key");
    assert!(queue.claim(&token).await.is_empty(), "one probe at a time");
    let other_probe = queue.trip(&token, &[&probe[0].0]).await;
    assert!(other_probe >= 0);
    assert!(queue.claim(&token).await.is_empty());
}

#[tokio::test]
async fn after_an_outage_the_claims_double_until_the_circuit_breaker_closes() {
    let mut queue = Queue::start().await;
    let keys: Vec<String> = (0..300).map(|id| format!("/articles/{id}")).collect();
    for key in &keys {
        queue.invalidate(key).await;
    }
    let token = queue.acquire().await;
    let all: Vec<&str> = keys.iter().map(String::as_str).collect();
    queue.trip(&token, &all).await;
    queue.probe_now().await;
    let mut claimed = Vec::new();
    for _ in 0..7 {
        let tasks = queue.claim(&token).await;
        assert!(
            queue.claim(&token).await.is_empty(),
            "the outcome of the last claim is not known"
        );
        claimed.push(tasks.len());
        for (task, version) in &tasks {
            queue.complete(&token, task, version).await;
        }
        queue.recovered(&token).await;
    }
    assert_eq!(claimed, [1, 2, 4, 8, 16, 32, 64]);
    assert_eq!(queue.claim(&token).await.len(), 300 - 127, "it is closed");

    // Failures in a row trip it again before it closes.
    queue.trip_for(&token, "5000", "1", &all[200..201]).await;
    queue.probe_now().await;
    queue.claim(&token).await;
    assert!(!queue.recovered(&token).await);
    let claimed = queue.claim(&token).await;
    assert_eq!(claimed.len(), 2);
    let tasks = [claimed[0].0.as_str(), claimed[1].0.as_str()];
    assert!(queue.trip_for(&token, "5000", "1", &tasks).await >= 0);
    assert!(queue.claim(&token).await.is_empty());
}

#[tokio::test]
async fn after_an_outage_a_release_without_a_task_closes_the_circuit_breaker_once() {
    let mut queue = Queue::start().await;
    queue.invalidate("/articles/1").await;
    let token = queue.acquire().await;
    queue.trip(&token, &["/articles/1"]).await;
    queue.probe_now().await;
    // The task is due a millisecond after its failure.
    tokio::time::sleep(Duration::from_millis(2)).await;
    let [(task, version)] = &queue.claim(&token).await[..] else {
        panic!("one task is claimed");
    };
    assert!(!queue.recovered(&token).await, "there may be more tasks");
    queue.complete(&token, task, version).await;
    assert!(queue.exists("breaker").await);
    let released = queue.release_on_request(&token, "0", "0").await;
    assert!(matches!(released, Some([0, _, 0, 0, 1])), "{released:?}");
    assert!(!queue.exists("breaker").await);
    let token = queue.acquire().await;
    let released = queue.release_on_request(&token, "0", "0").await;
    assert!(matches!(released, Some([0, _, 0, 0, 0])), "{released:?}");
}

#[tokio::test]
async fn many_failures_in_a_row_trip_the_circuit_breaker_even_for_a_suspect() {
    let mut queue = Queue::start().await;
    for key in ["/articles/1", "/articles/2"] {
        queue.invalidate(key).await;
    }
    let token = queue.acquire().await;
    let suspect = ["HSET", &redis_key("suspects"), "/articles/1", "own"];
    queue.command::<()>(&suspect).await;
    let open_for = queue.trip(&token, &["/articles/1"]).await;
    assert_eq!(open_for, -1, "the breaker stays closed");
    assert_eq!(queue.claim(&token).await.len(), 1, "the other is due");
    assert!(queue.trip_for(&token, "5000", "1", &["/articles/1"]).await >= 0);
    assert!(queue.claim(&token).await.is_empty());
}

#[tokio::test]
async fn the_pause_after_a_refusal_is_a_second_and_doubles_with_each_trip() {
    let mut queue = Queue::start().await;
    for key in ["/articles/1", "/articles/2", "/articles/3"] {
        queue.invalidate(key).await;
    }
    let token = queue.acquire().await;
    let mut pauses = Vec::new();
    for _ in 0..11 {
        // Two concurrent requests count as one trip.
        queue.trip_for(&token, "0", "0", &["/articles/1"]).await;
        queue.trip_for(&token, "0", "0", &["/articles/2"]).await;
        let probe = ["HGET", &redis_key("breaker"), "probe"];
        let probe: u64 = queue.command(&probe).await;
        let left = probe.saturating_sub(queue.now().await);
        pauses.push(left.div_ceil(1_000));
        queue.probe_now().await;
        assert_eq!(queue.claim(&token).await.len(), 1);
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
}

#[tokio::test]
async fn a_key_that_fails_while_others_succeed_backs_off_alone() {
    let mut queue = Queue::start().await;
    for key in ["/articles", "/articles/1"] {
        queue.invalidate(key).await;
    }
    let token = queue.acquire().await;
    queue.trip(&token, &["/articles"]).await;
    queue.probe_now().await;
    let probe = queue.claim(&token).await;
    assert_eq!(probe[0].0, "/articles/1");
    queue.complete(&token, "/articles/1", &probe[0].1).await;
    assert!(!queue.recovered(&token).await);
    // A failed task is due again after a millisecond.
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(
        queue.claim(&token).await[0].0,
        "/articles",
        "it is a suspect now, and due"
    );
    assert_eq!(queue.trip(&token, &["/articles"]).await, -1);
    queue.invalidate("/articles/2").await;
    let next = queue.claim(&token).await;
    assert_eq!(next[0].0, "/articles/2", "the suspect delays no other key");
    assert!(
        queue.recovered(&token).await,
        "the claim contained all due tasks"
    );
}

#[tokio::test]
async fn another_configuration_closes_the_circuit_breaker() {
    let mut queue = Queue::start().await;
    queue.invalidate("/articles/1").await;
    queue.invalidate("/articles/2").await;
    let token = queue.acquire().await;
    queue.trip(&token, &["/articles/1"]).await;
    assert!(queue.claim(&token).await.is_empty());
    let closed = async |queue: &mut Queue| {
        let arguments = [token.as_str(), "1", "another", "0", "0"];
        let reply: Vec<redis::Value> = queue.run("claim", &arguments).await;
        i64::from_redis_value(reply[3].clone()).unwrap()
    };
    assert_eq!(closed(&mut queue).await, 1);
    assert_eq!(closed(&mut queue).await, 0);
    let claimed = queue.claim_as(&token, "another").await;
    assert!(
        claimed.iter().any(|(task, _)| task == "/articles/2"),
        "{claimed:?}"
    );
}

#[tokio::test]
async fn a_task_without_a_version_is_completed_and_a_foreign_name_is_forgotten() {
    let mut queue = Queue::start().await;
    queue.invalidate("/articles/1").await;
    // The versions were evicted, and an operator added members.
    queue.delete("versions").await;
    let add = [
        "ZADD",
        &redis_key("queue"),
        "1",
        "/articles/2",
        "2",
        "nonsense",
    ];
    queue.command::<()>(&add).await;
    let token = queue.acquire().await;
    // The completions do not close the circuit breaker.
    queue.trip(&token, &["/articles/9"]).await;
    for task in ["/articles/1", "/articles/2"] {
        assert_eq!(queue.complete(&token, task, "").await, "completed");
    }
    queue.run::<()>("forget", &[&token, "nonsense"]).await;
    assert!(!queue.exists("queue").await);
    assert!(queue.exists("breaker").await);
}

#[tokio::test]
async fn a_task_without_a_version_that_is_invalidated_after_its_claim_stays_queued() {
    let mut queue = Queue::start().await;
    let add = ["ZADD", &redis_key("queue"), "1", "/articles/1"];
    queue.command::<()>(&add).await;
    let token = queue.acquire().await;
    assert_eq!(queue.claim(&token).await[0].1, "");
    queue.invalidate("/articles/1").await;
    assert_eq!(queue.complete(&token, "/articles/1", "").await, "again");
}

#[tokio::test]
async fn a_change_is_refreshed_once_more_after_the_replica_lag() {
    let mut queue = Queue::start().await;
    queue.invalidate("/articles/1").await;
    queue.request_refresh("/articles/2").await;
    let token = queue.acquire().await;
    let complete = async |queue: &mut Queue, task: &str, claimed: &str| -> String {
        let version = queue.version(task).await;
        let arguments = [&token, "2000", task, &version, claimed];
        let [outcome] = queue.run("complete", &arguments).await;
        outcome
    };
    let now = queue.now().await / 1_000 * 1_000;
    let claimed = now.to_string();
    let outcome = complete(&mut queue, "/articles/1", &claimed).await;
    assert_eq!(outcome, "lagging");
    let due = queue.due_at("/articles/1").await.unwrap();
    let expected = (now + 1_000) as f64..=(now + 3_000) as f64;
    assert!(expected.contains(&due), "{due} is not within {expected:?}");
    // Another change does not wait for that.
    queue.invalidate("/articles/1").await;
    let due = queue.due_at("/articles/1").await.unwrap();
    assert!(due <= (now + 2_000) as f64, "{due}");
    // A reader's request is not a change.
    let outcome = complete(&mut queue, "/articles/2", &claimed).await;
    assert_eq!(outcome, "completed");
    let later = (now + 4_000).to_string();
    let outcome = complete(&mut queue, "/articles/1", &later).await;
    assert_eq!(outcome, "completed");
}

#[tokio::test]
async fn another_application_with_another_origin_is_refused_while_the_first_is_alive() {
    let mut queue = Queue::start().await;
    let token = queue.acquire().await;
    queue.release(&token).await;
    let is_refused = async |queue: &mut Queue, store: &str, origin: &str| {
        let acquired: redis::Value = queue.run("acquire", &[store, origin, "0"]).await;
        queue.delete("lease").await;
        matches!(acquired, redis::Value::Array(_))
    };
    let [store, origin, _] = APPLICATION;
    let other_origin = "https://b.example public.articles";
    assert!(is_refused(&mut queue, "another-store", other_origin).await);
    for (store, origin) in [
        (store, "https://c.example x.y"),
        ("emptied", "https://c.example x.y"),
    ] {
        let refused = is_refused(&mut queue, store, origin).await;
        assert!(!refused, "{store} {origin}");
    }
    queue.delete("owner").await;
    assert!(!is_refused(&mut queue, "another-store", origin).await);
}

#[tokio::test]
async fn a_clock_that_is_set_back_by_an_hour_delays_nothing() {
    let mut queue = Queue::start().await;
    queue.invalidate("/articles/1").await;
    // All times were written before the clock was set back.
    let hour = (queue.now().await + 3_600_000).to_string();
    for command in [
        ["ZADD", &redis_key("queue"), &hour, "/articles/1"],
        ["ZADD", &redis_key("completed"), &hour, "/articles/2"],
        ["HSET", &redis_key("breaker"), "probe", &hour],
        ["HSET", &redis_key("breaker"), "configuration", "this"],
    ] {
        queue.command::<()>(&command).await;
    }
    for name in ["lease", "wake_pending"] {
        let set = ["SET", &redis_key(name), "gone", "PX", "3600000"];
        queue.command::<()>(&set).await;
    }
    let set = ["SET", &redis_key("reconciled"), &format!("{hour} this")];
    queue.command::<()>(&set).await;
    assert_eq!(
        queue.run::<Option<String>>("acquire", &APPLICATION).await,
        None
    );
    let left: i64 = queue.command(&["PTTL", &redis_key("lease")]).await;
    assert!(left <= 15_000, "the dead worker's lease lasts {left} ms");
    queue.delete("lease").await;
    let token = queue.acquire().await;
    assert_eq!(queue.claim(&token).await[0].0, "/articles/1");
    queue.delete("breaker").await;
    let arguments = [&token, "300000", "this"];
    assert_eq!(
        queue.run::<i64>("queue_reconciliation", &arguments).await,
        1
    );
    queue.invalidate("/articles/2").await;
    let claimed = queue.claim(&token).await;
    assert!(
        claimed.iter().any(|(task, _)| task == "/articles/2"),
        "its debounce window is over"
    );
}

#[tokio::test]
async fn versions_and_tokens_stay_unique_after_a_failover_loses_the_counter() {
    let mut queue = Queue::start().await;
    queue.invalidate("/articles/1").await;
    let lost = queue.version("/articles/1").await;
    let token = queue.acquire().await;
    queue.delete("counter").await;
    queue.delete("lease").await;
    queue.invalidate("/articles/1").await;
    assert_ne!(queue.version("/articles/1").await, lost);
    assert_ne!(queue.acquire().await, token);
}

#[tokio::test]
async fn a_full_redis_refuses_invalidations_but_the_worker_continues() {
    let mut queue = Queue::start().await;
    for id in 1..=3 {
        queue.invalidate(&format!("/articles/{id}")).await;
    }
    let full = ["CONFIG", "SET", "maxmemory", "1"];
    queue.command::<()>(&full).await;
    let refused = queue
        .try_run::<[i64; 2]>("invalidate", &["webhook", "0", "/articles/4"])
        .await;
    assert!(refused.unwrap_err().to_string().contains("OOM"));
    let token = queue.acquire().await;
    assert_eq!(queue.run::<i64>("renew", &[&token]).await, 1);
    let claimed = queue.claim(&token).await;
    assert_eq!(claimed.len(), 3);
    let (task, version) = &claimed[0];
    assert_eq!(queue.complete(&token, task, version).await, "completed");
    queue.back_off(&token, "why", "/articles/2", "60000").await;
    assert!(queue.trip(&token, &["/articles/3"]).await >= 0);
    assert_eq!(queue.release(&token).await, None);
}

#[tokio::test]
async fn a_check_wakes_a_worker_if_a_task_is_overdue_or_the_alarm_is_missing() {
    let mut queue = Queue::start().await;
    let _subscriber = queue.subscribe().await;
    assert_eq!(queue.check().await, 1, "no worker has set an alarm");

    let token = queue.acquire().await;
    assert_eq!(queue.check().await, 0, "a worker holds the lease");
    assert_eq!(queue.release(&token).await, None);
    assert_eq!(queue.check().await, 0, "nothing is due, the alarm is set");

    let add = ["ZADD", &redis_key("queue"), "1", "/articles/1"];
    queue.command::<()>(&add).await;
    assert_eq!(queue.check().await, 1);
    let soon = (queue.now().await + 4_000).to_string();
    let probe = ["HSET", &redis_key("breaker"), "probe", &soon];
    queue.command::<()>(&probe).await;
    assert_eq!(queue.check().await, 0, "the circuit breaker is open");
    queue.delete("breaker").await;

    // It works while Redis refuses writes.
    let refuse_writes = ["CONFIG", "SET", "min-replicas-to-write", "1"];
    queue.command::<()>(&refuse_writes).await;
    assert_eq!(queue.check().await, 1);
}

#[tokio::test]
async fn a_task_that_backs_off_sets_an_alarm() {
    let mut queue = Queue::start().await;
    queue.invalidate("/articles/1").await;
    let token = queue.acquire().await;
    queue.delete("alarm").await;
    queue.back_off(&token, "why", "/articles/1", "4000").await;
    let left = queue.alarm().await;
    assert!((1..=4_000).contains(&left), "{left}");
}

#[tokio::test]
async fn every_queued_task_sets_an_alarm_of_at_most_two_seconds() {
    let mut queue = Queue::start().await;
    for (operation, arguments) in [
        ("invalidate", &["webhook", "0", "/articles/1"][..]),
        ("request_refresh", &["/articles/2"]),
    ] {
        queue.run::<Vec<i64>>(operation, arguments).await;
        let left = queue.alarm().await;
        assert!((1..=2_000).contains(&left), "{operation}: {left}");
        let prolong = ["PEXPIRE", &redis_key("alarm"), "60000"];
        queue.command::<()>(&prolong).await;
    }
    let token = queue.acquire().await;
    for (key, version) in queue.claim(&token).await {
        queue.complete(&token, &key, &version).await;
    }
    queue.delete("alarm").await;
    assert_eq!(queue.release(&token).await, None);
    let left = queue.alarm().await;
    assert!((2_001..=60_000).contains(&left), "nothing is due: {left}");
}

#[tokio::test]
async fn a_reconciliation_is_queued_first_then_at_intervals_and_with_a_new_configuration() {
    let mut queue = Queue::start().await;
    let token = queue.acquire().await;
    let queues = async |queue: &mut Queue, configuration: &str| {
        let arguments = [&token, "60000", configuration];
        let queued: i64 = queue.run("queue_reconciliation", &arguments).await;
        let remove = ["ZREM", &redis_key("queue"), "reconcile"];
        queue.command::<()>(&remove).await;
        queued
    };
    assert_eq!(queues(&mut queue, "this").await, 1);
    queue
        .run::<i64>("reconciled", &[&token, "0", "this", "9", "999", "1", "0"])
        .await;
    assert_eq!(queues(&mut queue, "this").await, 0);
    assert_eq!(queues(&mut queue, "another").await, 1);
    queue
        .run::<i64>(
            "reconciled",
            &[&token, "60000", "this", "9", "999", "1", "0"],
        )
        .await;
    assert_eq!(queues(&mut queue, "this").await, 1);

    let arguments = [&token, "60000", "this"];
    queue.run::<i64>("queue_reconciliation", &arguments).await;
    let version = queue.version("reconcile").await;
    let again: i64 = queue.run("queue_reconciliation", &arguments).await;
    assert_eq!(again, 0, "it is queued");
    assert_eq!(queue.version("reconcile").await, version);
}

#[tokio::test]
async fn while_the_store_is_full_a_reader_of_a_missing_item_queues_nothing() {
    let mut queue = Queue::start().await;
    let token = queue.acquire().await;
    let missing = ["/articles/1", "releases_fetch_lock", "is_new"];
    for (full, is_queued) in [("1", false), ("", false), ("0", true)] {
        let claim = [&token, "800", "this", "0", "0", full];
        queue.run::<redis::Value>("claim", &claim).await;
        let acquire = ["/articles/1", "3000"];
        let [status, _]: [i64; 2] = queue.run("acquire_fetch_lock", &acquire).await;
        assert_eq!(status, 0, "the lock was released");
        let [added, _, _]: [i64; 3] = queue.run("request_refresh", &missing).await;
        assert_eq!(added == 1, is_queued, "{full:?}");
    }
    let claim = [&token, "800", "this", "0", "0", "1"];
    queue.run::<redis::Value>("claim", &claim).await;
    assert_eq!(queue.request_refresh("/articles/2").await, 1, "it is stale");
}

#[tokio::test]
async fn without_a_channel_the_first_caller_wakes_the_worker() {
    let mut queue = Queue::start_without_channel().await;
    assert!(
        queue
            .caller_wakes("invalidate", &["webhook", "0", "/articles/1"])
            .await
    );
    let pending = "a wake-up is under way";
    assert!(
        !queue
            .caller_wakes("invalidate", &["webhook", "0", "/articles/2"])
            .await,
        "{pending}"
    );
    let read = "/articles/3";
    assert!(
        !queue.caller_wakes("request_refresh", &[read]).await,
        "{pending}"
    );
    queue.delete("wake_pending").await;
    assert!(queue.caller_wakes("request_refresh", &[read]).await);

    let token = queue.acquire().await;
    let held = "a worker holds the lease";
    assert!(
        !queue
            .caller_wakes("invalidate", &["webhook", "0", "/articles/4"])
            .await,
        "{held}"
    );
    assert!(!queue.caller_wakes("report", &["1"]).await, "{held}");
    for (key, version) in queue.claim(&token).await {
        queue.complete(&token, &key, &version).await;
    }
    queue.release_on_request(&token, "0", "20000").await;
    assert!(
        !queue.caller_wakes("report", &["1"]).await,
        "nothing is due"
    );
    queue.delete("alarm").await;
    assert!(
        queue.caller_wakes("report", &["1"]).await,
        "the alarm is missing"
    );
}

#[tokio::test]
async fn without_a_channel_a_worker_whose_time_is_over_wakes_the_next_one() {
    let mut queue = Queue::start_without_channel().await;
    queue.invalidate("/articles/1").await;
    queue.invalidate("/articles/2").await;
    let token = queue.acquire().await;
    let kept = queue.release_on_request(&token, "0", "3000").await;
    assert_eq!(kept, Some([1, 0, 2, 0, 0]), "it has time for them");
    let released = queue.release_on_request(&token, "1", "3000").await;
    assert_eq!(released, Some([0, 0, 2, 1, 0]));
    assert!(!queue.exists("lease").await);
    assert_eq!(queue.release_on_request(&token, "1", "3000").await, None);
}

#[tokio::test]
async fn without_a_channel_one_worker_waits_for_the_next_retry() {
    let mut queue = Queue::start_without_channel().await;
    queue.invalidate("/articles/1").await;
    let token = queue.acquire().await;
    queue.claim(&token).await;
    queue.back_off(&token, "why", "/articles/1", "4000").await;
    let [kept, wait, due, wakes, closed] = queue
        .release_on_request(&token, "0", "17000")
        .await
        .unwrap();
    assert_eq!([kept, due, wakes, closed], [0, 0, 1, 0]);
    assert!((1..=4_000).contains(&wait), "{wait}");

    let token = queue.acquire().await;
    let released = queue.release_on_request(&token, "0", "17000").await;
    assert_eq!(released.unwrap()[3], 0, "the first worker waits for it");
    queue.delete("next_wake").await;
    let token = queue.acquire().await;
    let released = queue.release_on_request(&token, "0", "1000").await;
    assert_eq!(released.unwrap()[3], 0, "its time is over before the retry");
}

#[tokio::test]
async fn with_a_channel_no_caller_wakes_a_worker() {
    let mut queue = Queue::start().await;
    assert!(
        !queue
            .caller_wakes("invalidate", &["webhook", "0", "/articles/1"])
            .await
    );
    let token = queue.acquire().await;
    let released = queue.release_on_request(&token, "1", "3000").await;
    assert_eq!(released, Some([0, 0, 1, 0, 0]));
}

#[tokio::test]
async fn a_used_up_quota_of_requests_stops_claims_and_wake_ups_until_the_hour_ends() {
    let mut queue = Queue::start_without_channel().await;
    queue.invalidate("/articles/1").await;
    let token = queue.acquire().await;
    assert_eq!(queue.claim_limited(&token, "0").await, (0, 1));
    assert_eq!(queue.claim_limited(&token, "8").await, (0, 1));
    // A reader that fetches a missing key sends the ninth request, the tenth wakes a worker.
    queue
        .run::<Vec<i64>>("acquire_fetch_lock", &["/articles/9", "3000"])
        .await;
    assert_eq!(queue.claim_limited(&token, "0").await, (0, 1));
    queue.delete("lease").await;
    queue.delete("wake_pending").await;
    assert!(
        queue
            .caller_wakes("invalidate", &["webhook", "0", "/articles/2"])
            .await
    );

    let token = queue.acquire().await;
    let (wait, claimed) = queue.claim_limited(&token, "0").await;
    assert!((1..=3_600_000).contains(&wait), "{wait}");
    assert_eq!(claimed, 0);
    let [kept, wait, due, wakes, closed] = queue
        .release_on_request(&token, "0", "17000")
        .await
        .unwrap();
    assert_eq!([kept, due, wakes, closed], [0, 0, 0, 0]);
    assert!((20_000..=60_000).contains(&wait), "{wait}");
    queue.delete("alarm").await;
    assert!(
        !queue
            .caller_wakes("invalidate", &["webhook", "0", "/articles/3"])
            .await
    );
    let alarm = queue.alarm().await;
    assert!((1..=60_000).contains(&alarm), "{alarm}");
    queue.delete("alarm").await;
    assert!(!queue.caller_wakes("report", &["1"]).await);

    // The hour ends.
    queue.delete("requests").await;
    assert!(
        queue
            .caller_wakes("invalidate", &["webhook", "0", "/articles/3"])
            .await
    );
    let token = queue.acquire().await;
    assert_eq!(queue.claim_limited(&token, "0").await, (0, 3));
    assert_eq!(queue.claim(&token).await.len(), 3, "without a limit");
    assert!(!queue.exists("requests").await);
}

/// What became of an event, as the status page gets it.
async fn event(queue: &mut Queue, id: i64) -> Option<Value> {
    let text: Option<String> = queue.run("event", &[&id.to_string()]).await;
    let reply: Value = serde_json::from_str(&text?).unwrap();
    Some(reply["events"][0].clone())
}

#[tokio::test]
async fn the_list_takes_over_from_its_places_with_their_events_and_newest_version() {
    let mut queue = Queue::start().await;
    let places = ["/articles#1", "/articles#2"];
    let first = queue.invalidate(places[0]).await;
    let second = queue.invalidate(places[1]).await;
    let token = queue.acquire().await;
    assert_eq!(queue.claim(&token).await.len(), 2);
    let newest = queue.version(places[1]).await;
    let fold = |place| vec![token.as_str(), "/articles", place];
    // The other place is due, too.
    let folded: Vec<String> = queue.run("fold", &fold(places[0])).await;
    assert_eq!(folded[1..5], ["/articles", &newest, "0", "0"]);
    assert_eq!(queue.queued().await, ["/articles"]);
    let completed = queue.complete(&token, "/articles", &newest).await;
    assert_eq!(completed, "completed");
    for id in [first, second] {
        let event = event(&mut queue, id).await.unwrap();
        assert_eq!(event["state"], "fresh", "{event}");
    }

    // An event that waits for several places waits for the list once.
    queue.delete("completed").await;
    let both = ["webhook", "0", places[0], places[1]];
    let [id, _]: [i64; 2] = queue.run("invalidate", &both).await;
    let folded: Vec<String> = queue.run("fold", &fold(places[0])).await;
    let claimed = event(&mut queue, id).await.unwrap();
    assert_eq!(claimed["state"], "queued", "{claimed}");
    queue.back_off(&token, "why", "/articles", "60000").await;
    let failing = event(&mut queue, id).await.unwrap();
    assert_eq!(failing["state"], "failing", "{failing}");
    queue.complete(&token, "/articles", &folded[2]).await;
    assert_eq!(event(&mut queue, id).await.unwrap()["state"], "fresh");

    // The list was completed a moment ago, so it waits for the next debounce window. A place that is
    // older than the list does not lower its version.
    queue.invalidate(places[0]).await;
    queue.invalidate("/articles").await;
    let newest = queue.version("/articles").await;
    let folded: Vec<String> = queue.run("fold", &fold(places[0])).await;
    assert_eq!(folded.len(), 1, "{folded:?}");
    assert_eq!(queue.queued().await, ["/articles"]);
    assert_eq!(queue.version("/articles").await, newest);

    // Without the lease, nothing changes.
    queue.invalidate(places[0]).await;
    let other = ["another", "/articles", places[0]];
    assert_eq!(queue.run::<Option<String>>("fold", &other).await, None);
    assert_eq!(queue.queued().await, ["/articles", places[0]]);
}

#[tokio::test]
async fn an_event_is_fresh_once_all_of_its_tasks_were_fetched_after_it() {
    let mut queue = Queue::start().await;
    let tasks = ["webhook", "40", "/articles", "/articles/1"];
    let [id, _]: [i64; 2] = queue.run("invalidate", &tasks).await;
    let queued = event(&mut queue, id).await.unwrap();
    assert_eq!(queued["state"], "queued");
    assert_eq!(queued["tasks"], json!(["/articles", "/articles/1"]));
    assert_eq!(queued["count"], "2");
    queue
        .run::<[i64; 2]>("report", &["0", &format!("{id}:answered"), "41"])
        .await;
    let token = queue.acquire().await;
    let claimed = queue.claim(&token).await;
    assert_eq!(claimed.len(), 2);
    assert_eq!(event(&mut queue, id).await.unwrap()["state"], "claimed");

    // Another change comes after the claim: the first one is fresh by this fetch, the other is not.
    let later = queue.invalidate("/articles/1").await;
    for (task, version) in &claimed {
        assert_eq!(event(&mut queue, id).await.unwrap()["state"], "claimed");
        let completed = queue.complete(&token, task, version).await;
        let expected = if task == "/articles" {
            "completed"
        } else {
            "again"
        };
        assert_eq!(completed, expected);
    }
    let fresh = event(&mut queue, id).await.unwrap();
    assert_eq!(fresh["state"], "fresh");
    assert_eq!(fresh["answered"], "41");
    assert!(fresh["fresh"].as_str().unwrap() >= fresh["received"].as_str().unwrap());
    assert_eq!(event(&mut queue, later).await.unwrap()["state"], "queued");
    let version = queue.version("/articles/1").await;
    queue.complete(&token, "/articles/1", &version).await;
    assert_eq!(event(&mut queue, later).await.unwrap()["state"], "fresh");
    assert!(!queue.exists("waiting").await);
}

#[tokio::test]
async fn of_very_many_events_of_its_places_the_list_takes_over_the_last() {
    let mut queue = Queue::start().await;
    let token = queue.acquire().await;
    // The place that has waited longest gets the last event, too.
    queue.invalidate("/articles#1").await;
    for event in 0..300 {
        queue.invalidate(&format!("/articles#{}", event + 2)).await;
    }
    let last = queue.invalidate("/articles#1").await;
    let fold = [token.as_str(), "/articles", "/articles#1"];
    let folded: Vec<String> = queue.run("fold", &fold).await;
    queue.complete(&token, "/articles", &folded[2]).await;
    let event = event(&mut queue, last).await.unwrap();
    assert_eq!(event["state"], "fresh", "{event}");
}

#[tokio::test]
async fn an_event_fails_while_one_of_its_tasks_does() {
    let mut queue = Queue::start().await;
    let id = queue.invalidate("/articles/1").await;
    let token = queue.acquire().await;
    queue.claim(&token).await;
    queue
        .back_off(&token, "it is broken", "/articles/1", "60000")
        .await;
    let failing = event(&mut queue, id).await.unwrap();
    assert_eq!(
        [&failing["state"], &failing["failure"]],
        ["failing", "it is broken"]
    );

    let [retried, _]: [i64; 2] = queue.run("retry", &["/articles/2"]).await;
    assert_eq!(retried, 0, "it is not queued");
    let [retried, _]: [i64; 2] = queue.run("retry", &[]).await;
    assert_eq!(retried, 1);
    let claimed = queue.claim(&token).await;
    assert_eq!(claimed.len(), 1, "it is due again");
    let (task, version) = &claimed[0];
    queue.complete(&token, task, version).await;
    assert_eq!(event(&mut queue, id).await.unwrap()["state"], "fresh");
}

#[tokio::test]
async fn old_events_are_forgotten_and_nothing_of_them_remains() {
    let mut queue = Queue::start().await;
    let first = queue.invalidate("/articles/1").await;
    let mut last = first;
    for _ in 0..2_000 {
        last = queue.invalidate("/articles/2").await;
    }
    assert_eq!(event(&mut queue, first).await, None);
    assert_eq!(event(&mut queue, last).await.unwrap()["state"], "queued");
    let token = queue.acquire().await;
    for (task, version) in queue.claim(&token).await {
        queue.complete(&token, &task, &version).await;
    }
    assert_eq!(event(&mut queue, last).await.unwrap()["state"], "fresh");
    let fields: Vec<String> = queue.command(&["HKEYS", &redis_key("events")]).await;
    // Each event has up to three fields, and one in 128 removes all but 200.
    assert!(fields.len() < 3 * 1_800, "{}", fields.len());
    // The oldest of them are not known any more either.
    let cut = fields
        .iter()
        .filter_map(|field| field.strip_suffix(":left"));
    for id in cut {
        assert_eq!(event(&mut queue, id.parse().unwrap()).await, None, "{id}");
    }
    assert!(!queue.exists("waiting").await);
}

#[tokio::test]
async fn foreign_values_among_the_events_keep_no_task_from_its_completion() {
    let mut queue = Queue::start().await;
    let id = queue.invalidate("/articles/1").await;
    let events = redis_key("events");
    queue
        .command::<()>(&[
            "HSET",
            &events,
            &format!("{id}:left"),
            "many",
            "x",
            "y",
            "7",
            "z",
        ])
        .await;
    let token = queue.acquire().await;
    let claimed = queue.claim(&token).await;
    let (task, version) = &claimed[0];
    assert_eq!(queue.complete(&token, task, version).await, "completed");
    queue.invalidate("/articles/1").await;
    queue.run::<String>("status", &[]).await;
    assert_eq!(event(&mut queue, 7).await, None);
}

#[tokio::test]
async fn the_state_counts_each_task_once_and_lists_those_queued_longest() {
    let mut queue = Queue::start().await;
    for id in 1..=120 {
        queue.invalidate(&format!("/articles/{id}")).await;
    }
    let token = queue.acquire().await;
    let claimed = queue.claim_up_to(&token, "this", "10").await;
    let (failed, done) = (&claimed[0].0, &claimed[1]);
    queue
        .back_off(&token, "it is broken", failed, "60000")
        .await;
    queue.complete(&token, &done.0, &done.1).await;
    queue.invalidate(&done.0).await;
    let text: String = queue.run("status", &[]).await;
    let state: Value = serde_json::from_str(&text).unwrap();
    let counts = &state["counts"];
    let count = |name: &str| counts[name].as_u64().unwrap();
    assert_eq!([count("total"), count("backing_off")], [120, 1], "{counts}");
    // Tasks that were queued in the same millisecond as the last claimed one count as claimed.
    assert!((8..20).contains(&count("claimed")), "{counts}");
    let states = ["due", "claimed", "waiting", "backing_off"].map(count);
    assert_eq!(states.iter().sum::<u64>(), 120, "{counts}");
    assert_eq!(state["tasks"].as_array().unwrap().len(), 100);
    let task = state["tasks"]
        .as_array()
        .unwrap()
        .iter()
        .find(|task| task["name"] == **failed);
    let task = task.expect("the failed task is among those queued longest");
    assert_eq!([&task["failure"], &task["failures"]], ["it is broken", "1"]);

    let text: String = queue.run("metrics", &[]).await;
    let metrics: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(metrics["counts"]["total"], 120);
    assert_eq!(metrics["metrics"]["retries"], "1");
    let refreshes = metrics["metrics"].as_object().unwrap().keys();
    let buckets = refreshes
        .filter(|name| name.starts_with("refresh_ms:"))
        .count();
    assert_eq!(buckets, 2, "one bucket, and the sum: {metrics}");
}
