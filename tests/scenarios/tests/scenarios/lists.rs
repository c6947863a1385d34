//! Lists: complete, however few rows the origin puts into a response.

use afterword_scenarios::{Afterword, Setup, redis_key, wait_until};
use afterword_supabase::{Fault, RestDial};
use anyhow::ensure;
use serde_json::Value;

/// An application with this many rows and no worker yet.
async fn with_rows(setup: Setup, count: usize) -> Afterword {
    let afterword = setup.no_articles().no_worker().start().await;
    if count > 0 {
        afterword.insert_articles(count);
    }
    afterword
}

/// Reads the list as a miss and as a hit. Both must be equal. Returns the ids.
async fn ids(mut afterword: Afterword) -> Vec<i64> {
    let miss = afterword.get("/articles").await;
    assert_eq!(miss.status, 200, "{miss:?}");
    afterword.start_worker().await.unwrap();
    let hit = afterword.wait_for_hit("/articles").await;
    assert_eq!(miss.body, hit.body);
    ids_of(&hit.json())
}

fn ids_of(list: &Value) -> Vec<i64> {
    let rows = list.as_array().unwrap().iter();
    rows.map(|row| row["id"].as_i64().unwrap()).collect()
}

/// Delays the responses to requests that contain `matching`.
fn slow(matching: &str, delay_ms: u64) -> RestDial {
    RestDial {
        matching: matching.into(),
        delay_ms,
        ..RestDial::default()
    }
}

