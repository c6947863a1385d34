//! Long lists: in chunks, read whole and in parts, and refreshed chunk by chunk.

use std::time::Duration;

use afterword_scenarios::{Afterword, Response, Setup, host_has_dials, wait_at_most, wait_until};
use anyhow::ensure;
use serde_json::{Value, json};

/// The number of rows of most of these lists.
const ROWS: i64 = 2_000;

/// An application whose list has this many rows, stored in chunks.
async fn with_rows(setup: Setup, rows: i64) -> Afterword {
    let afterword = setup.no_articles().no_webhooks().start().await;
    let rows: Vec<Value> = (1..=rows).map(row).collect();
    afterword.replace_articles(&rows);
    afterword.invalidate_list().await;
    afterword.wait_until_drained().await.unwrap();
    afterword.wait_for_hit("/articles").await;
    afterword.supabase().clear_requests();
    afterword
}

fn row(id: i64) -> Value {
    let body = format!("Article {id} is about caches. ").repeat(10);
    json!({"id": id, "slug": format!("s-{id}"), "title": "T", "body": body, "published": true})
}

fn ids(response: &Response) -> Vec<i64> {
    let list = response.json();
    let rows = list.as_array().expect("a list").iter();
    rows.map(|row| row["id"].as_i64().unwrap()).collect()
}

/// Changes a row, reports it, and waits for the refresh.
async fn change(afterword: &Afterword, id: i64, sql: &str) {
    afterword.supabase().clear_requests();
    afterword.execute(sql);
    afterword.invalidate(id as u64).await;
    afterword.wait_until_drained().await.unwrap();
}

/// The requests for the list, without those for items.
fn list_requests(afterword: &Afterword) -> Vec<String> {
    let requests = afterword.supabase().requests();
    let queries = requests.into_iter().map(|request| request.query);
    queries.filter(|query| query.contains("order=")).collect()
}

/// The articles of the origin in this order, which returns a thousand at a time.
async fn origin_list(afterword: &Afterword, order: &str) -> Value {
    let mut rows = Vec::new();
    loop {
        let page = format!("?order={order}&offset={}", rows.len());
        match afterword.origin(&page).await {
            Value::Array(page) if !page.is_empty() => rows.extend(page),
            _ => return Value::Array(rows),
        }
    }
}

/// The rows that the origin has sent for the list.
fn rows_sent(afterword: &Afterword) -> u64 {
    let requests = afterword.supabase().requests();
    let of_list = requests
        .iter()
        .filter(|request| request.query.contains("order="));
    of_list.map(|request| request.rows).sum()
}

/// The list equals the origin's, whole and in gzip.
async fn assert_is_the_origins(afterword: &Afterword) {
    assert_is_the_origins_by(afterword, "id.asc").await;
}

/// The same in another order.
async fn assert_is_the_origins_by(afterword: &Afterword, order: &str) {
    let list = afterword.get("/articles").await;
    assert!(
        list.cache_status().contains("hit"),
        "{}",
        list.cache_status()
    );
    assert!(list.json() == origin_list(afterword, order).await);
    let gzip = [("accept-encoding", "gzip")];
    let coded = afterword.get_with("/articles", &gzip).await;
    assert_eq!(coded.header("content-encoding"), "gzip");
    let mut decoded = String::new();
    let mut decoder = flate2::bufread::GzDecoder::new(&coded.bytes[..]);
    std::io::Read::read_to_string(&mut decoder, &mut decoded).unwrap();
    assert!(decoder.into_inner().is_empty(), "one gzip member");
    assert!(decoded == list.body);
}

#[tokio::test]
async fn a_long_list_is_read_whole_in_gzip_and_conditionally() {
    let afterword = with_rows(Setup::default(), ROWS).await;
    assert_is_the_origins(&afterword).await;
    afterword.supabase().clear_requests();
    // The list has changed twice in a second, so its time may be ahead of the clock.
    wait_until("waiting for Last-Modified", async || {
        let list = afterword.get("/articles").await;
        ensure!(list.has("last-modified"), "it is missing");
        Ok(())
    })
    .await;
    let list = afterword.get("/articles").await;
    assert_eq!(list.header("content-length"), list.bytes.len().to_string());
    let tag = list.header("etag");
    let gzip = [("accept-encoding", "gzip")];
    let gzip_tag = afterword.get_with("/articles", &gzip).await;
    assert_ne!(gzip_tag.header("etag"), tag);
    for headers in [
        vec![("if-none-match", tag)],
        vec![("if-modified-since", list.header("last-modified"))],
        vec![("if-none-match", gzip_tag.header("etag")), gzip[0]],
    ] {
        let unchanged = afterword.get_with("/articles", &headers).await;
        assert_eq!(unchanged.status, 304, "{headers:?}");
    }
    let head = afterword
        .send(reqwest::Method::HEAD, "/articles", &[], "")
        .await;
    assert_eq!(head.status, 200);
    assert_eq!(head.header("content-length"), list.header("content-length"));
    assert_eq!(head.bytes.len(), 0);
    afterword.assert_no_origin_request();
}

