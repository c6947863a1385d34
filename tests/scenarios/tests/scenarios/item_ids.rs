//! Ids are any text. The path is the percent-encoded id.

use afterword_scenarios::{Afterword, Setup, host, reuses_instances};
use afterword_stack::Host;
use reqwest::Method;
use serde_json::{Value, json};

use crate::raw_http::{exchange, request};

/// Slugs, and their encoded form in paths and in queries to the origin.
const SLUGS: [(&str, &str); 12] = [
    ("thüringen", "th%C3%BCringen"),
    ("検索", "%E6%A4%9C%E7%B4%A2"),
    ("C++", "C%2B%2B"),
    ("a b", "a%20b"),
    ("2024/01", "2024%2F01"),
    ("100%", "100%25"),
    ("a,b)", "a%2Cb%29"),
    (r#"say "hi""#, "say%20%22hi%22"),
    (r"back\slash", "back%5Cslash"),
    ("x&select=*", "x%26select%3D%2A"),
    ("null", "null"),
    ("🦀.;'", "%F0%9F%A6%80.%3B%27"),
];

/// The application in front of articles whose ids are these slugs.
async fn with_slugs(setup: Setup) -> Afterword {
    let afterword = setup
        .no_articles()
        .variable("id_column", "slug")
        .variable("list_query", "select=*&order=slug.asc")
        .start()
        .await;
    let rows: Vec<Value> = SLUGS
        .iter()
        .map(|(slug, _)| json!({"slug": slug, "title": "T", "published": true}))
        .collect();
    afterword.replace_articles(&rows);
    afterword
}

#[tokio::test]
async fn every_listed_slug_is_served_at_its_encoded_path() {
    let mut afterword = with_slugs(Setup::default().no_worker()).await;
    assert_eq!(afterword.get("/articles").await.rows().len(), SLUGS.len());
    for (slug, encoded) in SLUGS {
        afterword.supabase().clear_requests();
        let missed = afterword.get_article(encoded).await;
        assert_eq!(missed.status, 200, "{slug}: {missed:?}");
        assert_eq!(missed.json()["slug"], slug);
        let requests = afterword.supabase().requests();
        assert_eq!(requests.len(), 1);
        assert_eq!(requests[0].query, format!("select=*&slug=eq.{encoded}"));
    }
    // The worker fetches them all in one request.
    afterword.supabase().clear_requests();
    afterword.start_worker().await.unwrap();
    afterword.wait_until_reconciled().await.unwrap();
    let batches = afterword.count_origin_requests_with("slug=in.(");
    assert_eq!(batches, 1, "{:?}", afterword.supabase().requests());
    for (slug, encoded) in SLUGS {
        let path = format!("/articles/{encoded}");
        assert_eq!(afterword.wait_for_hit(&path).await.json()["slug"], slug);
    }
}

#[tokio::test]
async fn every_spelling_of_a_path_is_the_same_entry() {
    let afterword = with_slugs(Setup::default()).await;
    for (canonical, spellings) in [
        ("th%C3%BCringen", ["th%c3%bcringen", "%74h%C3%bCringen"]),
        ("C%2B%2B", ["C++", "%43%2b+"]),
        ("2024%2F01", ["2024%2f01", "%32024%2F01"]),
        ("null", ["%6eull", "nul%6C"]),
    ] {
        let stored = afterword
            .wait_for_hit(&format!("/articles/{canonical}"))
            .await;
        afterword.supabase().clear_requests();
        for spelling in spellings {
            let response = afterword.get_article(spelling).await;
            assert_eq!(response.body, stored.body, "{spelling}");
            assert_eq!(response.header("etag"), stored.header("etag"));
        }
        afterword.assert_no_origin_request();
    }
}

#[tokio::test]
async fn a_path_with_unencoded_bytes_is_the_same_entry() {
    let afterword = with_slugs(Setup::default()).await;
    let stored = afterword.wait_for_hit("/articles/th%C3%BCringen").await;
    afterword.supabase().clear_requests();
    // The client of the other scenarios would encode the path.
    let raw = request("GET", "/articles/thüringen", &[], b"");
    let response = exchange(&afterword, raw).await;
    afterword.assert_no_origin_request();
    // Spin 3.6 refuses such a path itself, Spin 4.1 does not.
    let may_refuse = matches!(host(), Host::Spin(_)) && !reuses_instances();
    if may_refuse && (response.status, response.body.len()) == (400, 0) {
        return;
    }
    assert_eq!((response.status, response.body), (200, stored.bytes));
}

#[tokio::test]
async fn a_webhook_refreshes_any_slug() {
    let afterword = with_slugs(Setup::default()).await;
    for (_, encoded) in SLUGS {
        let path = format!("/articles/{encoded}");
        afterword.wait_for_hit(&path).await;
    }
    // One statement for all, so that the worker refreshes them in batches.
    let row = json!({"title": "Changed"});
    afterword.change(Method::PATCH, "?id=gt.0", row).await;
    afterword.wait_until_drained().await.unwrap();
    afterword.supabase().clear_requests();
    for (slug, encoded) in SLUGS {
        let row = afterword.get_article(encoded).await.json();
        let expected = (&json!(slug), &json!("Changed"));
        assert_eq!((&row["slug"], &row["title"]), expected);
    }
    afterword.assert_no_origin_request();
    let log = afterword.log();
    assert!(
        log.contains("updated cache: /articles/2024%2F01\n"),
        "{log}"
    );
    assert!(log.is_ascii(), "{log}");
    let row = json!({"slug": "thuringen"});
    let query = "?slug=eq.th%C3%BCringen";
    afterword.change(Method::PATCH, query, row).await;
    let moved = afterword.wait_for_hit("/articles/thuringen").await;
    assert_eq!(moved.json()["slug"], "thuringen");
    assert_eq!(afterword.get("/articles/th%C3%BCringen").await.status, 404);
}

#[tokio::test]
async fn paging_a_list_by_slug_continues_after_any_slug() {
    let afterword = with_slugs(Setup::default().no_worker().row_cap(1)).await;
    let rows = afterword.get("/articles").await.rows();
    let mut slugs = SLUGS.map(|(slug, _)| slug);
    slugs.sort_unstable();
    let listed: Vec<&str> = rows
        .iter()
        .map(|row| row["slug"].as_str().unwrap())
        .collect();
    assert_eq!(listed, slugs);
}

#[tokio::test]
async fn if_several_rows_have_the_same_id_a_miss_and_a_refresh_choose_the_same_row() {
    let mut afterword = Setup::default()
        .no_articles()
        .no_worker()
        .variable("id_column", "title")
        .variable("item_query", "select=slug,title")
        .start()
        .await;
    let row = |(slug, title)| json!({"slug": slug, "title": title, "published": true});
    let rows = [("b", "T"), ("a", "T"), ("d", "U"), ("c", "T")].map(row);
    afterword.replace_articles(&rows);
    let missed = afterword.get("/articles/T").await;
    afterword.get("/articles/U").await;
    assert_eq!(missed.json()["slug"], "a");
    afterword.start_worker().await.unwrap();
    afterword.wait_until_reconciled().await.unwrap();
    let refreshed = afterword.wait_for_hit("/articles/T").await;
    assert_eq!(refreshed.body, missed.body);
}