#[tokio::test]
async fn a_list_of_2500_rows_is_complete_with_a_row_cap_of_1000_and_of_100() {
    for (cap, requests) in [(1_000, 3), (100, 25)] {
        let afterword = with_rows(Setup::default().row_cap(cap), 2_500).await;
        afterword.get("/articles").await;
        assert_eq!(afterword.count_origin_requests(), requests);
        assert_eq!(ids(afterword).await, (1..=2_500).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_list_in_another_order_is_complete() {
    let setup = Setup::default()
        .row_cap(100)
        .variable("list_query", "select=id&order=published.desc");
    assert_eq!(
        ids(with_rows(setup, 1_050).await).await,
        (1..=1_050).collect::<Vec<_>>(),
        "the id breaks the ties"
    );
}

#[tokio::test]
async fn the_limit_of_the_list_query_is_kept() {
    let setup = Setup::default()
        .row_cap(100)
        .variable("list_query", "order=id.desc&limit=250");
    assert_eq!(
        ids(with_rows(setup, 300).await).await,
        (51..=300).rev().collect::<Vec<_>>()
    );
}

/// SQL that inserts `count` rows. The first `with_body` of them have a body, the others NULL.
fn rows_with_bodies(count: usize, with_body: usize) -> String {
    let rows: Vec<String> = (1..=count)
        .map(|id| {
            if id <= with_body {
                format!("({id}, 'row-{id}', 'T', 'b{id:05}', true)")
            } else {
                format!("({id}, 'row-{id}', 'T', NULL, true)")
            }
        })
        .collect();
    let columns = "id, slug, title, body, published";
    format!(
        "INSERT INTO articles ({columns}) VALUES {}",
        rows.join(", ")
    )
}

#[tokio::test]
async fn rows_with_a_null_id_are_in_the_list_once_and_where_the_order_puts_them() {
    for order in [
        "body.asc",
        "body.desc",
        "body.asc.nullsfirst",
        "body.desc.nullslast",
    ] {
        for (with_body, nulls) in [(150, 70), (70, 150), (0, 130)] {
            let afterword = Setup::default()
                .no_articles()
                .no_worker()
                .row_cap(100)
                .variable("id_column", "body")
                .variable("list_query", format!("select=id,body&order={order}"))
                .start()
                .await;
            let rows = rows_with_bodies(with_body + nulls, with_body);
            afterword.execute(&rows);
            let list = afterword.get("/articles").await.json();
            let listed = list.as_array().unwrap().iter();
            let bodies: Vec<&Value> = listed.map(|row| &row["body"]).collect();
            let mut expected: Vec<Value> = (1..=with_body)
                .map(|id| format!("b{id:05}").into())
                .collect();
            if order.contains("desc") {
                expected.reverse();
            }
            let at = if matches!(order, "body.desc" | "body.asc.nullsfirst") {
                0
            } else {
                with_body
            };
            expected.splice(at..at, vec![Value::Null; nulls]);
            assert_eq!(bodies, expected.iter().collect::<Vec<_>>(), "{order}");
            let mut ids = ids_of(&list);
            ids.sort_unstable();
            assert_eq!(
                ids,
                (1..=(with_body + nulls) as i64).collect::<Vec<_>>(),
                "{order}"
            );
        }
    }
}

#[tokio::test]
async fn a_list_paged_by_offset_is_not_stored_while_webhooks_keep_coming() {
    let mut afterword = Setup::default()
        .no_articles()
        .no_worker()
        .no_webhooks()
        .row_cap(100)
        .variable("list_query", "select=title&order=id.asc")
        .start()
        .await;
    afterword.insert_articles(250);
    // A webhook arrives before the end of each fetch.
    afterword.set_origin_fault(slow("offset=200", 1_000));
    afterword.start_worker().await.unwrap();
    for fetch in 1..=3 {
        wait_until("waiting for the last page", async || {
            let requests = afterword.supabase().requests();
            let last_pages = requests
                .iter()
                .filter(|request| request.query.contains("offset=200"))
                .count();
            ensure!(last_pages >= fetch, "{last_pages} requests for it");
            Ok(())
        })
        .await;
        afterword.invalidate_list().await;
    }
    let changing = "the list changed each time while it was fetched";
    afterword.wait_for_worker_log(changing).await;
    let log = afterword.log();
    let before = log.split(changing).next().unwrap_or_default();
    assert!(!before.contains("updated cache: /articles\n"), "{log}");
}

#[tokio::test]
async fn a_list_with_a_limit_is_not_counted() {
    let setup = Setup::default().row_cap(100);
    let afterword = with_rows(setup.variable("list_query", "order=id.desc&limit=50"), 120).await;
    let counts = RestDial {
        prefer: "count=".into(),
        fault: Some(Fault::Status(503)),
        ..RestDial::default()
    };
    afterword.set_origin_fault(counts);
    let list = afterword.get("/articles").await;
    assert_eq!(list.json().as_array().map(Vec::len), Some(50), "{list:?}");
    assert_eq!(afterword.count_origin_requests(), 1);
}

#[tokio::test]
async fn a_list_whose_count_fails_is_fetched_without_a_count() {
    let fail_counts = |afterword: &Afterword, fault| {
        afterword.set_origin_faults(vec![RestDial {
            prefer: "count=exact".into(),
            fault: Some(fault),
            ..RestDial::default()
        }]);
    };
    for fault in [
        Fault::refusal(500, "57014"),
        Fault::refusal(500, "53400"),
        Fault::Status(504),
    ] {
        let afterword = with_rows(Setup::default().row_cap(100), 250).await;
        fail_counts(&afterword, fault);
        assert_eq!(ids(afterword).await, (1..=250).collect::<Vec<_>>());
    }
    let afterword = with_rows(Setup::default(), 250).await;
    fail_counts(&afterword, Fault::Status(503));
    assert_eq!(afterword.get("/articles").await.status, 503);
    let requests = afterword.count_origin_requests();
    assert_eq!(requests, 1, "an origin that asks for a pause gets it");
}

#[tokio::test]
async fn an_empty_table_is_an_empty_list() {
    assert_eq!(ids(with_rows(Setup::default(), 0).await).await, [0; 0]);
}

#[tokio::test]
async fn a_failed_page_leaves_the_stored_list_unchanged() {
    let mut afterword = with_rows(Setup::default().no_webhooks().row_cap(100), 250).await;
    afterword.start_worker().await.unwrap();
    let before = afterword.wait_for_hit("/articles").await;
    for fault in [Fault::Status(500), Fault::Html, Fault::Cut, Fault::Drop] {
        let last_page = RestDial {
            matching: "id=gt.200".into(),
            fault: Some(fault.clone()),
            ..RestDial::default()
        };
        afterword.execute("UPDATE articles SET title = title || '!'");
        afterword.set_origin_fault(last_page);
        afterword.supabase().clear_requests();
        afterword.invalidate_list().await;
        afterword.wait_for_failures(1).await;
        afterword.wait_for_origin_request("id=gt.200").await;
        assert_eq!(
            afterword.queue().await.unwrap(),
            ["/articles"],
            "{fault:?}: it stays queued"
        );
        assert_eq!(
            afterword.get("/articles").await.body,
            before.body,
            "{fault:?}"
        );
        // The next webhook must not meet a back-off or an open circuit breaker.
        let keys = [
            "queue", "failures", "versions", "lease", "breaker", "suspects",
        ];
        let keys = keys.map(redis_key);
        let mut delete = vec!["DEL"];
        delete.extend(keys.iter().map(String::as_str));
        afterword.redis_command::<u64>(&delete).await.unwrap();
    }
}

#[tokio::test]
async fn a_change_during_the_fetch_of_a_list_causes_another_fetch() {
    let mut afterword = with_rows(Setup::default().row_cap(100), 250).await;
    afterword.start_worker().await.unwrap();
    afterword.wait_until_reconciled().await.unwrap();
    let writes = |afterword: &Afterword| {
        let log = afterword.log();
        log.lines()
            .filter(|line| line.ends_with("updated cache: /articles"))
            .count()
    };
    let before = writes(&afterword);
    // The delayed response has the rows from before the change below.
    afterword.set_origin_fault(slow("id=gt.200", 1_500));
    afterword.supabase().clear_requests();
    afterword.invalidate_list().await;
    afterword.wait_for_origin_request("id=gt.200").await;
    afterword.update_title(1, "Changed meanwhile").await;
    afterword.heal_origin();
    wait_until("waiting for the list", async || {
        ensure!(writes(&afterword) > before, "it is not stored");
        Ok(())
    })
    .await;
    // The list from before the change is not stored, so the first one that is stored has it.
    let list = afterword.get("/articles").await.json();
    assert_eq!(list.as_array().map(Vec::len), Some(250));
    assert_eq!(list[0]["title"], Value::from("Changed meanwhile"));
}

#[tokio::test]
async fn an_item_is_refreshed_while_a_long_list_is_fetched() {
    let mut afterword = with_rows(Setup::default().row_cap(100), 250).await;
    afterword.start_worker().await.unwrap();
    afterword.wait_until_reconciled().await.unwrap();
    afterword.wait_for_hit("/articles/7").await;
    afterword.set_origin_fault(slow("id=gt.200", 10_000));
    afterword.supabase().clear_requests();
    afterword.invalidate_list().await;
    afterword.wait_for_origin_request("id=gt.200").await;
    afterword.update_title(7, "Changed meanwhile").await;
    wait_until("refreshing the item", async || {
        let item = afterword.get("/articles/7").await.json();
        ensure!(item["title"] == "Changed meanwhile", "it is the old row");
        Ok(())
    })
    .await;
    assert!(
        afterword
            .queue()
            .await
            .unwrap()
            .contains(&"/articles".to_owned()),
        "the list is still being fetched"
    );
}
