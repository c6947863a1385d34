//! The worker always makes progress: despite unreadable entries, foreign names in the queue, a
//! flapping origin, steady writes, a full Redis, a failing list or lost wake-ups.

use std::time::Duration;

use afterword_scenarios::{
    Afterword, PATIENCE, Setup, host_has_dials, redis_key, wait_at_most, wait_until,
};
use afterword_supabase::{Fault, RestDial};
use anyhow::ensure;
use serde_json::json;

use crate::store_file;

/// Waits until a read of the item contains this text.
async fn wait_for_item(afterword: &Afterword, id: u32, text: &str) {
    wait_until(&format!("waiting for {text:?}"), async || {
        let response = afterword.get_article(id).await;
        ensure!(response.body.contains(text), "{response:?}");
        Ok(())
    })
    .await;
}

/// Waits until the stored entry of the item contains this text. Does not read it, which would
/// request a refresh.
async fn wait_for_entry(afterword: &Afterword, id: u32, text: &str, limit: Duration) {
    let what = format!("waiting for {text:?} in the store");
    wait_at_most(limit, &what, async || {
        let content = stored_content(afterword, id);
        ensure!(content.contains(text), "{content}");
        Ok(())
    })
    .await;
}

fn stored_content(afterword: &Afterword, id: u32) -> String {
    let entry = store_file::entry(afterword, &format!("/articles/{id}"));
    String::from_utf8_lossy(&entry.identity.content).into_owned()
}

fn refusal(status: u16, code: &str) -> Option<Fault> {
    Some(Fault::refusal(status, code))
}

/// Makes a reconciliation due, and wakes a worker for it.
async fn reconcile(afterword: &Afterword) {
    let delete = ["DEL", &redis_key("reconciled")];
    afterword.redis_command::<u64>(&delete).await.unwrap();
    afterword.wake_worker().await;
}

#[tokio::test]
async fn the_list_is_written_despite_unreadable_entries() {
    if !host_has_dials() {
        return;
    }
    let afterword = Setup::default().dials().no_webhooks().start().await;
    afterword.wait_for_hit("/articles/7").await;
    afterword.update_title_with_sql(7, "Changed");
    let failing = json!({"key-value.get": {"fail": true}});
    afterword.set_worker_faults(failing).await;
    reconcile(&afterword).await;
    afterword.wait_for_text("/articles", "Changed").await;
    wait_for_item(&afterword, 7, "Changed").await;
}

#[tokio::test]
async fn a_foreign_name_is_removed_and_a_task_without_a_version_is_refreshed_once() {
    let afterword = Setup::default().start().await;
    afterword.wait_for_hit("/articles/7").await;
    afterword.supabase().clear_requests();
    let queue = redis_key("queue");
    let add = ["ZADD", &queue, "1", "/articles/7", "2", "not ours"];
    afterword.redis_command::<u64>(&add).await.unwrap();
    afterword.wake_worker().await;
    afterword.wait_until_drained().await.unwrap();
    assert_eq!(afterword.count_origin_requests(), 1);
}

