//! The scripts of the marks, against a real Redis: what is atomic, and what the sequence numbers and the lease are for.

use afterword::queue::script;
use afterword_scenarios::redis_program;
use afterword_stack::Redis;
use redis::{FromRedisValue, aio::MultiplexedConnection};

/// The key-value store and the origin of the application.
const APPLICATION: [&str; 2] = ["a-store", "https://a.example public.articles"];

/// The channel that wakes a worker.
const CHANNEL: &str = "{afterword}:refresh";

/// A Redis of its own, and a connection.
struct Marks {
    _redis: Redis,
    connection: MultiplexedConnection,
    _dir: tempfile::TempDir,
}

impl Marks {
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
            _redis: redis,
            connection,
            _dir: dir,
        }
    }

    async fn run<T: FromRedisValue>(&mut self, verb: &str, arguments: &[&str]) -> T {
        let mut command = redis::cmd("EVAL");
        command
            .arg(script::TEXT)
            .arg(script::NAMES.len())
            .arg(
                script::NAMES
                    .map(|name| format!("{{afterword}}:{name}"))
                    .to_vec(),
            )
            .arg(verb)
            .arg(arguments);
        command.query_async(&mut self.connection).await.unwrap()
    }

    async fn ask<T: FromRedisValue>(&mut self, command: &[&str]) -> T {
        redis::cmd(command[0])
            .arg(&command[1..])
            .query_async(&mut self.connection)
            .await
            .unwrap()
    }

    async fn changed(&mut self, key: &str) -> i64 {
        self.run("invalidate", &[key]).await
    }

    async fn wanted(&mut self, key: &str) -> i64 {
        self.run("request_refresh", &[key]).await
    }

    async fn take(&mut self) -> String {
        self.run::<Option<String>>("acquire", &APPLICATION)
            .await
            .expect("the lease is free")
    }

    /// The claimed tasks with their versions.
    async fn claim(&mut self, token: &str) -> Vec<(String, String)> {
        self.claim_as(token, "this").await
    }

    /// The same by a worker with another configuration.
    async fn claim_as(&mut self, token: &str, setup: &str) -> Vec<(String, String)> {
        let claimed: Vec<String> = self
            .run::<Option<_>>("claim", &[token, "800", setup])
            .await
            .expect("the lease is held");
        claimed[2..]
            .chunks(5)
            .map(|task| (task[0].clone(), task[1].clone()))
            .collect()
    }

    /// The version of a queued task.
    async fn version(&mut self, task: &str) -> String {
        self.ask(&["HGET", "{afterword}:v1:versions", task]).await
    }

    async fn complete(&mut self, token: &str, task: &str, version: &str) -> String {
        let (now, _): (u64, u64) = self.ask(&["TIME"]).await;
        let claimed = (now * 1_000).to_string();
        self.run("complete", &[token, task, version, &claimed, "0"])
            .await
    }

    /// Tasks failed by the origin's fault. Returns for how long the circuit breaker has been open.
    async fn trip(&mut self, token: &str, tasks: &[&str]) -> i64 {
        self.trip_for(token, "5000", "0", tasks).await
    }

    async fn trip_for(&mut self, token: &str, pause: &str, always: &str, tasks: &[&str]) -> i64 {
        let tasks = tasks.iter().flat_map(|task| [*task, "1000"]);
        let arguments: Vec<&str> = [token, "the origin answered 503", "this", pause, always]
            .into_iter()
            .chain(tasks)
            .collect();
        self.run("trip", &arguments).await
    }

    async fn recovered(&mut self, token: &str) -> bool {
        self.run::<i64>("recovered", &[token]).await == 1
    }

    /// As if the time of the next probe had come.
    async fn probe_now(&mut self) {
        let _: i64 = self
            .ask(&["HSET", "{afterword}:v1:breaker", "probe", "0"])
            .await;
    }

    async fn release(&mut self, token: &str) -> Option<i64> {
        self.run("release", &[token, "300000"]).await
    }

    /// Waits for the beginning of a turn, so that what follows falls into one.
    async fn turn_begins(&mut self) {
        loop {
            let (_, microseconds): (u64, u64) = self.ask(&["TIME"]).await;
            let into = microseconds / 1_000 % 500;
            if into < 100 {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(505 - into)).await;
        }
    }

    async fn due(&mut self, key: &str) -> Option<f64> {
        self.ask(&["ZSCORE", "{afterword}:v1:queue", key]).await
    }
}

