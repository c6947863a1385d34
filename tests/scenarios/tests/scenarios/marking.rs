//! The scripts of the marks, against a real Redis: what is atomic, and what the sequence numbers and the lease are for.

use afterword::marks::script;
use afterword_scenarios::redis_program;
use afterword_stack::Redis;
use redis::{FromRedisValue, aio::MultiplexedConnection};

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
        self.run("changed", &[key]).await
    }

    async fn wanted(&mut self, key: &str) -> i64 {
        self.run("wanted", &[key]).await
    }

    async fn take(&mut self) -> String {
        self.run::<Option<i64>>("take", &["15000", "150000"])
            .await
            .expect("the lease is free")
            .to_string()
    }

    /// The claimed keys with their numbers.
    async fn claim(&mut self, token: &str) -> Vec<(String, i64)> {
        let claimed: Vec<(String, i64, i64, i64)> = self
            .run::<Option<_>>("claim", &[token, "800", "this"])
            .await
            .expect("the lease is held");
        claimed
            .into_iter()
            .map(|(key, sequence, ..)| (key, sequence))
            .collect()
    }

    async fn clear(&mut self, token: &str, key: &str, sequence: i64) -> String {
        self.run("clear", &[token, key, &sequence.to_string()])
            .await
    }

    async fn hold(&mut self, token: &str, keys: &[&str]) {
        let keys = keys.iter().flat_map(|key| [*key, "1000"]);
        let arguments: Vec<&str> = [token, "the origin answered 503", "this", "5000"]
            .into_iter()
            .chain(keys)
            .collect();
        assert_eq!(self.run::<i64>("hold", &arguments).await, 1);
    }

    /// As if the time of the next probe had come.
    async fn probe_now(&mut self) {
        let _: i64 = self
            .ask(&["HSET", "{afterword}:origin", "probe", "0"])
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
        self.ask(&["ZSCORE", "{afterword}:due", key]).await
    }
}

#[tokio::test]
async fn every_mark_gets_a_number_of_its_own_and_a_marked_key_keeps_its_place() {
    let mut marks = Marks::start().await;
    let first = marks.changed("/articles/1").await;
    let due = marks.due("/articles/1").await;
    let second = marks.changed("/articles/1").await;
    assert!(second > first);
    assert_eq!(marks.due("/articles/1").await, due);
    let token = marks.take().await;
    assert_eq!(marks.claim(&token).await, [("/articles/1".into(), second)]);
}

#[tokio::test]
async fn a_wish_changes_nothing_about_a_key_that_is_marked() {
    let mut marks = Marks::start().await;
    assert_eq!(marks.wanted("/articles/1").await, 1);
    let sequence: i64 = marks
        .ask(&["HGET", "{afterword}:sequences", "/articles/1"])
        .await;
    let token = marks.take().await;
    marks.claim(&token).await;
    let _: i64 = marks
        .run("postpone", &[&token, "why", "/articles/1", "60000"])
        .await;
    let due = marks.due("/articles/1").await;
    assert_eq!(marks.wanted("/articles/1").await, 0);
    assert_eq!(marks.due("/articles/1").await, due, "its back-off stands");
    assert_eq!(
        marks
            .ask::<i64>(&["HGET", "{afterword}:sequences", "/articles/1"])
            .await,
        sequence
    );
}

#[tokio::test]
async fn a_change_does_not_undo_a_back_off_but_takes_a_new_number() {
    let mut marks = Marks::start().await;
    let first = marks.changed("/articles/1").await;
    let token = marks.take().await;
    let _: i64 = marks
        .run(
            "postpone",
            &[&token, "the origin answered 400", "/articles/1", "60000"],
        )
        .await;
    let due = marks.due("/articles/1").await;
    assert!(marks.claim(&token).await.is_empty());
    assert!(marks.changed("/articles/1").await > first);
    assert_eq!(marks.due("/articles/1").await, due);
    assert_eq!(
        marks
            .ask::<i64>(&["HGET", "{afterword}:failures", "/articles/1"])
            .await,
        1
    );
    assert_eq!(
        marks
            .ask::<String>(&["HGET", "{afterword}:errors", "/articles/1"])
            .await,
        "the origin answered 400"
    );
}

