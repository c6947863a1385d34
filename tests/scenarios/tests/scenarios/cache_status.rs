//! The response headers for and about caches: `Cache-Status`, `Age`, `Cache-Control`.

use std::time::{Duration, Instant};

use afterword_scenarios::{Response, Setup, host_has_dials, reuses_instances};
use afterword_supabase::Fault;
use serde_json::json;

use crate::store_file::{self, make_old};

/// The `Cache-Status` of a successful cache miss.
const MISS: &str = "afterword; fwd=uri-miss; fwd-status=200";

/// The remaining freshness lifetime in the `Cache-Status` of a hit.
fn ttl(hit: &Response) -> i64 {
    let ttl = hit.cache_status().strip_prefix("afterword; hit; ttl=");
    ttl.and_then(|ttl| ttl.parse().ok())
        .unwrap_or_else(|| panic!("{}", hit.cache_status()))
}

#[tokio::test]
async fn cache_status_tells_a_miss_a_hit_a_stale_hit_and_an_expired_entry_apart() {
    let mut afterword = Setup::default()
        .variable("max_age", "300")
        .variable("stale_while_revalidate", "600")
        .no_worker()
        .start()
        .await;
    for path in ["/articles/7", "/articles"] {
        let missed = afterword.get(path).await;
        assert_eq!(missed.cache_status(), MISS);
        assert!(!missed.has("age"), "it is from the origin");
        assert!(!missed.has("last-modified"));
    }
    let missing = afterword.get("/articles/4711").await;
    assert_eq!(missing.cache_status(), MISS, "a response without rows");

    afterword.start_worker().await.unwrap();
    afterword.wait_for_hit("/articles/7").await;
    afterword.kill_workers().await;
    for (old, from, to) in [(100, 100, 200), (400, -200, -100)] {
        make_old(&afterword, "/articles/7", Duration::from_secs(old));
        let hit = afterword.get("/articles/7").await;
        let ttl = ttl(&hit);
        assert!((from..=to).contains(&ttl), "{ttl}");
        let age: u64 = hit.header("age").parse().unwrap();
        assert!((old..old + 100).contains(&age), "{age}");
        // Both are rounded down, unless they are whole seconds.
        let sum = ttl + i64::try_from(age).unwrap();
        assert!(matches!(sum, 299 | 300), "{hit:?}");
        let unchanged = [("if-none-match", hit.header("etag"))];
        let unchanged = afterword.get_with("/articles/7", &unchanged).await;
        assert_eq!(unchanged.status, 304);
        let status = unchanged.cache_status();
        assert!(status.starts_with("afterword; hit; ttl="), "{status}");
    }
    make_old(&afterword, "/articles/7", Duration::from_secs(901));
    let expired = afterword.get("/articles/7").await;
    assert_eq!(
        expired.cache_status(),
        "afterword; fwd=stale; fwd-status=200"
    );
}

#[tokio::test]
async fn cache_status_of_an_error_has_the_origins_status_or_says_that_it_is_a_negative_hit() {
    let afterword = Setup::default().no_worker().start().await;
    afterword.fail_origin_with(Fault::Status(503));
    let failed = afterword.get("/articles/7").await;
    assert_eq!(
        failed.cache_status(),
        "afterword; fwd=uri-miss; fwd-status=503"
    );
    assert_eq!(failed.header("cache-control"), "no-store");
    afterword.heal_origin();
    let missing = afterword.get("/articles/4711").await;
    assert_eq!(missing.status, 404);
    let negative = |response: &Response| {
        assert_eq!(response.status, 404);
        response.cache_status().contains("detail=negative")
    };
    let negative = afterword.read_until("/articles/4711", negative).await;
    let status = negative.cache_status();
    assert!(status.starts_with("afterword; hit; ttl="), "{status}");
}

#[tokio::test]
async fn a_store_that_cannot_be_read_is_bypassed_and_cache_status_says_so() {
    if !host_has_dials() {
        return;
    }
    let afterword = Setup::default().dials().start().await;
    afterword.wait_for_hit("/articles/7").await;
    let unreadable = json!({"key-value.get": {"fail": true}});
    afterword.set_http_faults(unreadable).await;
    let response = afterword.get("/articles/7").await;
    assert_eq!(
        response.cache_status(),
        "afterword; fwd=bypass; fwd-status=200"
    );
}

#[tokio::test]
async fn a_stored_value_that_is_no_entry_is_a_miss() {
    let afterword = Setup::default().start().await;
    afterword.wait_for_hit("/articles/7").await;
    for value in [&b""[..], b"AFW\x01", b"{\"id\":7}", &[0xff; 200]] {
        store_file::replace(&afterword, "/articles/7", value);
        let response = afterword.get("/articles/7").await;
        assert_eq!((response.status, response.cache_status()), (200, MISS));
        afterword.wait_for_hit("/articles/7").await;
    }
}

#[tokio::test]
async fn the_cache_control_headers_are_configurable() {
    let afterword = Setup::default().start().await;
    let hit = afterword.wait_for_hit("/articles/7").await;
    assert_eq!(
        hit.header("cache-control"),
        "public, max-age=0, must-revalidate"
    );
    assert!(!hit.has("cdn-cache-control"));
    assert_eq!(hit.header("x-content-type-options"), "nosniff");
    let for_browsers = "public, max-age=60";
    let for_cdns = "max-age=300, stale-while-revalidate=60";
    let afterword = Setup::default()
        .variable("cache_control", for_browsers)
        .variable("cdn_cache_control", for_cdns)
        .start()
        .await;
    for response in [
        afterword.get("/articles/7").await,
        afterword.wait_for_hit("/articles/7").await,
    ] {
        assert_eq!(response.header("cache-control"), for_browsers);
        assert_eq!(response.header("cdn-cache-control"), for_cdns);
    }
    let missing = afterword.get("/articles/4711").await;
    assert!(!missing.has("cdn-cache-control"));
}

#[tokio::test]
async fn a_hit_costs_one_store_lookup_and_each_instance_asks_redis_once_in_ten_seconds() {
    if !host_has_dials() {
        return;
    }
    let afterword = Setup::default().dials().start().await;
    let hit = afterword.wait_for_hit("/articles/7").await;
    let tag = hit.header("etag");
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
    for headers in [
        &[][..],
        &[("accept-encoding", "br")],
        &[("if-none-match", tag)],
        &[("origin", "https://example.org")],
    ] {
        for _ in 0..25 {
            let status = afterword.get_with("/articles/7", headers).await.status;
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
    // After a response, each instance reports what it has counted, once a second. An instance for
    // each request reports one in 64.
    let reports = if reuses_instances() {
        instances + 1 + seconds
    } else {
        20
    };
    assert!(connections <= reports && commands <= reports, "{costs:?}");
    assert!(
        reports < 50,
        "{instances} instances in {seconds} s: too many to tell hits from reports"
    );
}
