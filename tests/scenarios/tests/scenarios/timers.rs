//! What wakes the workers when no wake-up does: keys that run out, on servers that are set up in several ways.

use std::time::Duration;

use afterword_scenarios::{Afterword, Setup, host_has_dials};
use afterword_stack::{Process, Signal, eventually};
use anyhow::{Context, Result, ensure};
use reqwest::Method;
use serde_json::json;

const LIMIT: Duration = Duration::from_secs(60);

/// How often a command has been called, by `INFO commandstats`: within scripts too.
async fn calls(afterword: &Afterword, command: &str) -> u64 {
    let info: String = afterword
        .redis_command(&["INFO", "commandstats"])
        .await
        .unwrap();
    info.lines()
        .find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")))
        .and_then(|rest| rest.split(',').next()?.parse().ok())
        .unwrap_or(0)
}

/// How often a script has been run.
async fn scripts(afterword: &Afterword) -> u64 {
    calls(afterword, "eval").await + calls(afterword, "evalsha").await
}

/// The connections that Redis has taken, the one that asks among them.
async fn connections(afterword: &Afterword) -> u64 {
    let info: String = afterword.redis_command(&["INFO", "stats"]).await.unwrap();
    info.lines()
        .find_map(|line| line.strip_prefix("total_connections_received:"))
        .and_then(|count| count.parse().ok())
        .expect("Redis counts its connections")
}

async fn change(afterword: &Afterword, title: &str) {
    afterword
        .change(Method::PATCH, "?id=eq.7", json!({ "title": title }))
        .await;
}

async fn is_read(afterword: &Afterword, title: &str) {
    assert_eq!(
        afterword.wait_for_hit("/articles/7").await.json()["title"],
        title
    );
}

/// Waits until a key of the marks is there, or not.
async fn key_is(afterword: &Afterword, name: &str, there: bool) {
    let key = format!("{{afterword}}:v1:{name}");
    eventually(LIMIT, &format!("waiting for {key}"), async || {
        let exists: bool = afterword.redis_command(&["EXISTS", &key]).await?;
        ensure!(
            exists == there,
            "it is {}there",
            if exists { "" } else { "not " }
        );
        Ok(())
    })
    .await
    .unwrap_or_else(|error| panic!("{error:#}"));
}

#[tokio::test]
async fn a_redis_that_tells_of_every_command_makes_no_endless_loop() {
    let afterword = Setup::default()
        .redis_args(&["--notify-keyspace-events", "KEA"])
        .start()
        .await;
    is_read(&afterword, "The thundering herd").await;
    let before = scripts(&afterword).await;
    change(&afterword, "Changed").await;
    is_read(&afterword, "Changed").await;
    assert!(scripts(&afterword).await > before, "a change runs scripts");
    // What has been said meanwhile is being listened to.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (scripts_before, connections_before) =
        (scripts(&afterword).await, connections(&afterword).await);
    tokio::time::sleep(Duration::from_secs(6)).await;
    let connected = connections(&afterword).await - connections_before;
    let run = scripts(&afterword).await - scripts_before;
    // One is the question's own; a heartbeat may fall into these seconds.
    assert!(
        connected <= 3 && run <= 5,
        "{connected} connections and {run} scripts while nothing was to be done"
    );
}

#[tokio::test]
async fn where_config_is_denied_wake_ups_drain_and_the_log_says_once_what_is_lost() {
    let afterword = Setup::default().redis_user(&["-config"]).start().await;
    let (_, events): (String, String) = afterword
        .redis_command(&["CONFIG", "GET", "notify-keyspace-events"])
        .await
        .unwrap();
    assert_eq!(events, "", "nobody has switched the events on");
    for version in 1..=3 {
        let title = format!("Version {version}");
        change(&afterword, &title).await;
        is_read(&afterword, &title).await;
    }
    // A read of what is missing drains too.
    afterword.wait_for_hit("/articles/8").await;
    change(&afterword, "And again").await;
    is_read(&afterword, "And again").await;
    let said = afterword.log();
    let lost = "may not read and set `notify-keyspace-events`";
    assert_eq!(said.matches(lost).count(), 1, "{said}");
}