#[tokio::test]
async fn a_part_of_the_list_is_read_by_limit_and_offset() {
    let afterword = with_rows(Setup::default(), ROWS).await;
    for (query, first, count) in [
        ("limit=20", 1, 20),
        ("limit=20&offset=40", 41, 20),
        ("offset=1990", 1_991, 10),
        ("limit=700&offset=100", 101, 700),
        ("limit=5000", 1, ROWS),
    ] {
        let page = afterword.get(&format!("/articles?{query}")).await;
        assert_eq!(page.status, 200, "{query}");
        let expected: Vec<i64> = (first..first + count).collect();
        assert_eq!(ids(&page), expected, "{query}");
        let range = format!("{}-{}/*", first - 1, first + count - 2);
        assert_eq!(page.header("content-range"), range, "{query}");
        assert_eq!(page.header("content-length"), page.bytes.len().to_string());
        assert_eq!(page.header("vary"), "Accept-Encoding, Prefer");
        let tag = [("if-none-match", page.header("etag"))];
        let unchanged = afterword
            .get_with(&format!("/articles?{query}"), &tag)
            .await;
        assert_eq!(unchanged.status, 304, "{query}");
    }
    for query in ["limit=0", "offset=2000", "offset=5000&limit=1"] {
        let page = afterword.get(&format!("/articles?{query}")).await;
        assert_eq!((page.status, &*page.body), (200, "[]"), "{query}");
        assert_eq!(page.header("content-range"), "*/*", "{query}");
    }
    let page = afterword.get("/articles?limit=20&offset=40").await;
    assert_eq!(
        page.header("link"),
        "</articles?limit=20>; rel=\"first\", </articles?limit=20&offset=20>; rel=\"prev\", \
         </articles?limit=20&offset=60>; rel=\"next\""
    );
    let last = afterword.get("/articles?limit=20&offset=1980").await;
    assert!(!last.header("link").contains("next"));
    afterword.assert_no_origin_request();
}

#[tokio::test]
async fn a_count_is_sent_to_clients_that_prefer_it_as_postgrest_does() {
    let afterword = with_rows(Setup::default(), 900).await;
    let prefer = [("prefer", "count=exact")];
    for (query, status, range) in [
        ("limit=20&offset=40", 206, "40-59/900"),
        ("limit=5000", 200, "0-899/900"),
        ("offset=900", 206, "*/900"),
        ("offset=901", 416, "*/900"),
    ] {
        let path = format!("/articles?{query}");
        let page = afterword.get_with(&path, &prefer).await;
        assert_eq!(page.status, status, "{query}");
        assert_eq!(page.header("content-range"), range, "{query}");
        let origin = afterword.origin_with(&format!("?{query}"), &prefer).await;
        assert_eq!(origin.status, status, "{query}");
        assert_eq!(origin.header("content-range"), range, "{query}");
    }
}

#[tokio::test]
async fn a_short_list_and_a_missing_one_are_read_in_parts_too() {
    let mut afterword = Setup::default().no_worker().start().await;
    let missed = afterword.get("/articles?limit=2&offset=3").await;
    assert_eq!(ids(&missed), [4, 5]);
    assert_eq!(missed.header("content-range"), "3-4/*");
    let queries = list_requests(&afterword);
    assert!(queries[0].ends_with("offset=3&limit=2"), "{queries:?}");
    afterword.start_worker().await.unwrap();
    let hit = afterword.wait_for_hit("/articles?limit=2&offset=3").await;
    assert_eq!(hit.body, missed.body);
    assert_eq!(hit.header("content-range"), "3-4/*");
    let tag = [("if-none-match", hit.header("etag"))];
    let again = afterword.get_with("/articles?limit=2&offset=3", &tag).await;
    assert_eq!(again.status, 304);
}

