//! What must never keep the worker from its work: one bad entry, one bad name in the queue, an
//! origin that flaps or refuses for a moment, steady writes, a full Redis, a list that cannot be
//! fetched, nobody there to wake it.

use std::time::Duration;

use afterword_scenarios::{Afterword, Setup, host_has_dials};
use afterword_stack::eventually;
use afterword_supabase::{Dials, Fault, RestDial};
use anyhow::ensure;
use serde_json::json;

use crate::stored;

const LIMIT: Duration = Duration::from_secs(60);

fn change(afterword: &Afterword, id: u32, title: &str) {
    let sql = format!("UPDATE articles SET title = '{title}' WHERE id = {id}");
    afterword.supabase().execute(&sql).unwrap();
}

async fn webhook_about(afterword: &Afterword, id: u32) {
    let body = json!({"type": "UPDATE", "record": {"id": id}}).to_string();
    let answer = afterword.webhook(body).await;
    assert_eq!(answer.status, 202, "{answer:?}");
}

/// Waits until a read of the item has this title.
async fn is_fresh(afterword: &Afterword, id: u32, title: &str) {
    eventually(LIMIT, &format!("waiting for {title:?}"), async || {
        let answer = afterword.get(&format!("/articles/{id}")).await;
        ensure!(answer.body.contains(title), "{answer:?}");
        Ok(())
    })
    .await
    .unwrap_or_else(|error| panic!("{error:#}"));
}

async fn list_is_fresh(afterword: &Afterword, title: &str) {
    eventually(
        LIMIT,
        &format!("waiting for {title:?} in the list"),
        async || {
            let answer = afterword.get("/articles").await;
            ensure!(answer.body.contains(title), "the list is an older one");
            Ok(())
        },
    )
    .await
    .unwrap_or_else(|error| panic!("{error:#}"));
}

fn dial(afterword: &Afterword, rest: Vec<RestDial>) {
    let dials = Dials {
        rest,
        ..Dials::default()
    };
    afterword.supabase().set_dials(dials).unwrap();
}

fn refusal(status: u16, code: &str) -> Option<Fault> {
    let code = code.to_owned();
    Some(Fault::Refusal { status, code })
}

/// Makes a reconciliation due, and wakes a worker for it.
async fn reconcile(afterword: &Afterword) {
    let _: u64 = afterword
        .redis_command(&["DEL", "{afterword}:v1:reconciled"])
        .await
        .unwrap();
    afterword.wake_up().until_heard(LIMIT).await.unwrap();
}

#[tokio::test]
async fn entries_that_cannot_be_read_do_not_keep_the_list_from_being_written() {
    if !host_has_dials() {
        return;
    }
    let afterword = Setup::default().dials().no_webhooks().start().await;
    afterword.wait_for_hit("/articles/7").await;
    change(&afterword, 7, "Changed");
    let failing = json!({"faults": {"key-value.get": {"fail": true}}});
    afterword.set_worker_dials(failing).await;
    reconcile(&afterword).await;
    list_is_fresh(&afterword, "Changed").await;
    is_fresh(&afterword, 7, "Changed").await;
}

#[tokio::test]
async fn a_foreign_name_in_the_queue_is_removed_and_a_task_without_a_version_is_done_once() {
    let afterword = Setup::default().start().await;
    afterword.wait_for_hit("/articles/7").await;
    afterword.supabase().clear_requests();
    let added = [
        "ZADD",
        "{afterword}:v1:queue",
        "1",
        "/articles/7",
        "2",
        "not ours",
    ];
    let _: u64 = afterword.redis_command(&added).await.unwrap();
    afterword.wake_up().until_heard(LIMIT).await.unwrap();
    afterword.wait_until_drained().await.unwrap();
    assert_eq!(afterword.supabase().requests().len(), 1);
}