#[tokio::test]
async fn a_mark_set_after_the_claim_is_not_cleared_and_waits_for_its_turn() {
    let mut marks = Marks::start().await;
    let claimed = marks.changed("/articles/1").await;
    let token = marks.take().await;
    marks.claim(&token).await;
    marks.turn_begins().await;
    let again = marks.changed("/articles/1").await;
    assert_eq!(marks.clear(&token, "/articles/1", claimed).await, "again");
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
    assert_eq!(marks.claim(&token).await, [("/articles/1".into(), again)]);
    assert_eq!(marks.clear(&token, "/articles/1", again).await, "cleared");
    for key in ["due", "sequences", "since", "failures", "errors"] {
        assert_eq!(
            marks
                .ask::<i64>(&["EXISTS", &format!("{{afterword}}:{key}")])
                .await,
            0,
            "{key} is empty"
        );
    }
}

#[tokio::test]
async fn a_key_refreshed_a_moment_ago_waits_for_its_next_turn() {
    let mut marks = Marks::start().await;
    let sequence = marks.changed("/articles/1").await;
    let token = marks.take().await;
    marks.turn_begins().await;
    marks.clear(&token, "/articles/1", sequence).await;
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
        marks.run::<Option<i64>>("take", &["15000", "150000"]).await,
        None
    );
    assert_eq!(marks.release(&first).await, None);
    let second = marks.take().await;
    assert_ne!(first, second);
    assert_eq!(marks.run::<i64>("renew", &[&first, "15000"]).await, 0);
    assert_eq!(marks.run::<i64>("renew", &[&second, "15000"]).await, 1);
    assert_eq!(marks.release(&first).await, None);
    assert_eq!(
        marks.ask::<i64>(&["EXISTS", "{afterword}:lease"]).await,
        1,
        "another's lease cannot be released"
    );
}

#[tokio::test]
async fn who_lost_the_lease_claims_nothing_and_what_it_wrote_is_marked_again() {
    let mut marks = Marks::start().await;
    let sequence = marks.changed("/articles/1").await;
    let lost = marks.take().await;
    marks.claim(&lost).await;
    let _: i64 = marks.ask(&["DEL", "{afterword}:lease"]).await;
    let holder = marks.take().await;
    assert_eq!(
        marks.clear(&holder, "/articles/1", sequence).await,
        "cleared"
    );
    assert_eq!(marks.clear(&lost, "/articles/1", sequence).await, "lost");
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
    let sequence = marks.changed("/articles/1").await;
    let lost = marks.take().await;
    let _: i64 = marks.ask(&["DEL", "{afterword}:lease"]).await;
    let holder = marks.take().await;
    assert_eq!(
        marks.clear(&holder, "/articles/1", sequence).await,
        "cleared"
    );
    let arguments = [&lost, "the store did not answer", "/articles/1", "60000"];
    assert_eq!(marks.run::<i64>("postpone", &arguments).await, 0);
    assert!(marks.due("/articles/1").await.is_some());
}