#[tokio::test]
async fn any_other_query_is_refused() {
    let afterword = Setup::default().start().await;
    for path in [
        "/articles?id=eq.3",
        "/articles?limit=-1",
        "/articles?limit=1&limit=2",
        "/articles?select=id",
        "/articles/7?limit=1",
        "/articles/7?x=1",
    ] {
        let refused = afterword.get(path).await;
        assert_eq!(refused.status, 400, "{path}");
        let name = "urn:problem-type:afterword:unsupported-query";
        assert_eq!(refused.json()["type"], name, "{path}");
    }
}

#[tokio::test]
async fn a_changed_row_costs_its_chunk() {
    let afterword = with_rows(Setup::default(), ROWS).await;
    change(
        &afterword,
        1_000,
        "UPDATE articles SET title = 'New' WHERE id = 1000",
    )
    .await;
    let queries = list_requests(&afterword);
    assert_eq!(queries.len(), 1, "{queries:?}");
    assert!(queries[0].contains("id=gte.") && queries[0].contains("id=lt."));
    let rows = rows_sent(&afterword);
    assert!(rows <= 501, "{rows} rows");
    assert_is_the_origins(&afterword).await;
}

#[tokio::test]
async fn rows_that_come_and_go_are_at_their_places() {
    let afterword = with_rows(Setup::default(), 1_000).await;
    afterword.execute("DELETE FROM articles WHERE id BETWEEN 401 AND 500");
    afterword.invalidate_list().await;
    afterword.wait_until_drained().await.unwrap();
    for (id, sql) in [
        (
            450,
            "INSERT INTO articles (id, slug, title, published) VALUES (450, 'n', 'N', true)",
        ),
        (
            -5,
            "INSERT INTO articles (id, slug, title, published) VALUES (-5, 'm', 'N', true)",
        ),
        (
            9_000,
            "INSERT INTO articles (id, slug, title, published) VALUES (9000, 'o', 'N', true)",
        ),
        (1, "DELETE FROM articles WHERE id = 1"),
        (1_000, "DELETE FROM articles WHERE id = 1000"),
        (9_000, "DELETE FROM articles WHERE id = 9000"),
    ] {
        afterword.supabase().clear_requests();
        afterword.execute(sql);
        let body = json!({"type": "UPDATE", "ids": [id]}).to_string();
        assert_eq!(afterword.webhook(body).await.status, 202);
        afterword.wait_until_drained().await.unwrap();
        let queries = list_requests(&afterword);
        assert_eq!(queries.len(), 1, "{sql}: {queries:?}");
        assert_is_the_origins(&afterword).await;
    }
    // The id changes: both places are fetched.
    afterword.execute("UPDATE articles SET id = 5000 WHERE id = 20");
    let body = json!({"type": "UPDATE", "record": {"id": 5000}, "old_record": {"id": 20}});
    afterword.webhook(body.to_string()).await;
    afterword.wait_until_drained().await.unwrap();
    assert_is_the_origins(&afterword).await;
}

#[tokio::test]
async fn a_range_that_became_empty_and_one_that_has_grown_are_stored() {
    let afterword = with_rows(Setup::default(), ROWS).await;
    let ids: Vec<i64> = (500..1_400).collect();
    afterword.execute("DELETE FROM articles WHERE id BETWEEN 500 AND 1399");
    let body = json!({"type": "DELETE", "ids": ids}).to_string();
    afterword.webhook(body).await;
    afterword.wait_until_drained().await.unwrap();
    assert_is_the_origins(&afterword).await;
    for (id, count) in [(600, 300), (900, 400)] {
        let rows: Vec<i64> = (id..id + count).collect();
        let values = rows.iter().map(|id| format!("({id}, 'x-{id}', 'T', true)"));
        let values = values.collect::<Vec<_>>().join(", ");
        let sql = format!("INSERT INTO articles (id, slug, title, published) VALUES {values}");
        afterword.execute(&sql);
        let body = json!({"type": "INSERT", "ids": rows}).to_string();
        afterword.webhook(body).await;
        afterword.wait_until_drained().await.unwrap();
        assert_is_the_origins(&afterword).await;
    }
}

#[tokio::test]
async fn a_row_cap_below_the_rows_of_a_chunk_costs_more_requests_only() {
    let afterword = with_rows(Setup::default().row_cap(60), 1_000).await;
    change(
        &afterword,
        500,
        "UPDATE articles SET title = 'New' WHERE id = 500",
    )
    .await;
    assert!(list_requests(&afterword).len() > 1);
    assert_is_the_origins(&afterword).await;
}