#[tokio::test]
async fn every_change_gets_a_version_of_its_own_and_a_queued_key_keeps_its_place() {
    let mut marks = Marks::start().await;
    let first = marks.changed("/articles/1").await;
    let (due, version) = (
        marks.due("/articles/1").await,
        marks.version("/articles/1").await,
    );
    let second = marks.changed("/articles/1").await;
    assert!(second > first);
    assert_eq!(marks.due("/articles/1").await, due);
    let token = marks.take().await;
    let claimed = marks.claim(&token).await;
    assert_eq!(
        claimed,
        [("/articles/1".into(), marks.version("/articles/1").await)]
    );
    assert_ne!(claimed[0].1, version);
}

#[tokio::test]
async fn a_request_of_a_reader_changes_nothing_about_a_key_that_is_queued() {
    let mut marks = Marks::start().await;
    assert_eq!(marks.wanted("/articles/1").await, 1);
    let version = marks.version("/articles/1").await;
    let token = marks.take().await;
    marks.claim(&token).await;
    let _: i64 = marks
        .run("back_off", &[&token, "why", "/articles/1", "60000"])
        .await;
    let due = marks.due("/articles/1").await;
    assert_eq!(marks.wanted("/articles/1").await, 0);
    assert_eq!(marks.due("/articles/1").await, due, "its back-off stands");
    assert_eq!(marks.version("/articles/1").await, version);
}

#[tokio::test]
async fn a_change_does_not_undo_a_back_off_but_takes_a_new_number() {
    let mut marks = Marks::start().await;
    let first = marks.changed("/articles/1").await;
    let token = marks.take().await;
    let _: i64 = marks
        .run(
            "back_off",
            &[&token, "the origin answered 400", "/articles/1", "60000"],
        )
        .await;
    let due = marks.due("/articles/1").await;
    assert!(marks.claim(&token).await.is_empty());
    assert!(marks.changed("/articles/1").await > first);
    assert_eq!(marks.due("/articles/1").await, due);
    assert_eq!(
        marks
            .ask::<i64>(&["HGET", "{afterword}:v1:failures", "/articles/1"])
            .await,
        1
    );
    assert_eq!(
        marks
            .ask::<String>(&["HGET", "{afterword}:v1:errors", "/articles/1"])
            .await,
        "the origin answered 400"
    );
}

#[tokio::test]
async fn a_mark_set_after_the_claim_is_not_cleared_and_waits_for_its_turn() {
    let mut marks = Marks::start().await;
    marks.changed("/articles/1").await;
    let token = marks.take().await;
    let claimed = marks.claim(&token).await[0].1.clone();
    marks.turn_begins().await;
    marks.changed("/articles/1").await;
    let again = marks.version("/articles/1").await;
    assert_eq!(
        marks.complete(&token, "/articles/1", &claimed).await,
        "again"
    );
    assert!(
        marks.claim(&token).await.is_empty(),
        "it was refreshed a moment ago"
    );
    let wait = marks
        .release(&token)
        .await
        .expect("the lease is kept for it");
    assert!((0..=500).contains(&wait), "{wait}");
    tokio::time::sleep(std::time::Duration::from_millis(600)).await;
    assert_eq!(
        marks.claim(&token).await,
        [("/articles/1".into(), again.clone())]
    );
    assert_eq!(
        marks.complete(&token, "/articles/1", &again).await,
        "completed"
    );
    for key in ["queue", "versions", "queued_at", "failures", "errors"] {
        assert_eq!(
            marks
                .ask::<i64>(&["EXISTS", &format!("{{afterword}}:v1:{key}")])
                .await,
            0,
            "{key} is empty"
        );
    }
}

