//! Every answer says how it came about: `Cache-Status`, `Age`, `Cache-Control`.

use std::time::{Duration, Instant};

use afterword_scenarios::{Setup, host_has_dials};
use afterword_supabase::{Dials, Fault, RestDial};
use serde_json::json;

use crate::stored::make_old;

#[tokio::test]
async fn a_miss_a_hit_a_stale_hit_and_what_is_too_old_are_told_apart() {
    let mut afterword = Setup::default()
        .variable("max_age", "300")
        .variable("stale_while_revalidate", "600")
        .no_worker()
        .start()
        .await;
    for path in ["/articles/7", "/articles"] {
        let missed = afterword.get(path).await;
        assert_eq!(
            missed.header("cache-status"),
            "afterword; fwd=uri-miss; fwd-status=200"
        );
        assert!(!missed.has("age"), "it has just come from the origin");
        assert!(!missed.has("last-modified"));
    }
    let missing = afterword.get("/articles/4711").await;
    assert_eq!(
        missing.header("cache-status"),
        "afterword; fwd=uri-miss; fwd-status=200",
        "an answer without rows"
    );

    afterword.start_worker().await.unwrap();
    afterword.wait_for_hit("/articles/7").await;
    afterword.kill_workers().await;
    let ttl = |told: &str| -> i64 {
        let ttl = told.strip_prefix("afterword; hit; ttl=");
        ttl.and_then(|ttl| ttl.parse().ok())
            .unwrap_or_else(|| panic!("{told}"))
    };
    for (old, from, to, age) in [(100, 100, 200, 100), (400, -200, -100, 400)] {
        make_old(&afterword, "/articles/7", Duration::from_secs(old));
        let hit = afterword.get("/articles/7").await;
        let ttl = ttl(hit.header("cache-status"));
        assert!((from..=to).contains(&ttl), "{ttl}");
        let told: u64 = hit.header("age").parse().unwrap();
        assert!((age..age + 100).contains(&told), "{told}");
        // Both are rounded down; at the very millisecond neither is.
        let together = ttl + i64::try_from(told).unwrap();
        assert!(matches!(together, 299 | 300), "{hit:?}");
        let unchanged = [("if-none-match", hit.header("etag"))];
        let unchanged = afterword.get_with("/articles/7", &unchanged).await;
        assert_eq!(unchanged.status, 304);
        assert!(
            unchanged
                .header("cache-status")
                .starts_with("afterword; hit; ttl=")
        );
    }
    make_old(&afterword, "/articles/7", Duration::from_secs(901));
    let expired = afterword.get("/articles/7").await;
    assert_eq!(
        expired.header("cache-status"),
        "afterword; fwd=stale; fwd-status=200"
    );
}

#[tokio::test]
async fn an_error_tells_what_the_origin_answered_and_that_it_is_known() {
    let afterword = Setup::default().no_worker().start().await;
    let every = RestDial {
        fault: Some(Fault::Status(503)),
        ..RestDial::default()
    };
    let dials = Dials {
        rest: vec![every],
        ..Dials::default()
    };
    afterword.supabase().set_dials(dials).unwrap();
    let failed = afterword.get("/articles/7").await;
    assert_eq!(
        failed.header("cache-status"),
        "afterword; fwd=uri-miss; fwd-status=503"
    );
    assert_eq!(failed.header("cache-control"), "no-store");
    afterword.supabase().set_dials(Dials::default()).unwrap();
    let missing = afterword.get("/articles/4711").await;
    assert_eq!(missing.status, 404);
    let known = afterword_stack::eventually(
        Duration::from_secs(60),
        "waiting for a known error",
        async || {
            let known = afterword.get("/articles/4711").await;
            assert_eq!(known.status, 404);
            let told = known.header("cache-status");
            anyhow::ensure!(told.contains("detail=negative"), "{told}");
            Ok(told.to_owned())
        },
    );
    let known = known.await.unwrap();
    assert!(known.starts_with("afterword; hit; ttl="), "{known}");
}