#[tokio::test]
async fn a_list_in_another_order_is_fetched_whole_and_says_so_once() {
    let setup = Setup::default().variable("list_query", "select=*&order=title.asc,id.asc");
    let afterword = with_rows(setup, 1_000).await;
    for title in ["A", "Z"] {
        let sql = format!("UPDATE articles SET title = '{title}' WHERE id = 500");
        change(&afterword, 500, &sql).await;
        let queries = list_requests(&afterword);
        assert!(!queries[0].contains("id="), "{queries:?}");
        let list = afterword.get("/articles").await.json();
        let at = if title == "A" { 0 } else { 999 };
        assert_eq!(list[at]["id"], 500);
        assert_eq!(list.as_array().map(Vec::len), Some(1_000));
    }
    assert_eq!(
        afterword.count_in_log("each change fetches the whole list"),
        1
    );
}

#[tokio::test]
async fn text_ids_and_unselected_ids_are_fetched_whole() {
    for (id_column, list_query) in [
        ("slug", "select=id,slug,body&order=slug.asc"),
        ("id", "select=title,body&order=id.asc"),
    ] {
        let setup = Setup::default()
            .variable("id_column", id_column)
            .variable("list_query", list_query);
        let afterword = with_rows(setup, 1_000).await;
        afterword.execute("UPDATE articles SET body = 'New' WHERE id = 500");
        let record = json!({"id": 500, "slug": "s-500"});
        let body = json!({"type": "UPDATE", "record": record});
        afterword.webhook(body.to_string()).await;
        afterword.wait_until_drained().await.unwrap();
        let list = afterword.get("/articles").await;
        assert!(list.cache_status().contains("hit"));
        let query = format!("?{list_query}");
        assert!(list.json() == afterword.origin(&query).await, "{id_column}");
    }
}

#[tokio::test]
async fn rows_without_an_id_stay_in_the_list_when_the_places_of_others_change() {
    const ORDERS: [&str; 3] = ["body.asc", "body.desc", "body.asc.nullsfirst"];
    for order in ORDERS {
        let uuid = |id: i64| format!("{id:08x}-0000-4000-8000-000000000000");
        let list_query = format!("select=*&order={order}");
        let setup = Setup::default()
            .variable("id_column", "body")
            .variable("list_query", &list_query);
        let afterword = setup.no_articles().no_webhooks().start().await;
        let rows = (1..=1_500_i64).map(|id| {
            let body = (id <= 1_200).then(|| uuid(id));
            let title = "Long ".repeat(40);
            json!({"id": id, "slug": format!("s-{id}"), "title": title, "body": body, "published": true})
        });
        afterword.replace_articles(&rows.collect::<Vec<_>>());
        afterword.invalidate_list().await;
        afterword.wait_until_drained().await.unwrap();
        assert_is_the_origins_by(&afterword, order).await;

        let last = uuid(1_200);
        for (sql, record, old_record, costs_a_range) in [
            (
                "title = 'New' WHERE id = 1200",
                json!(last),
                json!(last),
                true,
            ),
            (
                "title = 'New' WHERE id = 1",
                json!(uuid(1)),
                json!(uuid(1)),
                true,
            ),
            // The row gets an id, and another one loses its.
            (
                &format!("body = '{}' WHERE id = 1300", uuid(1_300)),
                json!(uuid(1_300)),
                Value::Null,
                false,
            ),
            (
                "body = NULL WHERE id = 1200",
                Value::Null,
                json!(last),
                false,
            ),
        ] {
            afterword.supabase().clear_requests();
            afterword.execute(&format!("UPDATE articles SET {sql}"));
            let body = json!({"type": "UPDATE", "record": {"body": record},
                "old_record": {"body": old_record}});
            assert_eq!(afterword.webhook(body.to_string()).await.status, 202);
            afterword.wait_until_drained().await.unwrap();
            let queries = list_requests(&afterword);
            let is_range = queries.len() == 1 && queries[0].contains("body=");
            assert_eq!(is_range, costs_a_range, "{order} {sql}: {queries:?}");
            assert_is_the_origins_by(&afterword, order).await;
        }
    }
}