#[tokio::test]
async fn a_key_refreshed_a_moment_ago_waits_for_its_next_turn() {
    let mut marks = Marks::start().await;
    marks.changed("/articles/1").await;
    let version = marks.version("/articles/1").await;
    let token = marks.take().await;
    marks.turn_begins().await;
    marks.complete(&token, "/articles/1", &version).await;
    marks.changed("/articles/1").await;
    marks.changed("/articles/2").await;
    let claimed = marks.claim(&token).await;
    assert_eq!(claimed.len(), 1, "only the other: {claimed:?}");
    assert_eq!(claimed[0].0, "/articles/2");
}

#[tokio::test]
async fn one_worker_has_the_lease_and_a_token_is_never_given_twice() {
    let mut marks = Marks::start().await;
    let first = marks.take().await;
    assert_eq!(
        marks.run::<Option<String>>("acquire", &APPLICATION).await,
        None
    );
    assert_eq!(marks.release(&first).await, None);
    let second = marks.take().await;
    assert_ne!(first, second);
    assert_eq!(marks.run::<i64>("renew", &[&first]).await, 0);
    assert_eq!(marks.run::<i64>("renew", &[&second]).await, 1);
    assert_eq!(marks.release(&first).await, None);
    assert_eq!(
        marks.ask::<i64>(&["EXISTS", "{afterword}:v1:lease"]).await,
        1,
        "another's lease cannot be released"
    );
}

#[tokio::test]
async fn who_lost_the_lease_claims_nothing_and_what_it_wrote_is_marked_again() {
    let mut marks = Marks::start().await;
    marks.changed("/articles/1").await;
    let version = marks.version("/articles/1").await;
    let lost = marks.take().await;
    marks.claim(&lost).await;
    let _: i64 = marks.ask(&["DEL", "{afterword}:v1:lease"]).await;
    let holder = marks.take().await;
    assert_eq!(
        marks.complete(&holder, "/articles/1", &version).await,
        "completed"
    );
    assert_eq!(marks.complete(&lost, "/articles/1", &version).await, "lost");
    assert_eq!(
        marks
            .run::<Option<Vec<String>>>("claim", &[&lost, "800", "this"])
            .await,
        None
    );
    assert!(
        marks.due("/articles/1").await.is_some(),
        "whoever holds the lease writes last"
    );
    assert!(
        marks.release(&holder).await.is_some(),
        "and does not stop before"
    );
}

#[tokio::test]
async fn what_may_have_been_written_without_the_lease_is_marked_again() {
    let mut marks = Marks::start().await;
    marks.changed("/articles/1").await;
    let version = marks.version("/articles/1").await;
    let lost = marks.take().await;
    let _: i64 = marks.ask(&["DEL", "{afterword}:v1:lease"]).await;
    let holder = marks.take().await;
    assert_eq!(
        marks.complete(&holder, "/articles/1", &version).await,
        "completed"
    );
    let arguments = [&lost, "the store did not answer", "/articles/1", "60000"];
    assert_eq!(marks.run::<i64>("back_off", &arguments).await, 0);
    assert!(marks.due("/articles/1").await.is_some());
}

#[tokio::test]
async fn a_mark_wakes_only_where_nobody_is_at_work_or_has_been_woken() {
    let mut marks = Marks::start().await;
    marks.changed("/articles/1").await;
    let waking = async |marks: &mut Marks| {
        marks
            .ask::<i64>(&["EXISTS", "{afterword}:v1:wake_pending"])
            .await
    };
    assert_eq!(
        waking(&mut marks).await,
        0,
        "nobody heard it: the next mark tries again"
    );

    let client = redis::Client::open(marks._redis.url()).unwrap();
    let mut subscriber = client.get_async_pubsub().await.unwrap();
    subscriber.subscribe(CHANNEL).await.unwrap();
    marks.changed("/articles/1").await;
    marks.changed("/articles/2").await;
    assert_eq!(waking(&mut marks).await, 1);
    let token = marks.take().await;
    assert_eq!(waking(&mut marks).await, 0);
    marks.changed("/articles/3").await;
    assert_eq!(
        waking(&mut marks).await,
        0,
        "the worker looks again before it stops"
    );
    for (key, version) in marks.claim(&token).await {
        marks.complete(&token, &key, &version).await;
    }
    assert_eq!(marks.release(&token).await, None);
    marks.changed("/articles/4").await;
    // A message that shows where the wake-ups end.
    let _: i64 = marks.ask(&["PUBLISH", CHANNEL, "end"]).await;
    let mut heard = Vec::new();
    let mut messages = subscriber.on_message();
    while heard.last().is_none_or(|last| last != "end") {
        let message = futures_util::StreamExt::next(&mut messages).await.unwrap();
        heard.push(message.get_payload::<String>().unwrap());
    }
    assert_eq!(heard, ["wake", "wake", "end"]);
}

