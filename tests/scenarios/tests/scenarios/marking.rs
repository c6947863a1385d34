//! The scripts of the marks, against a real Redis: what is atomic, and what the sequence numbers and the lease are for.

use afterword::marks::{CHANNEL, scripts};
use afterword_scenarios::redis_program;
use afterword_stack::Redis;
use redis::{FromRedisValue, aio::MultiplexedConnection};

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

    async fn run<T: FromRedisValue>(&mut self, script: &scripts::Script, arguments: &[&str]) -> T {
        let mut command = redis::cmd("EVAL");
        command
            .arg(script.text)
            .arg(scripts::KEYS.len())
            .arg(&scripts::KEYS)
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
        self.run(&scripts::CHANGED, &[CHANNEL, key]).await
    }

    async fn wanted(&mut self, key: &str) -> i64 {
        self.run(&scripts::WANTED, &[CHANNEL, key]).await
    }

    async fn take(&mut self) -> String {
        self.run::<Option<i64>>(&scripts::TAKE, &["15000"])
            .await
            .expect("the lease is free")
            .to_string()
    }

    /// The claimed keys with their numbers.
    async fn claim(&mut self, token: &str) -> Vec<(String, i64)> {
        let claimed: Vec<(String, i64, i64)> = self
            .run::<Option<_>>(&scripts::CLAIM, &[token, "800"])
            .await
            .expect("the lease is held");
        claimed
            .into_iter()
            .map(|(key, sequence, _)| (key, sequence))
            .collect()
    }

    async fn clear(&mut self, token: &str, key: &str, sequence: i64) -> String {
        self.run(
            &scripts::CLEAR,
            &[token, key, &sequence.to_string(), CHANNEL],
        )
        .await
    }

    async fn release(&mut self, token: &str) -> Option<i64> {
        self.run(&scripts::RELEASE, &[token]).await
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
        .run(&scripts::POSTPONE, &[&token, "/articles/1", "60000", "why"])
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
            &scripts::POSTPONE,
            &[&token, "/articles/1", "60000", "the origin answered 400"],
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
        marks.run::<Option<i64>>(&scripts::TAKE, &["15000"]).await,
        None
    );
    assert_eq!(marks.release(&first).await, None);
    let second = marks.take().await;
    assert_ne!(first, second);
    assert_eq!(
        marks.run::<i64>(&scripts::RENEW, &[&first, "15000"]).await,
        0
    );
    assert_eq!(
        marks.run::<i64>(&scripts::RENEW, &[&second, "15000"]).await,
        1
    );
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
            .run::<Option<Vec<String>>>(&scripts::CLAIM, &[&lost, "800"])
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
        .run(&scripts::POSTPONE, &[&token, "/articles/1", "60000", "why"])
        .await;
    assert_eq!(marks.release(&token).await, None);
    subscriber.subscribe(CHANNEL).await.unwrap();
    marks.wanted("/articles/1").await;
    marks.changed("/articles/1").await;
    assert_eq!(marks.ask::<i64>(&["EXISTS", "{afterword}:waking"]).await, 0);
}
