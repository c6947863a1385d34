//! Limits of the host: the size of a value, keys in the store, writes a second, HTTP requests an
//! hour.

use std::time::{Duration, Instant};

use afterword_scenarios::{Afterword, Setup, host_has_dials, redis_key, wait_at_most, wait_until};
use reqwest::Method;
use serde_json::json;

use crate::store_file;

async fn change_body(afterword: &Afterword, id: u32, body: &str) {
    let query = format!("?id=eq.{id}");
    let row = json!({ "body": body });
    afterword.change(Method::PATCH, &query, row).await;
}

#[tokio::test]
async fn an_item_that_is_too_large_to_store_is_read_from_the_origin_and_logged_once() {
    let setup = Setup::default().variable("max_value_bytes", "4000");
    let setup = setup.variable("list_query", "select=id,title&order=id.asc");
    let afterword = setup.start().await;
    afterword.wait_for_hit("/articles/7").await;
    let long = "long ".repeat(1_000);
    change_body(&afterword, 7, &long).await;
    afterword.wait_until_drained().await.unwrap();
    for _ in 0..2 {
        afterword.supabase().clear_requests();
        let response = afterword.get("/articles/7").await;
        assert_eq!(response.json()["body"], long.as_str());
        assert_eq!(
            response.cache_status(),
            "afterword; fwd=bypass; fwd-status=200; detail=too-large"
        );
        // An instance shares what it fetched for a second.
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        let requests = afterword.supabase().requests().len();
        assert_eq!(requests, 1, "no refresh is requested");
    }
    change_body(&afterword, 7, &format!("{long}, changed")).await;
    afterword.wait_until_drained().await.unwrap();
    let logged = "/articles/7 is read from the origin each time, because its";
    assert_eq!(afterword.count_in_log(logged), 1);

    change_body(&afterword, 7, "Short").await;
    let hit = afterword.wait_for_hit("/articles/7").await;
    assert_eq!(hit.json()["body"], "Short");
    afterword.execute("DELETE FROM articles WHERE id = 7");
    afterword.invalidate(7).await;
    afterword.wait_until_drained().await.unwrap();
    assert_eq!(afterword.get("/articles/7").await.status, 404);
}

#[tokio::test]
async fn a_list_that_is_too_large_for_a_value_is_stored_in_chunks() {
    let setup = Setup::default().variable("max_value_bytes", "2000");
    let afterword = setup.start().await;
    let hit = afterword.wait_for_hit("/articles").await;
    assert_eq!(hit.json(), afterword.origin_list().await);
    let page = afterword.get("/articles?limit=2&offset=3").await;
    assert!(page.cache_status().contains("hit"), "{page:?}");
    assert_eq!(page.json()[0], hit.json()[3]);
}

#[tokio::test]
async fn a_list_whose_directory_is_too_large_to_store_is_read_from_the_origin() {
    let setup = Setup::default().variable("max_value_bytes", "600");
    let afterword = setup.start().await;
    afterword.invalidate_list().await;
    afterword.wait_until_drained().await.unwrap();
    let response = afterword.get("/articles").await;
    assert_eq!(response.json(), afterword.origin_list().await);
    assert!(
        response.cache_status().ends_with("detail=too-large"),
        "{response:?}"
    );
    afterword.wait_for_hit("/articles/7").await;
}

#[tokio::test]
async fn codings_that_do_not_fit_are_left_out() {
    let plain = Setup::default().start().await;
    let list = plain.wait_for_hit("/articles").await;
    // The header of an entry has 150 bytes.
    let limit = (list.body.len() + 160).to_string();
    let afterword = Setup::default()
        .variable("max_value_bytes", &limit)
        .start()
        .await;
    let headers = [("accept-encoding", "br, gzip")];
    for (afterword, coded) in [(&plain, true), (&afterword, false)] {
        afterword.wait_for_hit("/articles").await;
        let response = afterword
            .send(reqwest::Method::GET, "/articles", &headers, "")
            .await;
        assert!(response.cache_status().contains("hit"), "{response:?}");
        let coding = response.headers.get("content-encoding");
        assert_eq!(coding.is_some(), coded, "{response:?}");
    }
}

