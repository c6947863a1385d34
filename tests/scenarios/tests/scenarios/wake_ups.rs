//! Wake-ups of the workers: published ones and, if those get lost, the expiry of the alarm or the
//! lease, with Redis servers of several configurations.

use std::time::Duration;

use afterword_scenarios::{
    Afterword, Setup, host_has_dials, redis_key, redis_wakes_workers, wait_until,
};
use afterword_stack::{Process, Signal};
use anyhow::ensure;
use serde_json::json;

/// The number of calls of a command, also within scripts, from `INFO commandstats`.
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

/// The number of script calls.
async fn script_calls(afterword: &Afterword) -> u64 {
    calls(afterword, "eval").await + calls(afterword, "evalsha").await
}

/// The number of connections that Redis has accepted, including the one of this command.
async fn connections(afterword: &Afterword) -> u64 {
    let info: String = afterword.redis_command(&["INFO", "stats"]).await.unwrap();
    info.lines()
        .find_map(|line| line.strip_prefix("total_connections_received:"))
        .and_then(|count| count.parse().ok())
        .expect("Redis counts its connections")
}

async fn change(afterword: &Afterword, title: &str) {
    afterword.update_title(7, title).await;
}

async fn check_hit(afterword: &Afterword, title: &str) {
    assert_eq!(
        afterword.wait_for_hit("/articles/7").await.json()["title"],
        title
    );
}

/// The next invalidation publishes nothing, as if a wake-up were under way.
async fn suppress_wake_ups(afterword: &Afterword) {
    let set = ["SET", &redis_key("wake_pending"), "1", "PX", "60000"];
    afterword.redis_command::<()>(&set).await.unwrap();
}

/// Makes the first worker die before its next write to the store.
async fn die_at_the_next_write(afterword: &Afterword) {
    let die = json!({"die": {"call": "key-value.set", "nth": 1, "when": "before"}});
    afterword.set_worker_dials(die).await;
}

/// The calls that Redis's ACL has denied.
async fn denied(afterword: &Afterword) -> Vec<redis::Value> {
    afterword.redis_command(&["ACL", "LOG"]).await.unwrap()
}

#[tokio::test]
async fn a_redis_that_reports_every_command_causes_no_endless_loop() {
    if !redis_wakes_workers() {
        return;
    }
    let afterword = Setup::default()
        .redis_args(&["--notify-keyspace-events", "KEA"])
        .start()
        .await;
    check_hit(&afterword, "The thundering herd").await;
    let before = script_calls(&afterword).await;
    change(&afterword, "Changed").await;
    check_hit(&afterword, "Changed").await;
    assert!(
        script_calls(&afterword).await > before,
        "a change calls scripts"
    );
    // The worker may still be handling the events of these commands.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (scripts_before, connections_before) = (
        script_calls(&afterword).await,
        connections(&afterword).await,
    );
    tokio::time::sleep(Duration::from_secs(6)).await;
    let connected = connections(&afterword).await - connections_before;
    let called = script_calls(&afterword).await - scripts_before;
    // One connection is this scenario's own, and the alarm may expire within these seconds.
    assert!(
        connected <= 3 && called <= 5,
        "{connected} connections and {called} script calls while nothing was due"
    );
}

#[tokio::test]
async fn without_the_right_to_config_wake_ups_still_work_and_one_line_is_logged() {
    if !redis_wakes_workers() {
        return;
    }
    let afterword = Setup::default().redis_user(&["-config"]).start().await;
    let (_, events): (String, String) = afterword
        .redis_command(&["CONFIG", "GET", "notify-keyspace-events"])
        .await
        .unwrap();
    assert_eq!(events, "", "the events are off");
    for version in 1..=3 {
        let title = format!("Version {version}");
        change(&afterword, &title).await;
        check_hit(&afterword, &title).await;
    }
    // A miss wakes a worker, too.
    afterword.wait_for_hit("/articles/8").await;
    change(&afterword, "And again").await;
    check_hit(&afterword, "And again").await;
    let log = afterword.log();
    let message = "may not read and set `notify-keyspace-events`";
    assert_eq!(log.matches(message).count(), 1, "{log}");
}

#[tokio::test]
async fn without_the_right_to_publish_the_alarm_wakes_a_worker() {
    if !redis_wakes_workers() {
        return;
    }
    let afterword = Setup::default().redis_user(&["-publish"]).start().await;
    for version in 1..=3 {
        let title = format!("Version {version}");
        change(&afterword, &title).await;
        check_hit(&afterword, &title).await;
    }
    let denied = denied(&afterword).await;
    assert!(!denied.is_empty(), "PUBLISH was denied");
}

/// The ACL rules of the application's user in docs/operating.md.
fn documented_rules() -> Vec<&'static str> {
    const PAGE: &str = include_str!("../../../../docs/operating.md");
    let start = "ACL SETUSER afterword on >a-long-password ";
    let rules = PAGE.split_once(start).expect("the page has them").1;
    let rules = rules.split_once("```").expect("in a code block").0;
    let rules = rules.split_whitespace().filter(|rule| *rule != "\\");
    rules.collect()
}

#[tokio::test]
async fn the_documented_acl_rules_suffice() {
    let mut afterword = Setup::default()
        .redis_acl("afterword:a-long-password", &documented_rules())
        .variable("max_age", "2")
        .start()
        .await;
    check_hit(&afterword, "The thundering herd").await;
    change(&afterword, "Changed").await;
    check_hit(&afterword, "Changed").await;
    // A failing origin, a foreign name in the queue, a miss and the outbox.
    afterword.stop_origin().await;
    let queue = redis_key("queue");
    let add = ["ZADD", &queue, "1", "not ours", "2", "/articles/8"];
    afterword.redis_command::<u64>(&add).await.unwrap();
    afterword.wake_worker().await;
    afterword.wait_for_key("breaker", true).await;
    afterword.get("/articles/9").await;
    afterword.start_origin().await.unwrap();
    afterword.wait_until_drained().await.unwrap();
    let denied = denied(&afterword).await;
    assert!(denied.is_empty(), "{denied:?}");
}