#[tokio::test]
async fn an_origin_that_flaps_is_sent_a_few_requests_however_many_keys_wait() {
    let afterword = Setup::default().no_webhooks().start().await;
    for first in [1, 101, 201] {
        let keys = (first..first + 100).map(|id| (id.to_string(), format!("/articles/{id}")));
        let due: Vec<String> = keys.flat_map(|(score, key)| [score, key]).collect();
        let mut add = vec!["ZADD", "{afterword}:v1:queue"];
        add.extend(due.iter().map(String::as_str));
        let _: u64 = afterword.redis_command(&add).await.unwrap();
    }
    // One article is always well, so that the origin is never failing throughout.
    let well = RestDial {
        matching: "id=eq.999".into(),
        ..RestDial::default()
    };
    let fails = RestDial {
        fault: Some(Fault::Status(503)),
        ..RestDial::default()
    };
    dial(&afterword, vec![well, fails]);
    afterword.supabase().clear_requests();
    for _ in 0..30 {
        webhook_about(&afterword, 999).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let requests = afterword.supabase().requests();
    let failed = requests.iter().filter(|it| it.status == Some(503)).count();
    // At first, the requests that were under way together; then a few in each five seconds.
    assert!(
        (2..=8 + 4 * 4).contains(&failed),
        "{failed} requests failed"
    );
}

#[tokio::test]
async fn a_refusal_that_passes_holds_nothing_up_and_is_not_called_stuck() {
    for (status, code) in [(401, "PGRST303"), (404, "PGRST205")] {
        let afterword = Setup::default().no_webhooks().start().await;
        afterword.wait_for_hit("/articles/7").await;
        change(&afterword, 7, "Changed");
        let passes = RestDial {
            times: Some(2),
            fault: refusal(status, code),
            ..RestDial::default()
        };
        dial(&afterword, vec![passes]);
        webhook_about(&afterword, 7).await;
        is_fresh(&afterword, 7, "Changed").await;
        let said = afterword.log();
        assert!(!said.contains("stuck"), "{said}");
        assert!(said.contains(code), "{said}");
    }
}

#[tokio::test]
async fn an_id_that_a_firewall_refuses_holds_up_no_other() {
    let mut afterword = Setup::default().no_webhooks().start().await;
    for id in [3, 4, 5] {
        afterword.wait_for_hit(&format!("/articles/{id}")).await;
        change(&afterword, id, &format!("Changed {id}"));
    }
    afterword.kill_workers().await;
    let refuses = |matching: &str| RestDial {
        matching: matching.into(),
        fault: Some(Fault::Status(403)),
        ..RestDial::default()
    };
    dial(&afterword, vec![refuses("%223%22"), refuses("id=eq.3")]);
    for id in [3, 4, 5] {
        webhook_about(&afterword, id).await;
    }
    afterword.start_worker().await.unwrap();
    afterword.wait_for_queue(&["/articles/3"]).await;
    for id in [4, 5] {
        is_fresh(&afterword, id, &format!("Changed {id}")).await;
    }
    dial(&afterword, Vec::new());
    is_fresh(&afterword, 3, "Changed 3").await;
}

#[tokio::test]
async fn a_row_whose_statement_fails_is_found_by_halving_and_holds_up_no_other() {
    let mut afterword = Setup::default().no_webhooks().start().await;
    for id in 1..=20 {
        change(&afterword, id, &format!("Changed {id}"));
    }
    afterword.kill_workers().await;
    let fails = |matching: &str| RestDial {
        matching: matching.into(),
        fault: refusal(500, "22012"),
        ..RestDial::default()
    };
    dial(&afterword, vec![fails("%2213%22"), fails("id=eq.13")]);
    for id in 1..=20 {
        webhook_about(&afterword, id).await;
    }
    afterword.supabase().clear_requests();
    afterword.start_worker().await.unwrap();
    afterword.wait_for_queue(&["/articles/13"]).await;
    let requests = afterword.supabase().requests();
    let failed = requests.iter().filter(|it| it.status == Some(500)).count();
    assert!((4..=12).contains(&failed), "{requests:?}");
    let rows = afterword.origin("?id=lte.20&id=neq.13&select=id").await;
    for row in rows.as_array().unwrap() {
        let id = &row["id"];
        let entry = stored::entry(&afterword, &format!("/articles/{id}"));
        let content = String::from_utf8_lossy(&entry.identity.content).into_owned();
        assert!(content.contains(&format!("Changed {id}")), "{content}");
    }
}

#[tokio::test]
async fn statements_that_time_out_for_key_after_key_are_the_origins_overload() {
    let mut afterword = Setup::default().no_webhooks().start().await;
    afterword.kill_workers().await;
    let overload = RestDial {
        fault: refusal(500, "57014"),
        ..RestDial::default()
    };
    dial(&afterword, vec![overload]);
    for id in 1..=25 {
        webhook_about(&afterword, id).await;
    }
    afterword.supabase().clear_requests();
    afterword.start_worker().await.unwrap();
    eventually(LIMIT, "the circuit breaker's opening", async || {
        let open: u64 = afterword
            .redis_command(&["EXISTS", "{afterword}:v1:breaker"])
            .await?;
        ensure!(open == 1, "it is closed");
        Ok(())
    })
    .await
    .unwrap();
    let requests = afterword.supabase().requests().len();
    assert!((16..=24).contains(&requests), "{requests} requests");
    dial(&afterword, Vec::new());
    afterword.wait_until_drained().await.unwrap();
}

/// A list that always fails in this way, on a site where nothing else is due.
async fn items_are_refreshed_without_a_list(fault: Option<Fault>) {
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
    dial(&afterword, vec![no_list]);
    change(&afterword, 7, "Changed");
    // Nobody reads it, and no webhook came.
    eventually(LIMIT * 2, "the item's refresh", async || {
        let entry = stored::entry(&afterword, "/articles/7");
        let content = String::from_utf8_lossy(&entry.identity.content).into_owned();
        ensure!(content.contains("Changed"), "{content}");
        Ok(())
    })
    .await
    .unwrap_or_else(|error| panic!("{error:#}"));
    let without = "refreshing every stored item, because there is no list";
    assert!(afterword.log().contains(without));
    dial(&afterword, Vec::new());
    list_is_fresh(&afterword, "Changed").await;
}

#[tokio::test]
async fn without_a_list_that_times_out_the_stored_items_are_refreshed_all_the_same() {
    items_are_refreshed_without_a_list(refusal(500, "57014")).await;
}

#[tokio::test]
async fn without_a_list_that_fails_as_an_outage_does_the_stored_items_are_refreshed_too() {
    items_are_refreshed_without_a_list(Some(Fault::Status(503))).await;
}

#[tokio::test]
async fn steady_writes_starve_neither_the_reconciliation_nor_the_sign_of_life() {
    let afterword = Setup::default()
        .variable("max_age", "3")
        .no_webhooks()
        .start()
        .await;
    afterword.wait_for_hit("/articles/7").await;
    // Slower than the changes that follow: the drain does not end while they go on.
    let slow = RestDial {
        delay_ms: 400,
        ..RestDial::default()
    };
    dial(&afterword, vec![slow]);
    webhook_about(&afterword, 1).await;
    let alive: String = afterword
        .redis_command(&["GET", "{afterword}:v1:alive"])
        .await
        .unwrap();
    change(&afterword, 7, "Changed");
    let writes = async {
        loop {
            webhook_about(&afterword, 1).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let healed = eventually(LIMIT, "what a lost webhook was about", async || {
        let entry = stored::entry(&afterword, "/articles/7");
        let content = String::from_utf8_lossy(&entry.identity.content).into_owned();
        ensure!(content.contains("Changed"), "{content}");
        let now: String = afterword
            .redis_command(&["GET", "{afterword}:v1:alive"])
            .await?;
        ensure!(now != alive, "no sign of life since {alive}");
        Ok(())
    });
    tokio::select! {
        healed = healed => healed.unwrap_or_else(|error| panic!("{error:#}")),
        () = writes => {}
    }
}

#[tokio::test]
async fn a_full_redis_is_worked_off_and_what_it_did_not_take_follows() {
    let afterword = Setup::default().no_webhooks().start().await;
    for id in [7, 8] {
        afterword.wait_for_hit(&format!("/articles/{id}")).await;
        change(&afterword, id, "Changed");
    }
    let full = async |bytes: &str| {
        let set = ["CONFIG", "SET", "maxmemory", bytes];
        afterword.redis_command::<()>(&set).await.unwrap();
    };
    // The worker waits until Redis is full.
    let slow = RestDial {
        delay_ms: 1_500,
        ..RestDial::default()
    };
    dial(&afterword, vec![slow]);
    webhook_about(&afterword, 7).await;
    afterword.wait_for_origin_request("id=eq.7").await;
    full("1").await;
    let answer = afterword
        .webhook(r#"{"type":"UPDATE","record":{"id":8}}"#)
        .await;
    assert_eq!(answer.json()["deferred"], "outbox", "{answer:?}");
    is_fresh(&afterword, 7, "Changed").await;
    afterword.wait_until_drained().await.unwrap();

    full("0").await;
    afterword.wake_up().until_heard(LIMIT).await.unwrap();
    is_fresh(&afterword, 8, "Changed").await;
}

#[tokio::test]
async fn a_reader_wakes_the_worker_after_redis_refused_writes_for_a_while() {
    let afterword = Setup::default().no_webhooks().start().await;
    afterword.wait_for_hit("/articles/7").await;
    change(&afterword, 7, "Changed");
    let refuse = async |replicas: &str| {
        let set = ["CONFIG", "SET", "min-replicas-to-write", replicas];
        afterword.redis_command::<()>(&set).await.unwrap();
    };
    // The alarm runs out while nothing can be written, so that no other follows it.
    let _: () = afterword
        .redis_command(&["SET", "{afterword}:v1:alarm", "1", "PX", "500"])
        .await
        .unwrap();
    refuse("1").await;
    webhook_about(&afterword, 7).await;
    eventually(LIMIT, "the alarm", async || {
        let left: i64 = afterword
            .redis_command(&["PTTL", "{afterword}:v1:alarm"])
            .await?;
        ensure!(left < 0, "{left} ms are left");
        Ok(())
    })
    .await
    .unwrap();
    // Longer than a worker that was woken meanwhile goes on trying.
    tokio::time::sleep(Duration::from_secs(25)).await;
    refuse("0").await;
    is_fresh(&afterword, 7, "Changed").await;
}

#[tokio::test]
async fn a_store_of_many_keys_is_listed_for_as_long_as_it_gives_keys() {
    if !host_has_dials() {
        return;
    }
    let afterword = Setup::default().dials().no_webhooks().start().await;
    for id in 1..=6 {
        afterword.wait_for_hit(&format!("/articles/{id}")).await;
    }
    change(&afterword, 6, "Changed");
    // Some eight keys, and more than ten seconds for all of them.
    let slow = json!({"faults": {"key-value.get-keys": {"each_ms": 1_600}}});
    afterword.set_worker_dials(slow).await;
    reconcile(&afterword).await;
    is_fresh(&afterword, 6, "Changed").await;
}

#[tokio::test]
async fn a_record_of_the_outbox_that_cannot_be_read_yet_is_not_deleted() {
    if !host_has_dials() {
        return;
    }
    let afterword = Setup::default().dials().no_webhooks().start().await;
    afterword.wait_for_hit("/articles/7").await;
    // The store lists the record, but does not have its value yet.
    let absent = json!({"faults": {"key-value.get": {"absent": true}}});
    afterword.set_worker_dials(absent).await;
    stored::insert(&afterword, "outbox/record", b"/articles/7\n");
    stored::insert(&afterword, "outbox", b"");
    reconcile(&afterword).await;
    afterword.wait_until_reconciled().await.unwrap();
    let kept = |key: &str| stored::keys(&afterword).iter().any(|it| it == key);
    assert!(kept("outbox/record"));

    change(&afterword, 7, "Changed");
    afterword.set_worker_dials(json!({})).await;
    afterword.wake_up().until_heard(LIMIT).await.unwrap();
    is_fresh(&afterword, 7, "Changed").await;
    afterword.wait_until_drained().await.unwrap();
    assert!(!kept("outbox/record") && !kept("outbox") && !kept("outbox-emptying"));
}

#[tokio::test]
async fn a_change_that_the_replicas_show_late_is_refreshed_once_more() {
    let afterword = Setup::default()
        .variable("replica_lag", "2")
        .no_webhooks()
        .start()
        .await;
    afterword.wait_for_hit("/articles/7").await;
    afterword.supabase().clear_requests();
    webhook_about(&afterword, 7).await;
    afterword.wait_for_origin_request("id=eq.7").await;
    // Only now does the origin show it.
    change(&afterword, 7, "Changed");
    eventually(LIMIT, "the second refresh", async || {
        let entry = stored::entry(&afterword, "/articles/7");
        let content = String::from_utf8_lossy(&entry.identity.content).into_owned();
        ensure!(content.contains("Changed"), "{content}");
        Ok(())
    })
    .await
    .unwrap_or_else(|error| panic!("{error:#}"));
    afterword.wait_until_drained().await.unwrap();
    let requests = afterword.supabase().requests();
    let items = requests.iter().filter(|it| it.query.contains("id=eq.7"));
    assert_eq!(items.count(), 2, "{requests:?}");
}

#[tokio::test]
async fn a_change_of_a_related_table_refreshes_what_the_list_does_not_vouch_for() {
    let afterword = Setup::default()
        .variable("list_query", "select=id,title&order=id.asc")
        .no_webhooks()
        .start()
        .await;
    for id in [7, 8] {
        afterword.wait_for_hit(&format!("/articles/{id}")).await;
    }
    let sql = "UPDATE articles SET body = 'Embedded' WHERE id = 7";
    afterword.supabase().execute(sql).unwrap();
    let related = ["ZADD", "{afterword}:v1:queue", "1", "related"];
    let _: u64 = afterword.redis_command(&related).await.unwrap();
    afterword.wake_up().until_heard(LIMIT).await.unwrap();
    is_fresh(&afterword, 7, "Embedded").await;
}

#[tokio::test]
async fn items_that_a_limited_list_does_not_show_cost_no_request_and_are_evicted_in_the_end() {
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
    eventually(LIMIT, "the eviction", async || {
        let keys = stored::keys(&afterword);
        ensure!(!keys.iter().any(|key| key == "/articles/9"), "{keys:?}");
        Ok(())
    })
    .await
    .unwrap_or_else(|error| panic!("{error:#}"));
    let requests = afterword.supabase().requests();
    let items: Vec<_> = requests
        .iter()
        .filter(|it| it.query.contains("id="))
        .collect();
    assert!(items.is_empty(), "{items:?}");
    let keys = stored::keys(&afterword);
    assert!(keys.iter().any(|key| key == "/articles/1"), "{keys:?}");
}