/// The application with two items, whose store is full.
async fn with_a_full_store() -> Afterword {
    // `application`, the list and two items.
    let setup = Setup::default().variable("max_keys", "4");
    let afterword = setup.no_webhooks().start().await;
    for path in ["/articles/1", "/articles/2"] {
        afterword.wait_for_hit(path).await;
    }
    afterword.wait_until_drained().await.unwrap();
    afterword
}

#[tokio::test]
async fn what_a_full_store_lacks_is_read_from_the_origin_at_one_request_each() {
    let afterword = with_a_full_store().await;
    afterword.supabase().clear_requests();
    for _ in 0..3 {
        let response = afterword.get("/articles/3").await;
        assert_eq!(response.status, 200);
        assert_eq!(
            response.cache_status(),
            "afterword; fwd=uri-miss; fwd-status=200"
        );
        afterword.wait_until_drained().await.unwrap();
        tokio::time::sleep(Duration::from_millis(600)).await;
    }
    assert_eq!(afterword.count_origin_requests_with("id=eq.3"), 3);
    // The next drain finds the store full by a listing.
    afterword.invalidate(3).await;
    afterword.wait_until_drained().await.unwrap();
    assert_eq!(afterword.count_origin_requests_with("id=eq.3"), 3);
    assert_eq!(afterword.logged_about("store-full").len(), 1);
    let store = &afterword.status().await["parts"]["store"];
    assert!(
        store["detail"].as_str().unwrap().contains("max_keys"),
        "{store}"
    );
    assert_eq!(store_file::keys(&afterword).len(), 4);
}

#[tokio::test]
async fn a_full_store_is_kept_up_to_date_and_a_deleted_row_makes_room() {
    let afterword = with_a_full_store().await;
    afterword.update_title_with_sql(1, "Changed");
    afterword.invalidate(1).await;
    afterword.wait_until_drained().await.unwrap();
    afterword.assert_hit_has_title(1, "Changed").await;
    afterword.assert_list_hit_equals_origin().await;
    assert_eq!(afterword.get("/articles/3").await.status, 200);

    afterword.execute("DELETE FROM articles WHERE id = 2");
    afterword.invalidate(2).await;
    afterword.wait_until_drained().await.unwrap();
    afterword.wait_for_hit("/articles/3").await;
    assert_eq!(afterword.get("/articles/2").await.status, 404);
    assert_eq!(store_file::keys(&afterword).len(), 4);
}

#[tokio::test]
async fn a_row_whose_key_is_too_long_for_the_store_is_read_from_the_origin() {
    // Fermyon Cloud, whose keys are limited, takes 255 bytes.
    let setup = Setup::default().variable("max_keys", "100").no_articles();
    let afterword = setup.variable("id_column", "slug").start().await;
    let long = "ü".repeat(60);
    let path = format!("/articles/{}", "%C3%BC".repeat(60));
    let row = |slug: &str| json!({"slug": slug, "title": "Old", "published": true});
    afterword.replace_articles(&[row(&long), row("short")]);
    afterword.wait_for_hit("/articles/short").await;
    assert_eq!(afterword.get(&path).await.json()["title"], "Old");
    afterword.wait_until_drained().await.unwrap();
    let row = json!({"title": "New"});
    afterword.change(Method::PATCH, "?id=gt.0", row).await;
    afterword.wait_until_drained().await.unwrap();
    let response = afterword.get(&path).await;
    assert_eq!(response.json()["title"], "New");
    assert!(response.cache_status().contains("fwd="), "{response:?}");
    afterword
        .change(Method::DELETE, "?id=gt.0", json!(null))
        .await;
    afterword.wait_until_drained().await.unwrap();
    assert_eq!(afterword.get(&path).await.status, 404);
    let keys = store_file::keys(&afterword);
    assert!(keys.iter().all(|key| key.len() <= 255), "{keys:?}");
}