#[tokio::test]
async fn a_list_that_returns_to_its_former_content_keeps_its_chunks_and_its_tag() {
    let afterword = with_rows(Setup::default(), 1_000).await;
    let before = afterword.get("/articles").await;
    change(
        &afterword,
        500,
        "UPDATE articles SET title = 'B' WHERE id = 500",
    )
    .await;
    assert_ne!(
        afterword.get("/articles").await.header("etag"),
        before.header("etag")
    );
    change(
        &afterword,
        500,
        "UPDATE articles SET title = 'T' WHERE id = 500",
    )
    .await;
    let after = afterword.get("/articles").await;
    assert_eq!(after.header("etag"), before.header("etag"));
    assert!(after.body == before.body);
    assert_is_the_origins(&afterword).await;
}

#[tokio::test]
async fn a_list_that_becomes_short_is_one_value_again() {
    let afterword = with_rows(Setup::default(), 1_000).await;
    afterword.execute("DELETE FROM articles WHERE id > 20");
    afterword.invalidate_list().await;
    afterword.wait_until_drained().await.unwrap();
    let brotli = [("accept-encoding", "br")];
    let list = afterword.get_with("/articles", &brotli).await;
    assert_eq!(list.header("content-encoding"), "br");
    assert_eq!(ids(&afterword.get("/articles").await).len(), 20);
}

#[tokio::test]
async fn a_row_that_is_larger_than_a_chunk_is_read_in_the_list_and_alone() {
    let afterword = with_rows(Setup::default(), 1_000).await;
    let long = "Very long. ".repeat(40_000);
    let sql = format!("UPDATE articles SET body = '{long}' WHERE id = 500");
    change(&afterword, 500, &sql).await;
    assert_is_the_origins(&afterword).await;
    for (query, expected) in [
        ("limit=1&offset=499", vec![500]),
        ("limit=3&offset=498", vec![499, 500, 501]),
        ("limit=1&offset=500", vec![501]),
    ] {
        let page = afterword.get(&format!("/articles?{query}")).await;
        assert_eq!(ids(&page), expected, "{query}");
    }
    // Its neighbour changes, and so does it.
    for id in [501, 500] {
        let sql = format!("UPDATE articles SET title = 'New' WHERE id = {id}");
        change(&afterword, id, &sql).await;
        assert_is_the_origins(&afterword).await;
    }
}

#[tokio::test]
async fn a_missing_chunk_is_a_miss_and_is_stored_again() {
    let afterword = with_rows(Setup::default().shared_store(), 1_000).await;
    let chunks: Vec<String> = afterword.store_command(&["KEYS", "*chunks/*"]).await;
    assert!(chunks.len() > 2, "{chunks:?}");
    let delete: Vec<&str> = ["DEL"]
        .into_iter()
        .chain(chunks.iter().map(String::as_str))
        .collect();
    afterword.store_command::<u64>(&delete).await;
    let missed = afterword.get("/articles?limit=2").await;
    assert_eq!(ids(&missed), [1, 2]);
    assert!(missed.cache_status().contains("fwd=uri-miss"), "{missed:?}");
    // The first chunk is stored before the others. Until then, the whole list would be cut off.
    afterword.wait_for_hit("/articles?limit=2").await;
    afterword.wait_until_drained().await.unwrap();
    assert_is_the_origins(&afterword).await;
}

#[tokio::test]
async fn a_missing_or_damaged_later_chunk_cuts_the_response_and_is_stored_again() {
    let afterword = with_rows(Setup::default().shared_store(), 1_000).await;
    let chunks: Vec<String> = afterword.store_command(&["KEYS", "*chunks/*"]).await;
    let tag = afterword.get("/articles").await.header("etag").to_owned();
    for chunk in &chunks {
        for value in [None, Some("damaged")] {
            match value {
                None => afterword.store_command::<u64>(&["DEL", chunk]).await,
                Some(value) => {
                    afterword.store_command::<()>(&["SET", chunk, value]).await;
                    1
                }
            };
            // A miss if it is the first chunk, else a response that is cut off.
            let list = afterword.try_get("/articles").await;
            if let Ok(list) = list {
                assert!(list.cache_status().contains("fwd="), "{list:?}");
                assert!(list.json() == origin_list(&afterword, "id.asc").await);
            }
            wait_until("storing the chunk again", async || {
                let list = afterword.try_get("/articles").await?;
                ensure!(list.cache_status().contains("hit"), "{list:?}");
                Ok(())
            })
            .await;
        }
    }
    afterword.wait_until_drained().await.unwrap();
    assert_eq!(afterword.get("/articles").await.header("etag"), tag);
    assert_is_the_origins(&afterword).await;
}