#[tokio::test]
async fn a_mark_wakes_only_where_nobody_is_at_work_or_has_been_woken() {
    let mut marks = Marks::start().await;
    marks.changed("/articles/1").await;
    let waking =
        async |marks: &mut Marks| marks.ask::<i64>(&["EXISTS", "{afterword}:waking"]).await;
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
    for (key, sequence) in marks.claim(&token).await {
        marks.clear(&token, &key, sequence).await;
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
        .run("postpone", &[&token, "why", "/articles/1", "60000"])
        .await;
    assert_eq!(marks.release(&token).await, None);
    subscriber.subscribe(CHANNEL).await.unwrap();
    marks.wanted("/articles/1").await;
    marks.changed("/articles/1").await;
    assert_eq!(marks.ask::<i64>(&["EXISTS", "{afterword}:waking"]).await, 0);
}

#[tokio::test]
async fn while_the_origin_fails_one_key_is_claimed_every_five_seconds_and_its_success_frees_all() {
    let mut marks = Marks::start().await;
    for key in ["/articles/1", "/articles/2", "/articles/3"] {
        marks.changed(key).await;
    }
    let token = marks.take().await;
    assert_eq!(marks.claim(&token).await.len(), 3);
    marks.hold(&token, &["/articles/1"]).await;
    assert!(
        marks.claim(&token).await.is_empty(),
        "the next probe is 5 s away"
    );
    assert!(
        marks.release(&token).await.is_none(),
        "nothing to wait for with the lease in hand"
    );
    let left: i64 = marks.ask(&["PTTL", "{afterword}:timer"]).await;
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
    assert_eq!(
        marks.clear(&token, &probe[0].0, probe[0].1).await,
        "cleared"
    );
    assert_eq!(
        marks.claim(&token).await.len(),
        2,
        "all that was held up is due"
    );
}

#[tokio::test]
async fn a_key_that_fails_where_others_succeed_backs_off_alone() {
    let mut marks = Marks::start().await;
    for key in ["/articles", "/articles/1"] {
        marks.changed(key).await;
    }
    let token = marks.take().await;
    marks.hold(&token, &["/articles"]).await;
    marks.probe_now().await;
    let probe = marks.claim(&token).await;
    assert_eq!(probe[0].0, "/articles/1");
    marks.clear(&token, "/articles/1", probe[0].1).await;
    assert_eq!(marks.claim(&token).await[0].0, "/articles", "it was freed");
    marks.hold(&token, &["/articles"]).await;
    marks.changed("/articles/2").await;
    assert_eq!(
        marks.claim(&token).await[0].0,
        "/articles/2",
        "it holds up no other now"
    );
}

#[tokio::test]
async fn an_origin_set_up_otherwise_is_asked_at_once() {
    let mut marks = Marks::start().await;
    marks.changed("/articles/1").await;
    marks.changed("/articles/2").await;
    let token = marks.take().await;
    marks.hold(&token, &["/articles/1"]).await;
    assert!(marks.claim(&token).await.is_empty());
    let claimed: Vec<(String, i64, i64, i64)> =
        marks.run("claim", &[&token, "800", "another"]).await;
    assert!(
        claimed.iter().any(|(key, ..)| key == "/articles/2"),
        "{claimed:?}"
    );
}

#[tokio::test]
async fn every_mark_leaves_an_alarm_of_two_seconds_at_most() {
    let mut marks = Marks::start().await;
    let alarm = async |marks: &mut Marks| marks.ask::<i64>(&["PTTL", "{afterword}:timer"]).await;
    for mark in ["changed", "wanted"] {
        let _: i64 = marks.run(mark, &[&format!("/articles/{mark}")]).await;
        let left = alarm(&mut marks).await;
        assert!((1..=2_000).contains(&left), "{mark}: {left}");
        let _: i64 = marks.ask(&["PEXPIRE", "{afterword}:timer", "60000"]).await;
    }
    let token = marks.take().await;
    for (key, sequence) in marks.claim(&token).await {
        marks.clear(&token, &key, sequence).await;
    }
    let _: i64 = marks.ask(&["DEL", "{afterword}:timer"]).await;
    assert_eq!(marks.release(&token).await, None);
    let left = alarm(&mut marks).await;
    assert!(
        (2_001..=60_000).contains(&left),
        "with nothing due, the heartbeat: {left}"
    );
}

#[tokio::test]
async fn a_reconciliation_is_due_once_in_a_while_and_at_first() {
    let mut marks = Marks::start().await;
    let token = marks.take().await;
    let due = async |marks: &mut Marks| {
        marks
            .run::<i64>("reconcile", &[&token, "60000", "/articles"])
            .await
    };
    assert_eq!(due(&mut marks).await, 1);
    assert!(marks.due("/articles").await.is_some());
    assert_eq!(due(&mut marks).await, 1, "until it is done");
    let _: i64 = marks.run("reconciled", &[&token, "0"]).await;
    assert_eq!(due(&mut marks).await, 0);
    let _: i64 = marks.run("reconciled", &[&token, "60000"]).await;
    assert_eq!(due(&mut marks).await, 1);
}