#[tokio::test]
async fn a_user_who_may_not_publish_still_marks() {
    let mut marks = Marks::start().await;
    let _: String = marks
        .ask(&[
            "ACL",
            "SETUSER",
            "quiet",
            "on",
            ">pw",
            "~{afterword}:*",
            "+@all",
            "-publish",
            "resetchannels",
        ])
        .await;
    let _: String = marks.ask(&["AUTH", "quiet", "pw"]).await;
    assert!(marks.changed("/articles/1").await > 0);
    assert!(marks.due("/articles/1").await.is_some());
}

#[tokio::test]
async fn a_mark_for_a_key_that_is_backing_off_wakes_nobody() {
    let mut marks = Marks::start().await;
    let client = redis::Client::open(marks._redis.url()).unwrap();
    let mut subscriber = client.get_async_pubsub().await.unwrap();
    let token = marks.take().await;
    marks.changed("/articles/1").await;
    let _: i64 = marks
        .run("back_off", &[&token, "why", "/articles/1", "60000"])
        .await;
    assert_eq!(marks.release(&token).await, None);
    subscriber.subscribe(CHANNEL).await.unwrap();
    marks.wanted("/articles/1").await;
    marks.changed("/articles/1").await;
    assert_eq!(
        marks
            .ask::<i64>(&["EXISTS", "{afterword}:v1:wake_pending"])
            .await,
        0
    );
}

#[tokio::test]
async fn while_the_origin_fails_one_key_is_claimed_every_five_seconds() {
    let mut marks = Marks::start().await;
    for key in ["/articles/1", "/articles/2", "/articles/3"] {
        marks.changed(key).await;
    }
    let token = marks.take().await;
    assert_eq!(marks.claim(&token).await.len(), 3);
    assert!(marks.trip(&token, &["/articles/1"]).await >= 0);
    assert!(
        marks.claim(&token).await.is_empty(),
        "the next probe is 5 s away"
    );
    assert!(
        marks.release(&token).await.is_none(),
        "nothing to wait for with the lease in hand"
    );
    let left: i64 = marks.ask(&["PTTL", "{afterword}:v1:alarm"]).await;
    assert!(
        (1..=5_000).contains(&left),
        "the alarm is set to the probe: {left}"
    );

    let token = marks.take().await;
    marks.probe_now().await;
    let probe = marks.claim(&token).await;
    assert_eq!(probe.len(), 1);
    assert_ne!(probe[0].0, "/articles/1", "another key's turn");
    assert!(marks.claim(&token).await.is_empty(), "one probe at a time");
    let other_probe = marks.trip(&token, &[&probe[0].0]).await;
    assert!(other_probe >= 0);
    assert!(marks.claim(&token).await.is_empty());
}

#[tokio::test]
async fn after_an_outage_tasks_are_released_gradually() {
    let mut marks = Marks::start().await;
    let keys: Vec<String> = (0..300).map(|id| format!("/articles/{id}")).collect();
    for key in &keys {
        marks.changed(key).await;
    }
    let token = marks.take().await;
    let all: Vec<&str> = keys.iter().map(String::as_str).collect();
    marks.trip(&token, &all).await;
    marks.probe_now().await;
    let mut claimed = Vec::new();
    for _ in 0..7 {
        let tasks = marks.claim(&token).await;
        assert!(
            marks.claim(&token).await.is_empty(),
            "the outcome is waited for"
        );
        claimed.push(tasks.len());
        for (task, version) in &tasks {
            marks.complete(&token, task, version).await;
        }
        marks.recovered(&token).await;
    }
    assert_eq!(claimed, [1, 2, 4, 8, 16, 32, 64]);
    assert_eq!(marks.claim(&token).await.len(), 300 - 127, "it is closed");

    // Half-way, failures in a row open it again.
    marks.trip_for(&token, "5000", "1", &all[200..201]).await;
    marks.probe_now().await;
    marks.claim(&token).await;
    assert!(!marks.recovered(&token).await);
    let two: Vec<(String, String)> = marks.claim(&token).await;
    assert_eq!(two.len(), 2);
    let both = [two[0].0.as_str(), two[1].0.as_str()];
    assert!(marks.trip_for(&token, "5000", "1", &both).await >= 0);
    assert!(marks.claim(&token).await.is_empty());
}