#[tokio::test]
async fn the_chunks_of_a_list_take_the_room_of_items() {
    let setup = Setup::default().variable("max_value_bytes", "4000");
    let mut afterword = setup.no_webhooks().start().await;
    let ids = 1..=25;
    for id in ids.clone() {
        afterword.wait_for_hit(&format!("/articles/{id}")).await;
    }
    afterword.wait_until_drained().await.unwrap();
    let keys = store_file::keys(&afterword).len();
    let max_keys = keys.to_string();
    let variables = [("max_keys", max_keys.as_str())];
    afterword.reconfigure(&variables).await.unwrap();
    afterword.start_worker().await.unwrap();
    for id in [3, 9, 15] {
        afterword.update_title_with_sql(id, "Changed");
        afterword.invalidate(id).await;
        afterword.wait_until_drained().await.unwrap();
        afterword.assert_list_hit_equals_origin().await;
    }
    assert_eq!(store_file::keys(&afterword).len(), keys);
    let items = store_file::keys(&afterword);
    let items = items.iter().filter(|key| key.starts_with("/articles/"));
    let evicted = 25 - items.count();
    assert!((3..12).contains(&evicted), "{evicted}");
    afterword.assert_responses_equal_origin(ids).await;
}

#[tokio::test]
async fn a_list_with_too_many_chunks_for_the_store_is_read_from_the_origin() {
    let setup = Setup::default().variable("max_value_bytes", "2000");
    let afterword = setup.variable("max_keys", "10").start().await;
    let response = afterword.get("/articles").await;
    assert_eq!(response.json(), afterword.origin_list().await);
    assert!(
        response.cache_status().ends_with("detail=too-large"),
        "{response:?}"
    );
    afterword.update_title(7, "Changed").await;
    afterword.wait_until_drained().await.unwrap();
    // An instance shares what it fetched for a second.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let response = afterword.get("/articles").await;
    assert_eq!(response.json(), afterword.origin_list().await);
    assert_eq!(afterword.logged_about("entry-too-large").len(), 1);
    // The store is full of items. They are left alone, because no chunk will ever be read.
    for id in 1..=8 {
        afterword.wait_for_hit(&format!("/articles/{id}")).await;
    }
    let keys = store_file::keys(&afterword);
    assert_eq!(keys.len(), 10);
    for id in [2, 3] {
        afterword.update_title(id, "Changed").await;
        afterword.wait_until_drained().await.unwrap();
        assert_eq!(store_file::keys(&afterword), keys);
    }
    // A list for which there is room takes it.
    afterword.execute("DELETE FROM articles WHERE id > 4");
    afterword.invalidate_list().await;
    afterword.wait_until_drained().await.unwrap();
    afterword.assert_list_hit_equals_origin().await;
    assert!(store_file::keys(&afterword).len() <= 10);
}

#[tokio::test]
async fn a_list_without_room_beside_its_former_chunks_stays_as_it_was() {
    let setup = Setup::default().variable("max_value_bytes", "2000");
    let setup = setup.no_articles().no_webhooks();
    let afterword = setup.variable("max_keys", "20").start().await;
    afterword.insert_articles(16);
    let rename = |title: &str| afterword.execute(&format!("UPDATE articles SET title = '{title}'"));
    rename("First.");
    afterword.invalidate_list().await;
    afterword.wait_until_drained().await.unwrap();
    let stored = afterword.wait_for_hit("/articles").await;
    let chunks = |keys: &[String]| keys.iter().filter(|key| key.contains("chunks/")).count();
    let former = chunks(&store_file::keys(&afterword));
    assert!(
        (7..=9).contains(&former),
        "{:?}",
        store_file::keys(&afterword)
    );
    // The chunks of three versions of the list do not fit.
    for title in ["Second", "Third."] {
        rename(title);
        afterword.invalidate_list().await;
        tokio::time::sleep(Duration::from_millis(700)).await;
    }
    afterword.wait_for_failures(1).await;
    let kept = afterword.get("/articles").await;
    assert!(kept.cache_status().contains("hit"), "{kept:?}");
    assert_ne!(kept.body, stored.body, "the second version is stored");
    assert_eq!(afterword.logged_about("entry-too-large").len(), 0);
    assert!(store_file::keys(&afterword).len() <= 20);
}

