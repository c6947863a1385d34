//! Ids as people have them: any text, under its percent-encoded path.

use afterword_scenarios::{Afterword, Setup};
use reqwest::Method;
use serde_json::{Value, json};

use crate::hostile::{exchange, request};

/// Slugs, each with its path and the value that the origin is asked for.
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

/// An application whose articles have these slugs for ids.
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
    afterword
        .supabase()
        .replace_rows("articles", &rows)
        .unwrap();
    afterword
}

#[tokio::test]
async fn every_slug_that_the_list_shows_is_served_at_its_encoded_path() {
    let mut afterword = with_slugs(Setup::default().no_worker()).await;
    let list = afterword.get("/articles").await.json();
    assert_eq!(list.as_array().map(Vec::len), Some(SLUGS.len()));
    for (slug, encoded) in SLUGS {
        afterword.supabase().clear_requests();
        let missed = afterword.get(&format!("/articles/{encoded}")).await;
        assert_eq!(missed.status, 200, "{slug}: {missed:?}");
        assert_eq!(missed.json()["slug"], slug);
        let asked = afterword.supabase().requests();
        assert_eq!(asked.len(), 1);
        assert_eq!(asked[0].query, format!("select=*&slug=eq.{encoded}"));
    }
    // The worker fetches them all in one request.
    afterword.supabase().clear_requests();
    afterword.start_worker().await.unwrap();
    afterword.wait_until_reconciled().await.unwrap();
    let asked = afterword.supabase().requests();
    let batches: Vec<&str> = asked
        .iter()
        .map(|request| request.query.as_str())
        .filter(|query| query.contains("slug=in.("))
        .collect();
    assert_eq!(batches.len(), 1, "{asked:?}");
    for (slug, encoded) in SLUGS {
        let hit = afterword
            .wait_for_hit(&format!("/articles/{encoded}"))
            .await;
        assert_eq!(hit.json()["slug"], slug);
    }
}

#[tokio::test]
async fn all_spellings_of_a_path_are_one_entry() {
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
            let answer = afterword.get(&format!("/articles/{spelling}")).await;
            assert_eq!(answer.body, stored.body, "{spelling}");
            assert_eq!(answer.header("etag"), stored.header("etag"));
        }
        assert_eq!(afterword.supabase().requests(), []);
    }
}

#[tokio::test]
async fn unencoded_bytes_in_a_path_are_the_same_entry() {
    let afterword = with_slugs(Setup::default()).await;
    let stored = afterword.wait_for_hit("/articles/th%C3%BCringen").await;
    afterword.supabase().clear_requests();
    let address = afterword.url().trim_start_matches("http://").to_owned();
    // The client of the other scenarios would encode it.
    let raw = request("GET", "/articles/thüringen", &[], b"");
    let answer = tokio::task::spawn_blocking(move || exchange(&address, &raw));
    let (status, _, body) = answer.await.unwrap();
    assert_eq!((status, body), (200, stored.bytes));
    assert_eq!(afterword.supabase().requests(), []);
}

#[tokio::test]
async fn a_webhook_refreshes_any_slug() {
    let afterword = with_slugs(Setup::default()).await;
    for (_, encoded) in SLUGS {
        afterword
            .wait_for_hit(&format!("/articles/{encoded}"))
            .await;
    }
    // One statement for all: the worker takes them in batches.
    afterword
        .change(Method::PATCH, "?id=gt.0", json!({"title": "Changed"}))
        .await;
    afterword.wait_until_drained().await.unwrap();
    afterword.supabase().clear_requests();
    for (slug, encoded) in SLUGS {
        let answer = afterword.get(&format!("/articles/{encoded}")).await.json();
        assert_eq!(
            (&answer["slug"], &answer["title"]),
            (&json!(slug), &json!("Changed"))
        );
    }
    assert_eq!(afterword.supabase().requests(), []);
    let said = afterword.log();
    assert!(
        said.contains("updated cache: /articles/2024%2F01\n"),
        "{said}"
    );
    assert!(said.is_ascii(), "{said}");
    let path = "/articles/thuringen";
    afterword
        .change(
            Method::PATCH,
            "?slug=eq.th%C3%BCringen",
            json!({"slug": "thuringen"}),
        )
        .await;
    assert_eq!(
        afterword.wait_for_hit(path).await.json()["slug"],
        "thuringen"
    );
    assert_eq!(afterword.get("/articles/th%C3%BCringen").await.status, 404);
}

#[tokio::test]
async fn a_list_by_slug_goes_on_after_any_slug() {
    let afterword = with_slugs(Setup::default().no_worker().row_cap(1)).await;
    let list = afterword.get("/articles").await.json();
    let mut slugs: Vec<&str> = SLUGS.iter().map(|(slug, _)| *slug).collect();
    slugs.sort_unstable();
    let shown: Vec<&str> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["slug"].as_str().unwrap())
        .collect();
    assert_eq!(shown, slugs);
}

#[tokio::test]
async fn where_several_rows_have_an_id_a_miss_and_a_refresh_give_the_same() {
    let mut afterword = Setup::default()
        .no_articles()
        .no_worker()
        .variable("id_column", "title")
        .variable("item_query", "select=slug,title")
        .start()
        .await;
    let rows: Vec<Value> = ["b", "a", "d", "c"]
        .iter()
        .map(|slug| json!({"slug": slug, "title": if *slug == "d" {"U"} else {"T"}, "published": true}))
        .collect();
    afterword
        .supabase()
        .replace_rows("articles", &rows)
        .unwrap();
    let missed = afterword.get("/articles/T").await;
    afterword.get("/articles/U").await;
    assert_eq!(missed.json()["slug"], "a");
    afterword.start_worker().await.unwrap();
    afterword.wait_until_reconciled().await.unwrap();
    let refreshed = afterword.wait_for_hit("/articles/T").await;
    assert_eq!(refreshed.body, missed.body);
}