#[tokio::test]
async fn the_alarm_makes_up_for_a_lost_wake_up() {
    let afterword = Setup::default().start().await;
    for version in 1..=2 {
        afterword.wait_until_drained().await.unwrap();
        suppress_wake_ups(&afterword).await;
        let published = calls(&afterword, "publish").await;
        let title = format!("Version {version}");
        change(&afterword, &title).await;
        afterword.wait_for_key("wake_pending", false).await;
        assert_eq!(calls(&afterword, "publish").await, published);
        check_hit(&afterword, &title).await;
    }
}

/// Two workers. The second is stopped, so that the first acquires the next lease.
async fn two_workers(setup: Setup) -> Afterword {
    let mut afterword = setup.dials().start().await;
    afterword.start_worker().await.unwrap();
    afterword.wait_until_drained().await.unwrap();
    afterword.workers()[1].signal(Signal::SIGSTOP).unwrap();
    afterword
}

#[tokio::test]
async fn the_expiry_of_a_dead_workers_lease_wakes_another_worker() {
    if !host_has_dials() {
        return;
    }
    let afterword = two_workers(Setup::default()).await;
    die_at_the_next_write(&afterword).await;
    change(&afterword, "Changed").await;
    afterword.workers()[0].wait().await;
    // From here on, only the expiry of the lease can wake the other worker.
    afterword.wait_for_key("alarm", false).await;
    afterword.wait_for_key("lease", true).await;
    assert_eq!(
        afterword.queue().await.unwrap(),
        ["/articles", "/articles/7"]
    );
    afterword.workers()[1].signal(Signal::SIGCONT).unwrap();
    check_hit(&afterword, "Changed").await;
}

#[tokio::test]
async fn a_dead_workers_lease_wakes_another_worker_after_a_restart_of_redis() {
    if !host_has_dials() {
        return;
    }
    let mut afterword = Setup::default().dials().start().await;
    die_at_the_next_write(&afterword).await;
    change(&afterword, "Changed").await;
    afterword.worker().wait().await;
    afterword.kill_workers().await;
    // The restarted server reports no expiry until a worker sets `notify-keyspace-events` again.
    afterword.redis.kill().await;
    afterword.redis.restart().await.unwrap();
    afterword.start_worker().await.unwrap();
    afterword.wait_for_key("lease", true).await;
    check_hit(&afterword, "Changed").await;
}

/// The number of items that a worker has written, from its log.
fn written(worker: &Process) -> usize {
    worker.output().matches("updated cache: /articles/").count()
}

#[tokio::test]
async fn a_worker_that_pauses_for_longer_than_its_lease_leaves_no_older_row() {
    if !host_has_dials() {
        return;
    }
    let afterword = two_workers(Setup::default().no_webhooks()).await;
    let rows = afterword.origin_list().await;
    let ids: Vec<String> = rows
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["id"].to_string())
        .collect();
    let change_all = async |title: &str| {
        let sql = format!("UPDATE articles SET title = '{title}'");
        afterword.execute(&sql);
        for id in &ids {
            afterword.invalidate(id.as_str()).await;
        }
    };
    let (first, second) = (afterword.workers()[0], afterword.workers()[1]);
    let before = written(first);
    // The writes are slow, so that the worker can be stopped among them.
    afterword
        .set_worker_faults(json!({"key-value.set": {"delay_ms": 300}}))
        .await;
    // The alarm wakes the worker when all of them are queued, so one request fetches them.
    suppress_wake_ups(&afterword).await;
    change_all("Older").await;
    wait_for_writes(first, before + 2).await;
    first.signal(Signal::SIGSTOP).unwrap();
    let stopped_at = written(first);
    assert!(
        stopped_at + 10 < before + ids.len(),
        "it was stopped too late"
    );
    afterword.wait_for_key("lease", true).await;
    change_all("Newer").await;
    second.signal(Signal::SIGCONT).unwrap();
    afterword.wait_until_drained().await.unwrap();
    check_titles(&afterword, &ids, "Newer").await;

    first.signal(Signal::SIGCONT).unwrap();
    // It finds out that it has lost its lease, and continues only with a new one.
    let delete = ["DEL", &redis_key("wake_pending")];
    afterword.redis_command::<()>(&delete).await.unwrap();
    second.signal(Signal::SIGSTOP).unwrap();
    afterword.invalidate(ids[0].as_str()).await;
    wait_for_writes(first, stopped_at + 1).await;
    afterword.wait_until_drained().await.unwrap();
    let written_late = written(first) - stopped_at;
    // A few writes that were under way, the same items once more, and the new change. The other
    // fetched items are dropped.
    let unwritten = before + ids.len() - stopped_at;
    assert!(
        written_late < unwritten,
        "{written_late} items were written of {unwritten} that had been fetched before"
    );
    check_titles(&afterword, &ids, "Newer").await;
}

async fn wait_for_writes(worker: &Process, items: usize) {
    wait_until("waiting for a worker's writes", async || {
        let (written, log) = (written(worker), worker.output());
        ensure!(
            written >= items,
            "{written} of {items} items are written: {log}"
        );
        Ok(())
    })
    .await;
}

async fn check_titles(afterword: &Afterword, ids: &[String], title: &str) {
    for id in ids {
        let response = afterword.get_article(id).await;
        assert_eq!(response.json()["title"], title, "{id}");
    }
}