#[tokio::test]
async fn a_user_who_may_not_publish_marks_and_the_timer_wakes() {
    let afterword = Setup::default().redis_user(&["-publish"]).start().await;
    for version in 1..=3 {
        let title = format!("Version {version}");
        change(&afterword, &title).await;
        is_read(&afterword, &title).await;
    }
    let denied: Vec<redis::Value> = afterword.redis_command(&["ACL", "LOG"]).await.unwrap();
    assert!(!denied.is_empty(), "it was not allowed to publish");
}

/// The ACL rules that docs/operating.md gives the application's user.
fn documented_rules() -> Vec<&'static str> {
    const PAGE: &str = include_str!("../../../../docs/operating.md");
    let start = "ACL SETUSER afterword on >a-long-password ";
    let rules = PAGE.split_once(start).expect("the page has them").1;
    let rules = rules.split_once("```").expect("in a code block").0;
    let rules = rules.split_whitespace().filter(|rule| *rule != "\\");
    rules.collect()
}

#[tokio::test]
async fn the_user_of_the_documentation_may_do_all_that_the_application_does() {
    let mut afterword = Setup::default()
        .redis_acl("afterword:a-long-password", &documented_rules())
        .variable("max_age", "2")
        .start()
        .await;
    is_read(&afterword, "The thundering herd").await;
    change(&afterword, "Changed").await;
    is_read(&afterword, "Changed").await;
    // A failing origin, a foreign name, a reader of what is missing, an outbox.
    afterword.stop_origin().await;
    let added = [
        "ZADD",
        "{afterword}:v1:queue",
        "1",
        "not ours",
        "2",
        "/articles/8",
    ];
    let _: u64 = afterword.redis_command(&added).await.unwrap();
    afterword.wake_up().until_heard(LIMIT).await.unwrap();
    key_is(&afterword, "breaker", true).await;
    afterword.get("/articles/9").await;
    afterword.start_origin().await.unwrap();
    afterword.wait_until_drained().await.unwrap();
    let denied: Vec<redis::Value> = afterword.redis_command(&["ACL", "LOG"]).await.unwrap();
    assert!(denied.is_empty(), "{denied:?}");
}

#[tokio::test]
async fn a_wake_up_that_is_lost_is_made_up_for_by_the_timer() {
    let afterword = Setup::default().start().await;
    for version in 1..=2 {
        afterword.wait_until_drained().await.unwrap();
        // As if one had been published a moment ago, and lost.
        let _: () = afterword
            .redis_command(&["SET", "{afterword}:v1:wake_pending", "1", "PX", "60000"])
            .await
            .unwrap();
        let published = calls(&afterword, "publish").await;
        let title = format!("Version {version}");
        change(&afterword, &title).await;
        key_is(&afterword, "wake_pending", false).await;
        assert_eq!(calls(&afterword, "publish").await, published);
        is_read(&afterword, &title).await;
    }
}

/// Two workers, of which the second is stopped, so that the first takes the next lease.
async fn two_workers(setup: Setup) -> Afterword {
    let mut afterword = setup.dials().start().await;
    afterword.start_worker().await.unwrap();
    afterword.wait_until_drained().await.unwrap();
    afterword.workers()[1].signal(Signal::SIGSTOP).unwrap();
    afterword
}

#[tokio::test]
async fn the_lease_of_a_worker_that_was_killed_runs_out_and_wakes_another() {
    if !host_has_dials() {
        return;
    }
    let afterword = two_workers(Setup::default()).await;
    afterword
        .set_worker_dials(json!({"die": {"call": "key-value.set", "nth": 1, "when": "before"}}))
        .await;
    change(&afterword, "Changed").await;
    afterword.workers()[0].wait().await;
    // From here on nothing but the lease's end can wake the other.
    key_is(&afterword, "alarm", false).await;
    key_is(&afterword, "lease", true).await;
    assert_eq!(
        afterword.queue().await.unwrap(),
        ["/articles", "/articles/7"]
    );
    afterword.workers()[1].signal(Signal::SIGCONT).unwrap();
    is_read(&afterword, "Changed").await;
}

