//! Conditional requests, against the whole application. Those with a name such as `conditional-etag-precedence` are cases of the public
//! [cache-tests](https://cache-tests.fyi) suite: of `conditional-inm`, `updateHEAD` and `stale` all that are about a cache's own answers. (The others
//! are about fields that an origin sends to a cache in the middle; this one asks PostgREST for rows, and sends its own fields.)

use std::time::{Duration, SystemTime};

use afterword_scenarios::{Afterword, Response, Setup};
use afterword_stack::eventually;
use afterword_supabase::{Dials, Fault, RestDial};
use anyhow::ensure;
use httpdate::{fmt_http_date, parse_http_date};
use reqwest::Method;
use serde_json::json;

use crate::stored::{keys, make_old};

/// Far longer than anything here takes on an idle machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A hit that has a time of modification, which is sent once the clock has reached it.
async fn stored(afterword: &Afterword, path: &str) -> Response {
    afterword.wait_for_hit(path).await;
    let dated = afterword_stack::eventually(PATIENCE, "waiting for Last-Modified", async || {
        let answer = afterword.get(path).await;
        anyhow::ensure!(answer.has("last-modified"), "there is none: {answer:?}");
        Ok(answer)
    });
    dated.await.unwrap()
}

fn date(answer: &Response, name: &str) -> SystemTime {
    parse_http_date(answer.header(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[tokio::test]
async fn cache_tests_conditional_inm_cases_are_answered_as_an_optimal_cache_does() {
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
            // These three the suite only asks about. What is no entity tag matches none.
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
            let answer = afterword
                .get_with(path, &[("if-none-match", &if_none_match)])
                .await;
            assert_eq!(answer.status, status, "{case} {path}: {answer:?}");
            // conditional-304-etag
            assert_eq!(answer.header("etag"), tag, "{case}");
        }
    }
}

#[tokio::test]
async fn an_if_none_match_in_obs_text_is_no_error() {
    // conditional-etag-strong-respond-obs-text: no tag of ours has such characters, and beside one of ours they do no harm.
    let afterword = Setup::default().start().await;
    let tag = afterword
        .wait_for_hit("/articles/7")
        .await
        .header("etag")
        .to_owned();
    for (if_none_match, status) in [
        ("\"abcdefü\"".to_owned(), 200),
        (format!("\"abcdefü\", {tag}"), 304),
    ] {
        let answer = afterword
            .get_with("/articles/7", &[("if-none-match", &if_none_match)])
            .await;
        assert_eq!(answer.status, status, "{if_none_match}");
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
    // conditional-etag-precedence, and the other way round.
    for (if_none_match, since, status) in [(tag, &earlier, 304), ("\"abcdef\"", &later, 200)] {
        let fields = [
            ("if-none-match", if_none_match),
            ("if-modified-since", since),
        ];
        let answer = afterword.get_with("/articles/7", &fields).await;
        assert_eq!(answer.status, status, "{if_none_match} {since}");
    }
}

#[tokio::test]
async fn if_modified_since_counts_where_if_none_match_is_absent() {
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
        let answer = afterword
            .get_with("/articles/7", &[("if-modified-since", &since)])
            .await;
        assert_eq!(answer.status, status, "{case}: {answer:?}");
    }
}

#[tokio::test]
async fn last_modified_stays_while_the_content_does_and_grows_with_each_change() {
    let afterword = Setup::default().start().await;
    let before = stored(&afterword, "/articles/7").await;
    let again = json!({"type": "UPDATE", "record": {"id": 7}}).to_string();
    assert_eq!(afterword.webhook(again).await.status, 202);
    afterword.wait_until_drained().await.unwrap();
    let same = stored(&afterword, "/articles/7").await;
    for name in ["last-modified", "etag"] {
        assert_eq!(same.header(name), before.header(name), "{name}");
    }
    let mut last = before;
    for title in ["Second", "Third"] {
        afterword
            .change(Method::PATCH, "?id=eq.7", json!({ "title": title }))
            .await;
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
async fn a_304_has_what_a_cache_needs_and_nothing_of_the_content() {
    let afterword = Setup::default()
        .variable("cdn_cache_control", "max-age=60")
        .start()
        .await;
    let held = stored(&afterword, "/articles/7").await;
    let answer = afterword
        .get_with("/articles/7", &[("if-none-match", held.header("etag"))])
        .await;
    assert_eq!((answer.status, answer.bytes.len()), (304, 0));
    for name in ["cache-control", "cdn-cache-control", "etag", "vary"] {
        assert_eq!(answer.header(name), held.header(name), "{name}");
        assert!(answer.has(name), "{name}");
    }
    assert!(answer.has("date") && answer.has("age") && answer.has("cache-status"));
    for name in [
        "content-type",
        "content-length",
        "content-encoding",
        "last-modified",
    ] {
        assert!(!answer.has(name), "{name}: {answer:?}");
    }
}

#[tokio::test]
async fn head_equals_get_without_the_content() {
    // updateHEAD: no HEAD is written through to the origin (head-writethrough), so that none changes what is stored.
    let afterword = Setup::default().start().await;
    for path in ["/articles/7", "/articles"] {
        let tag = stored(&afterword, path).await.header("etag").to_owned();
        afterword.supabase().clear_requests();
        for fields in [
            &[][..],
            &[("accept-encoding", "br")],
            &[("accept-encoding", "gzip")],
            &[("if-none-match", tag.as_str())],
            &[("accept", "text/html")],
        ] {
            let head = afterword.send(Method::HEAD, path, fields, "").await;
            let get = afterword.get_with(path, fields).await;
            assert_eq!((head.status, head.bytes.len()), (get.status, 0));
            let without_time = |answer: &Response| {
                let mut fields = answer.headers.clone();
                for moving in ["date", "age", "cache-status"] {
                    fields.remove(moving);
                }
                fields
            };
            assert_eq!(without_time(&head), without_time(&get), "{fields:?}");
        }
        assert_eq!(afterword.supabase().requests(), []);
    }
    let missed = afterword.send(Method::HEAD, "/articles/8", &[], "").await;
    assert_eq!((missed.status, missed.bytes.len()), (200, 0));
    assert_eq!(
        missed.header("content-length"),
        afterword.get("/articles/8").await.bytes.len().to_string()
    );
}

#[tokio::test]
async fn cache_tests_stale_cases_are_served_from_the_store() {
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
    eventually(PATIENCE, "waiting for the entry", async || {
        let keys = keys(&afterword);
        ensure!(keys.iter().any(|key| key == "/articles/7"), "{keys:?}");
        Ok(())
    })
    .await
    .unwrap_or_else(|error| panic!("{error:#}"));
    let held = afterword.get("/articles/7").await;
    for (case, fault) in [(close, Fault::Drop), (status_503, Fault::Status(503))] {
        let every = RestDial {
            fault: Some(fault),
            ..RestDial::default()
        };
        let dials = Dials {
            rest: vec![every],
            ..Dials::default()
        };
        afterword.supabase().set_dials(dials).unwrap();
        for method in [Method::GET, Method::HEAD] {
            let answer = afterword.send(method, "/articles/7", &[], "").await;
            assert_eq!(answer.status, 200, "{case}");
            assert_eq!(answer.header("etag"), held.header("etag"), "{case}");
            // stale-warning-become: RFC 9111 has no `Warning` any more.
            assert!(!answer.has("warning"), "{case}");
        }
    }
}

#[tokio::test]
async fn a_stale_entry_is_served_while_it_is_revalidated_and_no_longer_than_its_window() {
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
        let answer = afterword.get("/articles/7").await;
        assert_eq!(answer.status, 200);
        let told = answer.header("cache-status").to_owned();
        assert_eq!(told.contains("; hit;"), from_the_store, "{age} s: {told}");
        afterword.wait_for_hit("/articles/7").await;
    }
}