#[tokio::test]
async fn the_outbox_of_a_store_that_takes_no_more_keys_is_emptied() {
    if !host_has_dials() {
        return;
    }
    let afterword = Setup::default().dials().no_webhooks().start().await;
    afterword.wait_for_hit("/articles/7").await;
    store_file::insert(&afterword, "outbox/record", b"/articles/7\n");
    store_file::insert(&afterword, "outbox", b"");
    afterword.update_title_with_sql(7, "Changed");
    let full = json!({"key-value.set": {"fail": true}});
    afterword.set_worker_faults(full).await;
    afterword.wake_worker().await;
    afterword.wait_for_failures(1).await;
    let exists = |name: &str| store_file::keys(&afterword).iter().any(|key| key == name);
    assert!(!exists("outbox/record") && exists("outbox"));

    afterword.set_worker_faults(json!({})).await;
    afterword.wait_until_drained().await.unwrap();
    afterword.assert_hit_has_title(7, "Changed").await;
    afterword.wake_worker().await;
    wait_until("the outbox is empty", async || {
        anyhow::ensure!(!exists("outbox") && !exists("outbox-emptying"));
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn writes_are_spaced() {
    const KEYS: u32 = 11;
    let setup = Setup::default().variable("max_writes_per_second", "5");
    let afterword = setup.no_webhooks().start().await;
    let began = Instant::now();
    let ids: Vec<u32> = (1..=KEYS).collect();
    let body = json!({"type": "UPDATE", "ids": ids});
    assert_eq!(afterword.webhook(body.to_string()).await.status, 202);
    afterword.wait_until_drained().await.unwrap();
    // The list and the items: eleven intervals of 200 ms between twelve writes.
    let least = Duration::from_millis(200) * KEYS;
    assert!(began.elapsed() >= least, "{:?}", began.elapsed());
    for id in ids {
        afterword.wait_for_hit(&format!("/articles/{id}")).await;
    }
}

#[tokio::test]
async fn the_worker_stops_at_the_limit_of_requests_and_readers_are_still_served() {
    let setup = Setup::default().variable("max_requests_per_hour", "5");
    let afterword = setup.no_webhooks().start().await;
    for id in 1..=8 {
        afterword.invalidate(id).await;
        tokio::time::sleep(Duration::from_millis(700)).await;
    }
    afterword.supabase().clear_requests();
    afterword.invalidate(20).await;
    let log = "`max_requests_per_hour` is used up: the queue waits for ";
    // While the worker may send nothing, only the alarm wakes it, after a minute.
    let limit = Duration::from_secs(180);
    wait_at_most(limit, "waiting for the log", async || {
        anyhow::ensure!(afterword.count_in_log(log) > 0, "{}", afterword.log());
        Ok(())
    })
    .await;
    assert!(
        afterword
            .queue()
            .await
            .unwrap()
            .contains(&"/articles/20".to_owned())
    );
    assert_eq!(afterword.supabase().requests(), []);
    assert_eq!(afterword.get("/articles/21").await.status, 200);

    // The hour ends.
    let delete = ["DEL", &redis_key("requests")];
    afterword.redis_command::<u64>(&delete).await.unwrap();
    afterword.wait_for_hit("/articles/20").await;
}

#[tokio::test]
async fn a_stale_entry_is_served_without_a_complaint_while_the_requests_are_used_up() {
    const LIMIT: &str = "100000";
    let setup = Setup::default().variable("max_requests_per_hour", LIMIT);
    let afterword = setup.no_webhooks().start().await;
    afterword.wait_for_hit("/articles/7").await;
    afterword.wait_until_drained().await.unwrap();
    let used_up = ["HSET", &redis_key("requests"), "count", LIMIT];
    afterword.redis_command::<u64>(&used_up).await.unwrap();
    store_file::make_old(&afterword, "/articles/7", Duration::from_secs(400));
    let response = afterword.get("/articles/7").await;
    assert!(response.cache_status().contains("hit"), "{response:?}");
    afterword.wait_for_queue(&["/articles/7"]).await;
    // The reader would look again after five seconds.
    tokio::time::sleep(Duration::from_secs(7)).await;
    assert_eq!(afterword.logged_about("entry-stays-stale"), []);
}