#[tokio::test]
async fn a_long_list_is_sent_whole_although_what_follows_it_waits_for_redis() {
    if !host_has_dials() {
        return;
    }
    let setup = Setup::default().dials().variable("max_age", "1");
    // 4 MB: more than the host takes before the client has read.
    let mut afterword = with_rows(setup, 10_000).await;
    afterword.kill_workers().await;
    wait_until("the list to be stale", async || {
        let part = afterword.get("/articles?limit=1").await;
        ensure!(part.cache_status().contains("ttl=-"), "{part:?}");
        Ok(())
    })
    .await;
    let hangs = json!({"delay_ms": 600_000});
    let faults = json!({"redis.open": hangs, "redis.execute": hangs});
    afterword.set_http_faults(faults).await;
    let list = afterword.get("/articles").await;
    assert!(list.cache_status().contains("ttl=-"), "{list:?}");
    assert_eq!(ids(&list).len(), 10_000);
}

#[tokio::test]
async fn a_response_is_cut_although_redis_hangs() {
    if !host_has_dials() {
        return;
    }
    let afterword = with_rows(Setup::default().dials().shared_store(), 1_000).await;
    let chunks: Vec<String> = afterword.store_command(&["KEYS", "*chunks/*"]).await;
    let hangs = json!({"delay_ms": 600_000});
    let faults = json!({"redis.open": hangs, "redis.execute": hangs});
    afterword.set_http_faults(faults).await;
    let mut cut = 0;
    for chunk in &chunks {
        let value: Vec<u8> = afterword.store_command(&["GET", chunk]).await;
        if String::from_utf8_lossy(&value).contains("\"s-1\"") {
            // The list without its first chunk is a miss.
            continue;
        }
        let away = ["RENAME", chunk, "away"];
        afterword.store_command::<()>(&away).await;
        let error = afterword.try_get("/articles").await.unwrap_err();
        let error = error.downcast_ref::<reqwest::Error>().unwrap();
        assert!(!error.is_timeout(), "{error:?}");
        cut += 1;
        let back = ["RENAME", "away", chunk];
        afterword.store_command::<()>(&back).await;
    }
    assert_eq!(cut, chunks.len() - 1);
}

#[tokio::test]
async fn a_failed_range_backs_off_alone_and_leaves_the_stored_list() {
    use afterword_supabase::{Fault, RestDial};
    let afterword = with_rows(Setup::default(), ROWS).await;
    let before = afterword.get("/articles").await;
    afterword.set_origin_fault(RestDial {
        matching: "id=gte.".into(),
        fault: Some(Fault::refusal(500, "57014")),
        ..RestDial::default()
    });
    afterword.execute("UPDATE articles SET title = 'New' WHERE id IN (1000, 1)");
    afterword.invalidate(1_000).await;
    afterword.wait_for_failures(1).await;
    afterword.invalidate(1).await;
    wait_until("refreshing the other place", async || {
        let list = afterword.get("/articles?limit=1").await;
        ensure!(list.json()[0]["title"] == "New", "{list:?}");
        Ok(())
    })
    .await;
    let list = afterword.get("/articles").await;
    assert_eq!(list.json()[999], before.json()[999]);
    afterword.heal_origin();
    afterword.wait_until_drained().await.unwrap();
    assert_is_the_origins(&afterword).await;
}

#[tokio::test]
async fn retired_chunks_and_orphans_are_removed() {
    // A reconciliation each second.
    let setup = Setup::default().shared_store().variable("max_age", "1");
    let afterword = with_rows(setup, 1_000).await;
    let chunks: Vec<String> = afterword.store_command(&["KEYS", "*chunks/*"]).await;
    let digits = "0123456789abcdef".repeat(2);
    let orphan = format!(
        "{}{digits}",
        chunks[0].trim_end_matches(|it: char| it.is_ascii_hexdigit())
    );
    afterword
        .store_command::<()>(&["SET", &orphan, "nothing"])
        .await;
    change(
        &afterword,
        500,
        "UPDATE articles SET title = 'New' WHERE id = 500",
    )
    .await;
    let limit = Duration::from_secs(150);
    wait_at_most(
        limit,
        "removing the orphan and the former chunk",
        async || {
            let kept: Vec<String> = afterword.store_command(&["KEYS", "*chunks/*"]).await;
            ensure!(kept.len() == chunks.len(), "{} chunks", kept.len());
            ensure!(!kept.contains(&orphan), "the orphan is there");
            Ok(())
        },
    )
    .await;
    assert_is_the_origins(&afterword).await;
}