#[tokio::test]
async fn a_store_that_cannot_be_read_is_bypassed_and_that_is_told() {
    if !host_has_dials() {
        return;
    }
    let afterword = Setup::default().dials().start().await;
    afterword.wait_for_hit("/articles/7").await;
    let fails = json!({"key-value.get": {"fail": true}});
    afterword.set_http_faults(fails).await;
    let answer = afterword.get("/articles/7").await;
    assert_eq!(
        answer.header("cache-status"),
        "afterword; fwd=bypass; fwd-status=200"
    );
}

#[tokio::test]
async fn a_value_that_no_version_wrote_is_a_miss() {
    let afterword = Setup::default().start().await;
    afterword.wait_for_hit("/articles/7").await;
    for value in [&b""[..], b"AFW\x01", b"{\"id\":7}", &[0xff; 200]] {
        crate::stored::replace(&afterword, "/articles/7", value);
        let answer = afterword.get("/articles/7").await;
        assert_eq!(answer.status, 200);
        assert_eq!(
            answer.header("cache-status"),
            "afterword; fwd=uri-miss; fwd-status=200"
        );
        afterword.wait_for_hit("/articles/7").await;
    }
}

#[tokio::test]
async fn downstream_caches_are_told_what_the_operator_says() {
    let afterword = Setup::default().start().await;
    let hit = afterword.wait_for_hit("/articles/7").await;
    assert_eq!(
        hit.header("cache-control"),
        "public, max-age=0, must-revalidate"
    );
    assert!(!hit.has("cdn-cache-control"));
    assert_eq!(hit.header("x-content-type-options"), "nosniff");
    let afterword = Setup::default()
        .variable("cache_control", "public, max-age=60")
        .variable(
            "cdn_cache_control",
            "max-age=300, stale-while-revalidate=60",
        )
        .start()
        .await;
    for answer in [
        afterword.get("/articles/7").await,
        afterword.wait_for_hit("/articles/7").await,
    ] {
        assert_eq!(answer.header("cache-control"), "public, max-age=60");
        assert_eq!(
            answer.header("cdn-cache-control"),
            "max-age=300, stale-while-revalidate=60"
        );
    }
    assert!(
        !afterword
            .get("/articles/4711")
            .await
            .has("cdn-cache-control")
    );
}

#[tokio::test]
async fn a_hit_costs_one_look_into_the_store_and_redis_is_asked_once_in_ten_seconds() {
    if !host_has_dials() {
        return;
    }
    let afterword = Setup::default().dials().start().await;
    let tag = afterword
        .wait_for_hit("/articles/7")
        .await
        .header("etag")
        .to_owned();
    let kinds = [
        "key-value.get",
        "key-value.set",
        "http.send",
        "redis.open",
        "redis.execute",
        "key-value.open",
    ];
    let mut before = Vec::new();
    for kind in kinds {
        before.push(afterword.http_calls(kind).await);
    }
    let began = Instant::now();
    for fields in [
        &[][..],
        &[("accept-encoding", "br")],
        &[("if-none-match", tag.as_str())],
        &[("origin", "https://example.org")],
    ] {
        for _ in 0..25 {
            let status = afterword.get_with("/articles/7", fields).await.status;
            assert!(matches!(status, 200 | 304));
        }
    }
    let seconds = began.elapsed().as_secs();
    let mut costs = Vec::new();
    for (kind, before) in kinds.iter().zip(before) {
        costs.push(afterword.http_calls(kind).await - before);
    }
    let [gets, sets, requests, connections, commands, instances] = costs[..] else {
        panic!("{costs:?}");
    };
    assert_eq!([gets, sets, requests], [100, 0, 0]);
    // The safety net: an instance asks Redis once in ten seconds, after a response.
    let checks = instances + 1 + seconds / 10;
    assert!(connections <= checks && commands <= checks, "{costs:?}");
    assert!(
        checks < 20,
        "{instances} instances in {seconds} s show nothing"
    );
}