#[tokio::test]
async fn a_redis_restarted_while_a_dead_workers_lease_lasts_still_tells_of_its_end() {
    if !host_has_dials() {
        return;
    }
    let mut afterword = Setup::default().dials().start().await;
    afterword
        .set_worker_dials(json!({"die": {"call": "key-value.set", "nth": 1, "when": "before"}}))
        .await;
    change(&afterword, "Changed").await;
    afterword.worker().wait().await;
    afterword.kill_workers().await;
    // A server forgets with its end that it was told to tell of keys that run out.
    afterword.redis.kill().await;
    afterword.redis.restart().await.unwrap();
    afterword.start_worker().await.unwrap();
    key_is(&afterword, "lease", true).await;
    is_read(&afterword, "Changed").await;
}

/// How many entries a worker has written, by what it said.
fn written(worker: &Process) -> usize {
    worker.output().matches("updated cache: /articles/").count()
}

#[tokio::test]
async fn a_worker_that_was_stopped_for_longer_than_its_lease_does_not_leave_an_older_row() {
    if !host_has_dials() {
        return;
    }
    let afterword = two_workers(Setup::default().no_webhooks()).await;
    let rows = afterword.origin("?order=id.asc").await;
    let ids: Vec<String> = rows
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["id"].to_string())
        .collect();
    let change_all = async |title: &str| {
        let sql = format!("UPDATE articles SET title = '{title}'");
        afterword.supabase().execute(&sql).unwrap();
        for id in &ids {
            let body = json!({"type": "UPDATE", "record": {"id": id}}).to_string();
            assert_eq!(afterword.webhook(body).await.status, 202);
        }
    };
    let (first, second) = (&afterword.workers()[0], &afterword.workers()[1]);
    let before = written(first);
    // Slow enough to be stopped in the midst of its writes.
    afterword
        .set_worker_dials(json!({"faults": {"key-value.set": {"delay_ms": 300}}}))
        .await;
    // No wake-up, so that the timer finds all of them marked: one request fetches them.
    let _: () = afterword
        .redis_command(&["SET", "{afterword}:v1:wake_pending", "1", "PX", "60000"])
        .await
        .unwrap();
    change_all("Older").await;
    wrote(first, before + 2).await;
    first.signal(Signal::SIGSTOP).unwrap();
    let stopped_at = written(first);
    assert!(stopped_at + 10 < before + ids.len(), "it was in the midst");
    key_is(&afterword, "lease", true).await;
    change_all("Newer").await;
    second.signal(Signal::SIGCONT).unwrap();
    afterword.wait_until_drained().await.unwrap();
    all_are(&afterword, &ids, "Newer").await;

    first.signal(Signal::SIGCONT).unwrap();
    // It finds out that it has lost its lease, and goes on only when it has a new one.
    let _: () = afterword
        .redis_command(&["DEL", "{afterword}:v1:wake_pending"])
        .await
        .unwrap();
    second.signal(Signal::SIGSTOP).unwrap();
    let body = json!({"type": "UPDATE", "record": {"id": ids[0]}}).to_string();
    assert_eq!(afterword.webhook(body).await.status, 202);
    wrote(first, stopped_at + 1).await;
    afterword.wait_until_drained().await.unwrap();
    let written_late = written(first) - stopped_at;
    // A few that were under way, these once more, and the new change; not all that it had fetched.
    let fetched_before = before + ids.len() - stopped_at;
    assert!(
        written_late < fetched_before,
        "{written_late} entries, and {fetched_before} had been fetched before"
    );
    all_are(&afterword, &ids, "Newer").await;
}

async fn wrote(worker: &Process, entries: usize) {
    eventually(LIMIT, "a worker's writing", async || -> Result<()> {
        let written = written(worker);
        ensure!(written >= entries, "{written} of {entries} entries written");
        Ok(())
    })
    .await
    .with_context(|| worker.output())
    .unwrap_or_else(|error| panic!("{error:#}"));
}

async fn all_are(afterword: &Afterword, ids: &[String], title: &str) {
    for id in ids {
        let answer = afterword.get(&format!("/articles/{id}")).await;
        assert_eq!(answer.json()["title"], title, "{id}");
    }
}
