//! Conditional requests to the whole application.
//!
//! Names such as `conditional-etag-precedence` are cases of the public
//! [cache-tests](https://cache-tests.fyi) suite. Included are all cases of `conditional-inm`,
//! `updateHEAD` and `stale` about responses of the cache itself. The others are about headers that
//! an origin sends to a proxy. Afterword asks PostgREST for rows, and sends its own headers.

use std::time::{Duration, SystemTime};

use afterword_scenarios::{Afterword, Response, Setup, wait_until};
use afterword_supabase::Fault;
use anyhow::ensure;
use httpdate::{fmt_http_date, parse_http_date};
use reqwest::Method;

use crate::store_file::{keys, make_old};

/// Waits for a hit with `Last-Modified`, which is sent once the clock has reached it.
async fn stored(afterword: &Afterword, path: &str) -> Response {
    afterword.wait_for_hit(path).await;
    let dated = |response: &Response| response.has("last-modified");
    afterword.read_until(path, dated).await
}

fn date(response: &Response, name: &str) -> SystemTime {
    parse_http_date(response.header(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[tokio::test]
async fn every_conditional_inm_case_of_cache_tests_passes() {
    let afterword = Setup::default().start().await;
    for path in ["/articles/7", "/articles"] {
        let held = stored(&afterword, path).await;
        let tag = held.header("etag").to_owned();
        let bare = tag.trim_matches('"');
        for (case, if_none_match, status) in [
            ("conditional-etag-strong-respond", tag.clone(), 304),
            ("conditional-etag-weak-respond", format!("W/{tag}"), 304),
            (
                "conditional-etag-strong-respond-multiple-first",
                format!("{tag}, \"1234\", \"5678\""),
                304,
            ),
            (
                "conditional-etag-strong-respond-multiple-second",
                format!("\"1234\", {tag}, \"5678\""),
                304,
            ),
            (
                "conditional-etag-strong-respond-multiple-last",
                format!("\"1234\", \"5678\", {tag}"),
                304,
            ),
            // For the next ones, the suite accepts both. An invalid entity tag matches nothing.
            (
                "conditional-etag-quoted-respond-unquoted",
                bare.to_owned(),
                200,
            ),
            (
                "conditional-etag-weak-respond-lowercase",
                format!("w/{tag}"),
                200,
            ),
            (
                "conditional-etag-weak-respond-backslash",
                format!("W\\{tag}"),
                200,
            ),
            (
                "conditional-etag-weak-respond-omit-slash",
                format!("W{tag}"),
                200,
            ),
            ("any", "*".to_owned(), 304),
            ("another", "\"abcdef\"".to_owned(), 200),
        ] {
            let response = afterword
                .get_with(path, &[("if-none-match", &if_none_match)])
                .await;
            assert_eq!(response.status, status, "{case} {path}: {response:?}");
            // conditional-304-etag
            assert_eq!(response.header("etag"), tag, "{case}");
        }
    }
}

#[tokio::test]
async fn an_if_none_match_with_obs_text_is_no_error() {
    // conditional-etag-strong-respond-obs-text: our tags never have such characters, but a list may
    // have them beside one of our tags.
    let afterword = Setup::default().start().await;
    let hit = afterword.wait_for_hit("/articles/7").await;
    let tag = hit.header("etag");
    for (if_none_match, status) in [
        ("\"abcdefü\"".to_owned(), 200),
        (format!("\"abcdefü\", {tag}"), 304),
    ] {
        let response = afterword
            .get_with("/articles/7", &[("if-none-match", &if_none_match)])
            .await;
        assert_eq!(response.status, status, "{if_none_match}");
    }
}

#[tokio::test]
async fn if_none_match_takes_precedence_over_if_modified_since() {
    let afterword = Setup::default().start().await;
    let held = stored(&afterword, "/articles/7").await;
    let (tag, modified) = (held.header("etag"), date(&held, "last-modified"));
    let (earlier, later) = (
        fmt_http_date(modified - Duration::from_secs(10)),
        fmt_http_date(modified + Duration::from_secs(10)),
    );
    // conditional-etag-precedence, and the reverse.
    for (if_none_match, since, status) in [(tag, &earlier, 304), ("\"abcdef\"", &later, 200)] {
        let headers = [
            ("if-none-match", if_none_match),
            ("if-modified-since", since),
        ];
        let response = afterword.get_with("/articles/7", &headers).await;
        assert_eq!(response.status, status, "{if_none_match} {since}");
    }
}

#[tokio::test]
async fn if_modified_since_applies_without_if_none_match() {
    let afterword = Setup::default().start().await;
    let held = stored(&afterword, "/articles/7").await;
    let modified = date(&held, "last-modified");
    assert!(modified <= date(&held, "date"));
    for (case, since, status) in [
        ("conditional-lm-fresh", fmt_http_date(modified), 304),
        (
            "conditional-lm-fresh-earlier",
            fmt_http_date(modified + Duration::from_secs(5)),
            304,
        ),
        (
            "before",
            fmt_http_date(modified - Duration::from_secs(1)),
            200,
        ),
        ("no date", "yesterday".to_owned(), 200),
    ] {
        let response = afterword
            .get_with("/articles/7", &[("if-modified-since", &since)])
            .await;
        assert_eq!(response.status, status, "{case}: {response:?}");
    }
}

#[tokio::test]
async fn last_modified_changes_only_with_the_content() {
    let afterword = Setup::default().start().await;
    let before = stored(&afterword, "/articles/7").await;
    afterword.invalidate(7).await;
    afterword.wait_until_drained().await.unwrap();
    let same = stored(&afterword, "/articles/7").await;
    for name in ["last-modified", "etag"] {
        assert_eq!(same.header(name), before.header(name), "{name}");
    }
    let mut last = before;
    for title in ["Second", "Third"] {
        afterword.update_title(7, title).await;
        afterword.wait_until_drained().await.unwrap();
        let changed = stored(&afterword, "/articles/7").await;
        assert_eq!(changed.json()["title"], title);
        assert!(
            date(&changed, "last-modified") > date(&last, "last-modified"),
            "{last:?} {changed:?}"
        );
        assert_ne!(changed.header("etag"), last.header("etag"));
        last = changed;
    }
}

#[tokio::test]
async fn a_304_has_the_headers_for_caches_and_none_about_the_content() {
    let afterword = Setup::default()
        .variable("cdn_cache_control", "max-age=60")
        .start()
        .await;
    let held = stored(&afterword, "/articles/7").await;
    let response = afterword
        .get_with("/articles/7", &[("if-none-match", held.header("etag"))])
        .await;
    assert_eq!((response.status, response.bytes.len()), (304, 0));
    for name in ["cache-control", "cdn-cache-control", "etag", "vary"] {
        assert_eq!(response.header(name), held.header(name), "{name}");
        assert!(response.has(name), "{name}");
    }
    assert!(response.has("date") && response.has("age") && response.has("cache-status"));
    for name in [
        "content-type",
        "content-length",
        "content-encoding",
        "last-modified",
    ] {
        assert!(!response.has(name), "{name}: {response:?}");
    }
}

#[tokio::test]
async fn the_headers_of_head_equal_those_of_get() {
    // updateHEAD: no HEAD reaches the origin (head-writethrough), so none can change the entry.
    let afterword = Setup::default().start().await;
    for path in ["/articles/7", "/articles"] {
        let tag = stored(&afterword, path).await.header("etag").to_owned();
        afterword.supabase().clear_requests();
        for headers in [
            &[][..],
            &[("accept-encoding", "br")],
            &[("accept-encoding", "gzip")],
            &[("if-none-match", tag.as_str())],
            &[("accept", "text/html")],
        ] {
            let head = afterword.send(Method::HEAD, path, headers, "").await;
            let get = afterword.get_with(path, headers).await;
            assert_eq!((head.status, head.bytes.len()), (get.status, 0));
            let without_time = |response: &Response| {
                let mut headers = response.headers.clone();
                for changing in ["date", "age", "cache-status"] {
                    headers.remove(changing);
                }
                headers
            };
            assert_eq!(without_time(&head), without_time(&get), "{headers:?}");
        }
        afterword.assert_no_origin_request();
    }
    let missed = afterword.send(Method::HEAD, "/articles/8", &[], "").await;
    assert_eq!((missed.status, missed.bytes.len()), (200, 0));
    assert_eq!(
        missed.header("content-length"),
        afterword.get("/articles/8").await.bytes.len().to_string()
    );
}

#[tokio::test]
async fn every_stale_case_of_cache_tests_is_served_from_the_store() {
    // Within `stale_while_revalidate`, and beyond it.
    for (window, close, status_503) in [
        ("604800", "stale-close", "stale-503"),
        ("0", "stale-sie-close", "stale-sie-503"),
    ] {
        stale_cases(window, close, status_503).await;
    }
}

async fn stale_cases(stale_while_revalidate: &str, close: &str, status_503: &str) {
    let afterword = Setup::default()
        .variable("max_age", "0")
        .variable("stale_while_revalidate", stale_while_revalidate)
        .no_webhooks()
        .start()
        .await;
    afterword.get("/articles/7").await;
    wait_until("waiting for the entry", async || {
        let keys = keys(&afterword);
        ensure!(keys.iter().any(|key| key == "/articles/7"), "{keys:?}");
        Ok(())
    })
    .await;
    let held = afterword.get("/articles/7").await;
    for (case, fault) in [(close, Fault::Drop), (status_503, Fault::Status(503))] {
        afterword.fail_origin_with(fault);
        for method in [Method::GET, Method::HEAD] {
            let response = afterword.send(method, "/articles/7", &[], "").await;
            assert_eq!(response.status, 200, "{case}");
            assert_eq!(response.header("etag"), held.header("etag"), "{case}");
            // stale-warning-become: RFC 9111 has removed `Warning`.
            assert!(!response.has("warning"), "{case}");
        }
    }
}

#[tokio::test]
async fn a_stale_entry_is_served_within_its_window_and_not_after_it() {
    // stale-while-revalidate, stale-while-revalidate-window.
    let afterword = Setup::default()
        .variable("max_age", "3600")
        .variable("stale_while_revalidate", "3600")
        .start()
        .await;
    afterword.wait_for_hit("/articles/7").await;
    for (age, from_the_store) in [(3_500, true), (3_700, true), (7_100, true), (7_300, false)] {
        make_old(&afterword, "/articles/7", Duration::from_secs(age));
        afterword.supabase().clear_requests();
        let response = afterword.get("/articles/7").await;
        assert_eq!(response.status, 200);
        let status = response.cache_status();
        assert_eq!(
            status.contains("; hit;"),
            from_the_store,
            "{age} s: {status}"
        );
        afterword.wait_for_hit("/articles/7").await;
    }
}