#[tokio::test]
async fn many_failures_in_a_row_open_the_breaker_whosever_they_are() {
    let mut marks = Marks::start().await;
    for key in ["/articles/1", "/articles/2"] {
        marks.changed(key).await;
    }
    let token = marks.take().await;
    let _: i64 = marks
        .ask(&["HSET", "{afterword}:v1:suspects", "/articles/1", "own"])
        .await;
    assert_eq!(marks.trip(&token, &["/articles/1"]).await, -1, "its own");
    assert_eq!(marks.claim(&token).await.len(), 1, "the other goes on");
    assert!(marks.trip_for(&token, "5000", "1", &["/articles/1"]).await >= 0);
    assert!(marks.claim(&token).await.is_empty());
}

#[tokio::test]
async fn a_refusal_is_probed_after_a_second_and_then_after_twice_as_long_each_time() {
    let mut marks = Marks::start().await;
    for key in ["/articles/1", "/articles/2", "/articles/3"] {
        marks.changed(key).await;
    }
    let token = marks.take().await;
    let mut pauses = Vec::new();
    for _ in 0..11 {
        // Two requests that were under way together count once.
        marks.trip_for(&token, "0", "0", &["/articles/1"]).await;
        marks.trip_for(&token, "0", "0", &["/articles/2"]).await;
        let probe: u64 = marks
            .ask(&["HGET", "{afterword}:v1:breaker", "probe"])
            .await;
        let (seconds, micros): (u64, u64) = marks.ask(&["TIME"]).await;
        let left = probe as f64 - (seconds * 1_000) as f64 - micros as f64 / 1_000.0;
        pauses.push((left / 1_000.0).ceil() as u64);
        marks.probe_now().await;
        assert_eq!(marks.claim(&token).await.len(), 1);
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
}

#[tokio::test]
async fn a_key_that_fails_where_others_succeed_backs_off_alone() {
    let mut marks = Marks::start().await;
    for key in ["/articles", "/articles/1"] {
        marks.changed(key).await;
    }
    let token = marks.take().await;
    marks.trip(&token, &["/articles"]).await;
    marks.probe_now().await;
    let probe = marks.claim(&token).await;
    assert_eq!(probe[0].0, "/articles/1");
    marks.complete(&token, "/articles/1", &probe[0].1).await;
    assert!(!marks.recovered(&token).await);
    assert_eq!(marks.claim(&token).await[0].0, "/articles", "it was freed");
    assert_eq!(marks.trip(&token, &["/articles"]).await, -1);
    marks.changed("/articles/2").await;
    let next = marks.claim(&token).await;
    assert_eq!(next[0].0, "/articles/2", "it holds up no other now");
    assert!(marks.recovered(&token).await, "no more was due");
}

#[tokio::test]
async fn an_origin_set_up_otherwise_is_asked_at_once() {
    let mut marks = Marks::start().await;
    marks.changed("/articles/1").await;
    marks.changed("/articles/2").await;
    let token = marks.take().await;
    marks.trip(&token, &["/articles/1"]).await;
    assert!(marks.claim(&token).await.is_empty());
    let claimed = marks.claim_as(&token, "another").await;
    assert!(
        claimed.iter().any(|(key, ..)| key == "/articles/2"),
        "{claimed:?}"
    );
}

#[tokio::test]
async fn a_task_without_a_version_is_completed_and_a_foreign_name_is_forgotten() {
    let mut marks = Marks::start().await;
    marks.changed("/articles/1").await;
    // The hash was evicted; an operator added a member.
    let _: i64 = marks.ask(&["DEL", "{afterword}:v1:versions"]).await;
    let _: i64 = marks
        .ask(&[
            "ZADD",
            "{afterword}:v1:queue",
            "1",
            "/articles/2",
            "2",
            "nonsense",
        ])
        .await;
    let token = marks.take().await;
    // The origin fails, which neither says anything about.
    marks.trip(&token, &["/articles/9"]).await;
    for (task, version) in [("/articles/1", ""), ("/articles/2", "")] {
        assert_eq!(marks.complete(&token, task, version).await, "completed");
    }
    let _: Option<String> = marks.run("forget", &[&token, "nonsense"]).await;
    let due: Vec<String> = marks
        .ask(&["ZRANGE", "{afterword}:v1:queue", "0", "-1"])
        .await;
    assert_eq!(due, [""; 0]);
    let open: bool = marks.ask(&["EXISTS", "{afterword}:v1:breaker"]).await;
    assert!(open, "it still fails");
}

#[tokio::test]
async fn a_task_that_lost_its_version_and_is_changed_meanwhile_stays_queued() {
    let mut marks = Marks::start().await;
    let _: i64 = marks
        .ask(&["ZADD", "{afterword}:v1:queue", "1", "/articles/1"])
        .await;
    let token = marks.take().await;
    assert_eq!(marks.claim(&token).await[0].1, "");
    marks.changed("/articles/1").await;
    assert_eq!(marks.complete(&token, "/articles/1", "").await, "again");
}

#[tokio::test]
async fn a_change_is_refreshed_once_more_after_the_replicas_lag() {
    let mut marks = Marks::start().await;
    marks.changed("/articles/1").await;
    marks.wanted("/articles/2").await;
    let token = marks.take().await;
    let complete = async |marks: &mut Marks, task: &str, claimed: &str| -> String {
        let version = marks.version(task).await;
        let arguments = [&token, task, &version, claimed, "2000"];
        marks.run("complete", &arguments).await
    };
    let (now, _): (u64, u64) = marks.ask(&["TIME"]).await;
    let now = now * 1_000;
    let claimed = now.to_string();
    assert_eq!(
        complete(&mut marks, "/articles/1", &claimed).await,
        "lagging"
    );
    let due = marks.due("/articles/1").await.unwrap();
    let expected = (now + 1_000) as f64..=(now + 3_000) as f64;
    assert!(expected.contains(&due), "{due} is not within {expected:?}");
    // A further change does not wait for that.
    marks.changed("/articles/1").await;
    let due = marks.due("/articles/1").await.unwrap();
    assert!(due <= (now + 2_000) as f64, "{due}");
    // A reader's request is no change.
    assert_eq!(
        complete(&mut marks, "/articles/2", &claimed).await,
        "completed"
    );
    let later = (now + 4_000).to_string();
    assert_eq!(
        complete(&mut marks, "/articles/1", &later).await,
        "completed"
    );
}

#[tokio::test]
async fn another_application_with_another_origin_is_refused_while_the_first_one_lives() {
    let mut marks = Marks::start().await;
    let token = marks.take().await;
    marks.release(&token).await;
    let take = async |marks: &mut Marks, store: &str, origin: &str| -> redis::Value {
        let taken = marks.run("acquire", &[store, origin]).await;
        let _: i64 = marks.ask(&["DEL", "{afterword}:v1:lease"]).await;
        taken
    };
    let refused = |taken: &redis::Value| matches!(taken, redis::Value::Array(_));
    let [store, origin] = APPLICATION;
    let other = take(
        &mut marks,
        "another-store",
        "https://b.example public.articles",
    )
    .await;
    assert!(refused(&other), "{other:?}");
    for (store, origin) in [
        (store, "https://c.example x.y"),
        ("emptied", "https://c.example x.y"),
    ] {
        let taken = take(&mut marks, store, origin).await;
        assert!(!refused(&taken), "{store} {origin}: {taken:?}");
    }
    let _: i64 = marks.ask(&["DEL", "{afterword}:v1:owner"]).await;
    assert!(!refused(&take(&mut marks, "another-store", origin).await));
}

#[tokio::test]
async fn a_clock_that_was_set_back_by_an_hour_holds_nothing_up() {
    let mut marks = Marks::start().await;
    marks.changed("/articles/1").await;
    let (now, _): (u64, u64) = marks.ask(&["TIME"]).await;
    let hour = ((now + 3_600) * 1_000).to_string();
    // As the clock before it wrote them.
    for command in [
        ["ZADD", "{afterword}:v1:queue", &hour, "/articles/1"],
        ["ZADD", "{afterword}:v1:completed", &hour, "/articles/2"],
        ["HSET", "{afterword}:v1:breaker", "probe", &hour],
        ["HSET", "{afterword}:v1:breaker", "configuration", "this"],
    ] {
        let _: i64 = marks.ask(&command).await;
    }
    for key in ["lease", "wake_pending"] {
        let name = format!("{{afterword}}:v1:{key}");
        let _: () = marks.ask(&["SET", &name, "gone", "PX", "3600000"]).await;
    }
    let _: () = marks
        .ask(&["SET", "{afterword}:v1:reconciled", &format!("{hour} this")])
        .await;
    assert_eq!(
        marks.run::<Option<String>>("acquire", &APPLICATION).await,
        None
    );
    let left: i64 = marks.ask(&["PTTL", "{afterword}:v1:lease"]).await;
    assert!(left <= 15_000, "the dead worker's lease lasts {left} ms");
    let _: i64 = marks.ask(&["DEL", "{afterword}:v1:lease"]).await;
    let token = marks.take().await;
    assert_eq!(marks.claim(&token).await[0].0, "/articles/1");
    let _: i64 = marks.ask(&["DEL", "{afterword}:v1:breaker"]).await;
    let arguments = [&token, "300000", "this"];
    assert_eq!(
        marks.run::<i64>("queue_reconciliation", &arguments).await,
        1
    );
    marks.changed("/articles/2").await;
    assert!(
        marks
            .claim(&token)
            .await
            .iter()
            .any(|(task, _)| task == "/articles/2"),
        "its debounce window is over"
    );
}

#[tokio::test]
async fn a_version_and_a_token_stay_unique_when_a_failover_loses_the_counter() {
    let mut marks = Marks::start().await;
    marks.changed("/articles/1").await;
    let lost = marks.version("/articles/1").await;
    let token = marks.take().await;
    let _: i64 = marks
        .ask(&["DEL", "{afterword}:v1:counter", "{afterword}:v1:lease"])
        .await;
    marks.changed("/articles/1").await;
    assert_ne!(marks.version("/articles/1").await, lost);
    assert_ne!(marks.take().await, token);
}

#[tokio::test]
async fn a_full_redis_takes_no_changes_but_its_worker_goes_on() {
    let mut marks = Marks::start().await;
    for id in 1..=3 {
        marks.changed(&format!("/articles/{id}")).await;
    }
    let _: () = marks.ask(&["CONFIG", "SET", "maxmemory", "1"]).await;
    let refused = redis::cmd("EVAL")
        .arg(script::TEXT)
        .arg(script::NAMES.len())
        .arg(
            script::NAMES
                .map(|name| format!("{{afterword}}:{name}"))
                .to_vec(),
        )
        .arg(&["invalidate", "/articles/4"])
        .query_async::<i64>(&mut marks.connection)
        .await;
    assert!(refused.unwrap_err().to_string().contains("OOM"));
    let token = marks.take().await;
    assert_eq!(marks.run::<i64>("renew", &[&token]).await, 1);
    let claimed = marks.claim(&token).await;
    assert_eq!(claimed.len(), 3);
    let (task, version) = &claimed[0];
    assert_eq!(marks.complete(&token, task, version).await, "completed");
    let _: i64 = marks
        .run("back_off", &[&token, "why", "/articles/2", "60000"])
        .await;
    assert!(marks.trip(&token, &["/articles/3"]).await >= 0);
    assert_eq!(marks.release(&token).await, None);
}

#[tokio::test]
async fn the_safety_net_wakes_for_what_is_overdue_and_when_the_alarm_is_gone() {
    let mut marks = Marks::start().await;
    let client = redis::Client::open(marks._redis.url()).unwrap();
    let mut subscriber = client.get_async_pubsub().await.unwrap();
    subscriber.subscribe(CHANNEL).await.unwrap();
    let check = async |marks: &mut Marks| marks.run::<i64>("check", &[]).await;
    assert_eq!(check(&mut marks).await, 1, "no worker has ever been here");

    let token = marks.take().await;
    assert_eq!(check(&mut marks).await, 0, "one is at work");
    assert_eq!(marks.release(&token).await, None);
    assert_eq!(
        check(&mut marks).await,
        0,
        "nothing is due, the alarm is set"
    );

    let _: i64 = marks
        .ask(&["ZADD", "{afterword}:v1:queue", "1", "/articles/1"])
        .await;
    assert_eq!(check(&mut marks).await, 1);
    let (now, _): (u64, u64) = marks.ask(&["TIME"]).await;
    let soon = ((now + 4) * 1_000).to_string();
    let _: i64 = marks
        .ask(&["HSET", "{afterword}:v1:breaker", "probe", &soon])
        .await;
    assert_eq!(check(&mut marks).await, 0, "the origin is left in peace");
    let _: i64 = marks.ask(&["DEL", "{afterword}:v1:breaker"]).await;

    // A Redis that refuses writes still tells.
    let _: () = marks
        .ask(&["CONFIG", "SET", "min-replicas-to-write", "1"])
        .await;
    assert_eq!(check(&mut marks).await, 1);
}

#[tokio::test]
async fn a_task_that_backs_off_leaves_an_alarm() {
    let mut marks = Marks::start().await;
    marks.changed("/articles/1").await;
    let token = marks.take().await;
    let _: i64 = marks.ask(&["DEL", "{afterword}:v1:alarm"]).await;
    let _: i64 = marks
        .run("back_off", &[&token, "why", "/articles/1", "4000"])
        .await;
    let left: i64 = marks.ask(&["PTTL", "{afterword}:v1:alarm"]).await;
    assert!((1..=4_000).contains(&left), "{left}");
}

#[tokio::test]
async fn every_mark_leaves_an_alarm_of_two_seconds_at_most() {
    let mut marks = Marks::start().await;
    let alarm = async |marks: &mut Marks| marks.ask::<i64>(&["PTTL", "{afterword}:v1:alarm"]).await;
    for operation in ["invalidate", "request_refresh"] {
        let _: i64 = marks
            .run(operation, &[&format!("/articles/{operation}")])
            .await;
        let left = alarm(&mut marks).await;
        assert!((1..=2_000).contains(&left), "{operation}: {left}");
        let _: i64 = marks
            .ask(&["PEXPIRE", "{afterword}:v1:alarm", "60000"])
            .await;
    }
    let token = marks.take().await;
    for (key, version) in marks.claim(&token).await {
        marks.complete(&token, &key, &version).await;
    }
    let _: i64 = marks.ask(&["DEL", "{afterword}:v1:alarm"]).await;
    assert_eq!(marks.release(&token).await, None);
    let left = alarm(&mut marks).await;
    assert!(
        (2_001..=60_000).contains(&left),
        "with nothing due, the heartbeat: {left}"
    );
}

#[tokio::test]
async fn a_reconciliation_is_due_at_first_once_in_a_while_and_with_another_configuration() {
    let mut marks = Marks::start().await;
    let token = marks.take().await;
    let due = async |marks: &mut Marks, configuration: &str| {
        let queued = marks
            .run::<i64>("queue_reconciliation", &[&token, "60000", configuration])
            .await;
        let _: i64 = marks
            .ask(&["ZREM", "{afterword}:v1:queue", "reconcile"])
            .await;
        queued
    };
    assert_eq!(due(&mut marks, "this").await, 1);
    let _: i64 = marks.run("reconciled", &[&token, "0", "this"]).await;
    assert_eq!(due(&mut marks, "this").await, 0);
    assert_eq!(due(&mut marks, "another").await, 1);
    let _: i64 = marks.run("reconciled", &[&token, "60000", "this"]).await;
    assert_eq!(due(&mut marks, "this").await, 1);

    marks
        .run::<i64>("queue_reconciliation", &[&token, "60000", "this"])
        .await;
    let version = marks.version("reconcile").await;
    let again = marks
        .run::<i64>("queue_reconciliation", &[&token, "60000", "this"])
        .await;
    assert_eq!(
        (again, marks.version("reconcile").await),
        (0, version),
        "it is queued"
    );
}