#[tokio::test]
async fn a_flapping_origin_gets_few_requests_however_many_tasks_are_queued() {
    let afterword = Setup::default().no_webhooks().start().await;
    let queue = redis_key("queue");
    for first in [1, 101, 201] {
        let tasks = (first..first + 100).map(|id| (id.to_string(), format!("/articles/{id}")));
        let due: Vec<String> = tasks.flat_map(|(score, task)| [score, task]).collect();
        let mut add = vec!["ZADD", &queue];
        add.extend(due.iter().map(String::as_str));
        afterword.redis_command::<u64>(&add).await.unwrap();
    }
    // The requests for one article always succeed, so the origin never fails entirely.
    let works = RestDial {
        matching: "id=eq.999".into(),
        ..RestDial::default()
    };
    let fails = RestDial {
        fault: Some(Fault::Status(503)),
        ..RestDial::default()
    };
    afterword.set_origin_faults(vec![works, fails]);
    afterword.supabase().clear_requests();
    for _ in 0..30 {
        afterword.invalidate(999).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let requests = afterword.supabase().requests();
    let failed = requests
        .iter()
        .filter(|request| request.status == Some(503))
        .count();
    // First the concurrent requests of one drain, then a few in each five seconds.
    assert!(
        (2..=8 + 4 * 4).contains(&failed),
        "{failed} requests failed"
    );
}

#[tokio::test]
async fn a_passing_refusal_delays_nothing_and_is_not_logged_as_stuck() {
    for (status, code) in [(401, "PGRST303"), (404, "PGRST205")] {
        let afterword = Setup::default().no_webhooks().start().await;
        afterword.wait_for_hit("/articles/7").await;
        afterword.update_title_with_sql(7, "Changed");
        let passes = RestDial {
            times: Some(2),
            fault: refusal(status, code),
            ..RestDial::default()
        };
        afterword.set_origin_fault(passes);
        afterword.invalidate(7).await;
        wait_for_item(&afterword, 7, "Changed").await;
        let log = afterword.log();
        assert!(!log.contains("stuck"), "{log}");
        assert!(log.contains(code), "{log}");
    }
}

#[tokio::test]
async fn an_id_that_a_firewall_refuses_delays_no_other() {
    let mut afterword = Setup::default().no_webhooks().start().await;
    for id in [3, 4, 5] {
        afterword.wait_for_hit(&format!("/articles/{id}")).await;
        afterword.update_title_with_sql(id, &format!("Changed {id}"));
    }
    afterword.kill_workers().await;
    let refuses = |matching: &str| RestDial {
        matching: matching.into(),
        fault: Some(Fault::Status(403)),
        ..RestDial::default()
    };
    afterword.set_origin_faults(vec![refuses("%223%22"), refuses("id=eq.3")]);
    for id in [3, 4, 5] {
        afterword.invalidate(id).await;
    }
    afterword.start_worker().await.unwrap();
    afterword.wait_for_queue(&["/articles/3"]).await;
    for id in [4, 5] {
        wait_for_item(&afterword, id, &format!("Changed {id}")).await;
    }
    afterword.heal_origin();
    wait_for_item(&afterword, 3, "Changed 3").await;
}

#[tokio::test]
async fn a_row_whose_statement_fails_is_found_by_bisection_and_delays_no_other() {
    let mut afterword = Setup::default().no_webhooks().start().await;
    for id in 1..=20 {
        afterword.update_title_with_sql(id, &format!("Changed {id}"));
    }
    afterword.kill_workers().await;
    let fails = |matching: &str| RestDial {
        matching: matching.into(),
        fault: refusal(500, "22012"),
        ..RestDial::default()
    };
    afterword.set_origin_faults(vec![fails("%2213%22"), fails("id=eq.13")]);
    for id in 1..=20 {
        afterword.invalidate(id).await;
    }
    afterword.supabase().clear_requests();
    afterword.start_worker().await.unwrap();
    afterword.wait_for_queue(&["/articles/13"]).await;
    let requests = afterword.supabase().requests();
    let failed = requests
        .iter()
        .filter(|request| request.status == Some(500))
        .count();
    assert!((4..=12).contains(&failed), "{requests:?}");
    let rows = afterword.origin("?id=lte.20&id=neq.13&select=id").await;
    for row in rows.as_array().unwrap() {
        let id = u32::try_from(row["id"].as_u64().unwrap()).unwrap();
        let content = stored_content(&afterword, id);
        assert!(content.contains(&format!("Changed {id}")), "{content}");
    }
}

#[tokio::test]
async fn statements_that_time_out_for_many_keys_trip_the_circuit_breaker() {
    let mut afterword = Setup::default().no_webhooks().start().await;
    afterword.kill_workers().await;
    let overload = RestDial {
        fault: refusal(500, "57014"),
        ..RestDial::default()
    };
    afterword.set_origin_fault(overload);
    for id in 1..=25 {
        afterword.invalidate(id).await;
    }
    afterword.supabase().clear_requests();
    afterword.start_worker().await.unwrap();
    afterword.wait_for_key("breaker", true).await;
    let requests = afterword.count_origin_requests();
    assert!((16..=24).contains(&requests), "{requests} requests");
    afterword.heal_origin();
    afterword.wait_until_drained().await.unwrap();
}

/// The list always fails in this way, and nothing else is due.
async fn check_refreshes_without_a_list(fault: Option<Fault>) {
    let afterword = Setup::default()
        .variable("max_age", "2")
        .no_webhooks()
        .start()
        .await;
    for id in [1, 2, 3, 7] {
        afterword.wait_for_hit(&format!("/articles/{id}")).await;
    }
    let no_list = RestDial {
        matching: "order=".into(),
        fault,
        ..RestDial::default()
    };
    afterword.set_origin_fault(no_list);
    afterword.update_title_with_sql(7, "Changed");
    // Neither a read nor a webhook queues it.
    wait_for_entry(&afterword, 7, "Changed", PATIENCE * 2).await;
    let message = "refreshing every stored item, because there is no list";
    assert!(afterword.log().contains(message));
    afterword.heal_origin();
    afterword.wait_for_text("/articles", "Changed").await;
}

#[tokio::test]
async fn stored_items_are_refreshed_although_the_list_times_out() {
    check_refreshes_without_a_list(refusal(500, "57014")).await;
}

#[tokio::test]
async fn stored_items_are_refreshed_although_the_list_fails_with_503() {
    check_refreshes_without_a_list(Some(Fault::Status(503))).await;
}

#[tokio::test]
async fn steady_writes_starve_neither_the_reconciliation_nor_the_sign_of_life() {
    let afterword = Setup::default()
        .variable("max_age", "3")
        .no_webhooks()
        .start()
        .await;
    afterword.wait_for_hit("/articles/7").await;
    // Slower than the following changes, so that the drain does not end.
    let slow = RestDial {
        delay_ms: 400,
        ..RestDial::default()
    };
    afterword.set_origin_fault(slow);
    afterword.invalidate(1).await;
    let get_alive = ["GET", &redis_key("alive")];
    let alive: String = afterword.redis_command(&get_alive).await.unwrap();
    afterword.update_title_with_sql(7, "Changed");
    let writes = async {
        loop {
            afterword.invalidate(1).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let corrected = wait_until("correcting a lost webhook", async || {
        let content = stored_content(&afterword, 7);
        ensure!(content.contains("Changed"), "{content}");
        let now: String = afterword.redis_command(&get_alive).await?;
        ensure!(now != alive, "no sign of life since {alive}");
        Ok(())
    });
    tokio::select! {
        () = corrected => {}
        () = writes => {}
    }
}

#[tokio::test]
async fn the_queue_of_a_full_redis_is_drained_and_the_outbox_follows() {
    let afterword = Setup::default().no_webhooks().start().await;
    for id in [7, 8] {
        afterword.wait_for_hit(&format!("/articles/{id}")).await;
        afterword.update_title_with_sql(id, "Changed");
    }
    let limit_memory = async |bytes: &str| {
        let set = ["CONFIG", "SET", "maxmemory", bytes];
        afterword.redis_command::<()>(&set).await.unwrap();
    };
    // The worker gets the response when Redis is full.
    let slow = RestDial {
        delay_ms: 1_500,
        ..RestDial::default()
    };
    afterword.set_origin_fault(slow);
    afterword.invalidate(7).await;
    afterword.wait_for_origin_request("id=eq.7").await;
    limit_memory("1").await;
    let response = afterword
        .webhook(r#"{"type":"UPDATE","record":{"id":8}}"#)
        .await;
    assert_eq!(response.json()["deferred"], "outbox", "{response:?}");
    wait_for_item(&afterword, 7, "Changed").await;
    afterword.wait_until_drained().await.unwrap();

    limit_memory("0").await;
    afterword.wake_worker().await;
    wait_for_item(&afterword, 8, "Changed").await;
}

#[tokio::test]
async fn a_reader_wakes_the_worker_after_redis_refused_writes_for_a_while() {
    let afterword = Setup::default().no_webhooks().start().await;
    afterword.wait_for_hit("/articles/7").await;
    afterword.update_title_with_sql(7, "Changed");
    let refuse = async |replicas: &str| {
        let set = ["CONFIG", "SET", "min-replicas-to-write", replicas];
        afterword.redis_command::<()>(&set).await.unwrap();
    };
    // The alarm expires while Redis refuses writes, so no worker sets another one.
    let alarm = redis_key("alarm");
    let set_alarm = ["SET", &alarm, "1", "PX", "500"];
    afterword.redis_command::<()>(&set_alarm).await.unwrap();
    refuse("1").await;
    afterword.invalidate(7).await;
    wait_until("waiting for the alarm", async || {
        let left: i64 = afterword.redis_command(&["PTTL", &alarm]).await?;
        ensure!(left < 0, "{left} ms are left");
        Ok(())
    })
    .await;
    // Longer than a worker that was woken meanwhile keeps trying.
    tokio::time::sleep(Duration::from_secs(25)).await;
    refuse("0").await;
    wait_for_item(&afterword, 7, "Changed").await;
}

#[tokio::test]
async fn a_store_that_lists_its_keys_slowly_is_listed_to_the_end() {
    if !host_has_dials() {
        return;
    }
    let afterword = Setup::default().dials().no_webhooks().start().await;
    for id in 1..=6 {
        afterword.wait_for_hit(&format!("/articles/{id}")).await;
    }
    afterword.update_title_with_sql(6, "Changed");
    // About eight keys, which take more than ten seconds together.
    let slow = json!({"key-value.get-keys": {"each_ms": 1_600}});
    afterword.set_worker_faults(slow).await;
    reconcile(&afterword).await;
    wait_for_item(&afterword, 6, "Changed").await;
}

#[tokio::test]
async fn an_outbox_record_that_cannot_be_read_yet_is_not_deleted() {
    if !host_has_dials() {
        return;
    }
    let afterword = Setup::default().dials().no_webhooks().start().await;
    afterword.wait_for_hit("/articles/7").await;
    // The store lists the record, but does not have its value yet.
    let absent = json!({"key-value.get": {"absent": true}});
    afterword.set_worker_faults(absent).await;
    store_file::insert(&afterword, "outbox/record", b"/articles/7\n");
    store_file::insert(&afterword, "outbox", b"");
    reconcile(&afterword).await;
    afterword.wait_until_reconciled().await.unwrap();
    let exists = |name: &str| store_file::keys(&afterword).iter().any(|key| key == name);
    assert!(exists("outbox/record"));

    afterword.update_title_with_sql(7, "Changed");
    afterword.set_worker_faults(json!({})).await;
    afterword.wake_worker().await;
    wait_for_item(&afterword, 7, "Changed").await;
    afterword.wait_until_drained().await.unwrap();
    assert!(!exists("outbox/record") && !exists("outbox") && !exists("outbox-emptying"));
}

#[tokio::test]
async fn a_change_that_the_origins_replicas_get_late_is_refreshed_once_more() {
    let afterword = Setup::default()
        .variable("replica_lag", "2")
        .no_webhooks()
        .start()
        .await;
    afterword.wait_for_hit("/articles/7").await;
    afterword.supabase().clear_requests();
    afterword.invalidate(7).await;
    afterword.wait_for_origin_request("id=eq.7").await;
    // The origin gets the change only after the first refresh.
    afterword.update_title_with_sql(7, "Changed");
    wait_for_entry(&afterword, 7, "Changed", PATIENCE).await;
    afterword.wait_until_drained().await.unwrap();
    let requests = afterword.supabase().requests();
    let refreshes = requests
        .iter()
        .filter(|request| request.query.contains("id=eq.7"));
    assert_eq!(refreshes.count(), 2, "{requests:?}");
}

#[tokio::test]
async fn a_change_of_a_related_table_refreshes_the_columns_that_the_list_lacks() {
    let afterword = Setup::default()
        .variable("list_query", "select=id,title&order=id.asc")
        .no_webhooks()
        .start()
        .await;
    for id in [7, 8] {
        afterword.wait_for_hit(&format!("/articles/{id}")).await;
    }
    let sql = "UPDATE articles SET body = 'Embedded' WHERE id = 7";
    afterword.execute(sql);
    let add = ["ZADD", &redis_key("queue"), "1", "related"];
    afterword.redis_command::<u64>(&add).await.unwrap();
    afterword.wake_worker().await;
    wait_for_item(&afterword, 7, "Embedded").await;
}

#[tokio::test]
async fn items_outside_a_limited_list_cost_no_request_and_are_evicted() {
    let afterword = Setup::default()
        .variable("list_query", "select=*&order=id.asc&limit=3")
        .variable("max_age", "1")
        .variable("stale_while_revalidate", "3")
        .variable("stale_if_error", "3")
        .no_webhooks()
        .start()
        .await;
    for id in [1, 7, 8, 9] {
        afterword.wait_for_hit(&format!("/articles/{id}")).await;
    }
    afterword.supabase().clear_requests();
    wait_until("waiting for the eviction", async || {
        let keys = store_file::keys(&afterword);
        ensure!(!keys.iter().any(|key| key == "/articles/9"), "{keys:?}");
        Ok(())
    })
    .await;
    let requests = afterword.supabase().requests();
    let items: Vec<_> = requests
        .iter()
        .filter(|request| request.query.contains("id="))
        .collect();
    assert!(items.is_empty(), "{items:?}");
    let keys = store_file::keys(&afterword);
    assert!(keys.iter().any(|key| key == "/articles/1"), "{keys:?}");
}
