//! The status page: its state while each part fails, its authorization, and its actions.

use afterword_scenarios::{
    ADMIN_TOKEN, Afterword, Response, SECRET, Setup, host_has_dials, redis_key,
    redis_wakes_workers, wait_until,
};
use afterword_supabase::{Fault, RestDial};
use anyhow::ensure;
use reqwest::Method;
use serde_json::{Value, json};

/// What a browser sends with a navigation.
const HTML: (&str, &str) = ("accept", "text/html,application/xhtml+xml,*/*;q=0.8");

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

/// Sends a form as a browser does from the status page itself.
async fn post(
    afterword: &Afterword,
    path: &str,
    headers: &[(&str, &str)],
    body: &'static str,
) -> Response {
    let own = [HTML, FORM, ("sec-fetch-site", "same-origin")];
    let headers = [&own[..], headers].concat();
    afterword.send(Method::POST, path, &headers, body).await
}

/// Logs in, and returns the cookie as a browser sends it.
async fn log_in(afterword: &Afterword) -> String {
    let response = post(
        afterword,
        "/status/login",
        &[],
        "token=the-scenarios-admin-token",
    )
    .await;
    assert_eq!(response.status, 303, "{response:?}");
    assert_eq!(response.header("location"), "/status");
    let cookie = response.header("set-cookie");
    for attribute in ["HttpOnly", "SameSite=Strict"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    cookie.split(';').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_webhook_is_followed_from_its_acknowledgement_until_the_cache_is_fresh() {
    let afterword = Setup::default().no_webhooks().start().await;
    afterword.wait_for_hit("/articles/7").await;
    afterword.slow_origin(1_500);
    let id = afterword.invalidate(7).await.json()["id"].clone();
    let fetching = afterword.wait_for_event(&id, "fetching").await;
    assert_eq!(fetching["fresh_ms"], Value::Null);
    assert!(afterword.status().await["lag"]["now_ms"].as_u64() > Some(0));

    let fresh = afterword.wait_for_event(&id, "fresh").await;
    assert_eq!(fresh["source"], "webhook");
    assert_eq!(fresh["keys"], json!(["/articles/7", "/articles#7"]));
    assert_eq!(fresh["key_count"], 2);
    assert!(fresh["fresh_ms"].as_u64() >= Some(1_500), "{fresh}");
    let acknowledged = wait_until("the time of the acknowledgement", async || {
        let acknowledged = afterword.event(&id).await["acknowledged_ms"].as_u64();
        ensure!(acknowledged.is_some(), "it is unknown");
        Ok(acknowledged)
    })
    .await;
    assert!(acknowledged < fresh["fresh_ms"].as_u64());
    let status = afterword.status().await;
    assert_eq!(status["events"][0]["id"], id, "the newest event is first");
    let minutes = status["lag"]["minutes_ms"].as_array().unwrap();
    assert_eq!(minutes.len(), 60);
    let most = minutes.iter().filter_map(Value::as_u64).max();
    assert!(most >= Some(1_500), "{minutes:?}");
}

#[tokio::test]
async fn an_unknown_event_is_404() {
    let afterword = Setup::default().no_worker().start().await;
    for id in ["4711", "0", "-1", "x", "99999999999999999999999", "%2A"] {
        let response = afterword
            .get_as_admin(&format!("/status/events/{id}"))
            .await;
        assert_eq!(response.status, 404, "{id}");
        assert!(response.body.contains("no-such-event"), "{response:?}");
    }
}

#[tokio::test]
async fn everything_is_up_while_nothing_fails() {
    let afterword = Setup::default().start().await;
    let status = afterword.status().await;
    for part in ["redis", "store", "supabase", "worker", "outbox"] {
        assert_eq!(status["parts"][part]["state"], "up", "{part}: {status}");
    }
    let now = status["now"].as_u64().unwrap();
    for part in ["redis", "supabase", "worker"] {
        let since = status["parts"][part]["since"].as_u64().unwrap();
        assert!((now - 600_000..=now).contains(&since), "{part}: {status}");
    }
    let events = &status["parts"]["keyspace_events"]["state"];
    if redis_wakes_workers() {
        assert!([json!("up"), json!("unknown")].contains(events), "{status}");
    } else {
        assert_eq!(*events, "absent");
    }
    assert_eq!(status["queue"]["total"], 0);
    assert_eq!(status["breaker"]["state"], "closed");
    assert_eq!(status["lag"]["now_ms"], 0);
    // The first reconciliation has stored the list.
    assert_eq!(status["reconciliation"]["outdated"], 0);
    assert!(status["reconciliation"]["entries"].as_u64() <= Some(1));
    assert!(status["reconciliation"]["bytes"].as_u64() > Some(1_000));
}

#[tokio::test]
async fn while_supabase_fails_the_breaker_is_open_and_the_event_fails() {
    let afterword = Setup::default().no_webhooks().start().await;
    afterword.wait_for_hit("/articles/7").await;
    afterword.fail_origin(503);
    let id = afterword.invalidate(7).await.json()["id"].clone();
    let failing = afterword.wait_for_event(&id, "failing").await;
    assert!(
        failing["error"].as_str().unwrap().contains("503"),
        "{failing}"
    );
    let supabase = afterword.wait_for_part("supabase", "down").await;
    assert!(supabase["since"].is_u64(), "{supabase}");
    assert!(supabase["detail"].as_str().unwrap().contains("503"));
    let status = afterword.status().await;
    assert_eq!(status["breaker"]["state"], "open");
    assert!(status["breaker"]["next_probe_at"].is_u64(), "{status}");
    assert_eq!(status["queue"]["total"], 2);
    let attempts = status["queue"]["keys"].as_array().unwrap().iter();
    assert!(
        attempts
            .filter_map(|key| key["attempts"].as_u64())
            .any(|it| it > 0)
    );
    assert_eq!(afterword.metric("breaker_open").await, Some(1.0));

    afterword.heal_origin();
    afterword.wait_for_event(&id, "fresh").await;
    afterword.wait_for_part("supabase", "up").await;
    assert_eq!(afterword.metric("breaker_open").await, Some(0.0));
}

#[tokio::test]
async fn a_refused_configuration_is_named() {
    let afterword = Setup::default().no_webhooks().start().await;
    afterword.fail_origin(401);
    afterword.invalidate(7).await;
    let supabase = afterword.wait_for_part("supabase", "down").await;
    assert!(
        supabase["detail"].as_str().unwrap().contains("401"),
        "{supabase}"
    );
}

#[tokio::test]
async fn a_key_that_fails_alone_backs_off_and_a_retry_makes_it_fresh() {
    let afterword = Setup::default().no_webhooks().start().await;
    afterword.wait_for_hit("/articles/7").await;
    afterword.set_origin_fault(RestDial {
        matching: "id=eq.7".to_owned(),
        fault: Some(Fault::Status(403)),
        ..RestDial::default()
    });
    let id = afterword.invalidate(7).await.json()["id"].clone();
    let key = wait_until("the key backs off for long", async || {
        let status = afterword.status().await;
        let keys = status["queue"]["keys"].as_array().unwrap();
        let key = keys.iter().find(|key| key["key"] == "/articles/7");
        let key = key
            .filter(|key| key["attempts"].as_u64() >= Some(3))
            .cloned();
        key.ok_or_else(|| anyhow::anyhow!("{status}"))
    })
    .await;
    assert_eq!(key["state"], "backing_off", "{key}");
    assert!(key["error"].as_str().unwrap().contains("403"), "{key}");
    let status = afterword.status().await;
    assert_eq!(status["parts"]["supabase"]["state"], "up");
    assert_eq!(status["breaker"]["state"], "closed");
    assert_eq!(afterword.event(&id).await["state"], "failing");

    afterword.heal_origin();
    let requests = afterword.count_origin_requests_with("id=eq.7");
    assert_eq!(
        afterword.act("retry", "/articles/7").await,
        json!({"retried": 1})
    );
    afterword.wait_for_event(&id, "fresh").await;
    assert_eq!(
        afterword.count_origin_requests_with("id=eq.7"),
        requests + 1
    );
    assert_eq!(
        afterword.act("retry", "/articles/7").await,
        json!({"retried": 0})
    );
}

#[tokio::test]
async fn an_hour_whose_requests_are_used_up_is_named() {
    let afterword = Setup::default()
        .variable("max_requests_per_hour", "5")
        .start()
        .await;
    let paused = wait_until("the requests are used up", async || {
        afterword.invalidate(7).await;
        let queue = afterword.status().await["queue"].clone();
        ensure!(queue["paused_ms"].as_u64() > Some(0), "{queue}");
        Ok(queue)
    })
    .await;
    assert!(paused["paused_ms"].as_u64() <= Some(3_600_000), "{paused}");
    let page = afterword
        .get_with("/status", &[HTML, ("authorization", &bearer())])
        .await;
    assert!(page.body.contains("used up"), "{}", page.body);
}

#[tokio::test]
async fn a_missing_worker_is_seen_and_the_lag_grows() {
    let mut afterword = Setup::default().no_webhooks().start().await;
    afterword.kill_workers().await;
    // The sign of life and the lease would last for minutes.
    for key in ["alive", "lease"] {
        let delete = ["DEL", &redis_key(key)];
        afterword.redis_command::<u64>(&delete).await.unwrap();
    }
    let id = afterword.invalidate(7).await.json()["id"].clone();
    let worker = afterword.wait_for_part("worker", "down").await;
    assert!(worker["since"].is_u64(), "{worker}");
    let event = wait_until("two due keys", async || {
        let status = afterword.status().await;
        ensure!(status["queue"]["due"] == 2, "{status}");
        Ok(status["events"][0].clone())
    })
    .await;
    assert_eq!(event["state"], "queued");
    let lag = async || afterword.metric("lag_seconds").await.unwrap();
    let first = lag().await;
    wait_until("a growing lag", async || {
        ensure!(lag().await > first);
        Ok(())
    })
    .await;
    assert_eq!(afterword.metric("worker_up").await, Some(0.0));
    afterword.start_worker().await.unwrap();
    afterword.wait_for_event(&id, "fresh").await;
    afterword.wait_for_part("worker", "up").await;
}

#[tokio::test]
async fn while_redis_is_away_the_page_says_so_and_the_outbox_fills() {
    let mut afterword = Setup::default().no_webhooks().start().await;
    afterword.wait_for_hit("/articles/7").await;
    afterword.redis.kill().await;
    // Two changes of one row.
    for _ in 0..2 {
        let response = afterword.invalidate(7).await;
        assert_eq!(response.json()["deferred"], "outbox");
    }
    let status = afterword.status().await;
    assert_eq!(status["parts"]["redis"]["state"], "down", "{status}");
    assert_eq!(status["parts"]["outbox"]["state"], "down", "{status}");
    assert!(status["parts"]["outbox"]["since"].is_u64(), "{status}");
    for unknown in ["queue", "breaker", "lag", "reconciliation"] {
        assert_eq!(status[unknown], Value::Null, "{unknown}");
    }
    assert_eq!(status["parts"]["worker"]["state"], "unknown");
    assert_eq!(afterword.metric("redis_up").await, Some(0.0));
    assert_eq!(afterword.metric("outbox_pending").await, Some(1.0));
    assert_eq!(afterword.metric("lag_seconds").await, None);
    let page = afterword
        .get_with("/status", &[HTML, ("authorization", &bearer())])
        .await;
    assert_eq!(page.status, 200);
    assert!(page.body.contains("Redis"), "{page:?}");
    let ready = afterword.get("/readyz").await;
    assert_eq!(
        (ready.status, &*ready.body),
        (200, "ready\n"),
        "reads are served"
    );
    let response = refused(&afterword, "retry").await;
    assert_eq!(response.status, 503, "{response:?}");
    assert!(response.body.contains("redis-away"));

    afterword.redis.restart().await.unwrap();
    if afterword.workers_end_with_redis() {
        afterword.kill_workers().await;
        afterword.start_worker().await.unwrap();
    }
    afterword.wait_for_part("outbox", "up").await;
    afterword.wait_for_part("redis", "up").await;
    afterword.wait_until_drained().await.unwrap();
    let status = afterword.status().await;
    let event = &status["events"][0];
    assert_eq!(
        [&event["source"], &event["state"]],
        ["outbox", "fresh"],
        "{status}"
    );
    let outbox = r#"webhooks_total{result="outbox"}"#;
    afterword.wait_for_metric(outbox, 2.0).await;
}

fn bearer() -> String {
    format!("Bearer {ADMIN_TOKEN}")
}

/// Sends an action with the bearer token, and returns its error.
async fn refused(afterword: &Afterword, action: &str) -> Response {
    let headers = [("authorization", &*bearer()), FORM];
    afterword
        .send(Method::POST, &format!("/status/{action}"), &headers, "")
        .await
}

#[tokio::test]
async fn a_full_redis_shows_its_state_and_the_outbox() {
    let afterword = Setup::default().no_webhooks().no_worker().start().await;
    afterword.invalidate(7).await;
    let set = ["CONFIG", "SET", "maxmemory", "1"];
    afterword.redis_command::<()>(&set).await.unwrap();
    assert_eq!(afterword.invalidate(8).await.json()["deferred"], "outbox");
    let status = afterword.status().await;
    assert_eq!(status["parts"]["redis"]["state"], "up", "{status}");
    assert_eq!(status["parts"]["outbox"]["state"], "down", "{status}");
    assert_eq!(status["queue"]["total"], 2, "{status}");
}

#[tokio::test]
async fn a_failing_store_is_seen() {
    if !host_has_dials() {
        return;
    }
    let afterword = Setup::default().dials().start().await;
    let faults = json!({"key-value.get": {"fail": true}});
    afterword.set_http_faults(faults).await;
    let status = afterword.status().await;
    assert_eq!(status["parts"]["store"]["state"], "down", "{status}");
    assert_eq!(status["parts"]["outbox"]["state"], "unknown", "{status}");
    assert_eq!(afterword.metric("store_up").await, Some(0.0));
    assert_eq!(afterword.metric("outbox_pending").await, None);
    let ready = afterword.get("/readyz").await.status;
    assert_eq!(ready, 200, "Redis responds");
    let both = json!({"key-value.get": {"fail": true}, "redis.open": {"fail": true},
        "redis.execute": {"fail": true}});
    afterword.set_http_faults(both).await;
    assert_eq!(afterword.get("/readyz").await.status, 503);
    assert_eq!(afterword.get("/healthz").await.body, "alive\n");
    assert_eq!(afterword.get_as_admin("/status").await.status, 200);
}

#[tokio::test]
async fn a_redis_that_reports_no_expired_keys_is_seen() {
    if !redis_wakes_workers() {
        return;
    }
    let afterword = Setup::default().redis_user(&["-config"]).start().await;
    let part = async || afterword.status().await["parts"]["keyspace_events"].clone();
    assert_eq!(
        part().await["state"],
        "unknown",
        "the worker has just started"
    );
    // The worker has run for longer than a key of it lasts.
    let set = ["HSET", &redis_key("health"), "worker_since", "1000"];
    afterword.redis_command::<()>(&set).await.unwrap();
    assert_eq!(part().await["state"], "down");
    assert!(
        part().await["detail"]
            .as_str()
            .unwrap()
            .contains("notify-keyspace-events")
    );
}

#[tokio::test]
async fn a_lost_wake_up_is_made_up_for_by_the_readiness_probe() {
    let mut afterword = Setup::default().no_webhooks().start().await;
    afterword.kill_workers().await;
    afterword.invalidate(7).await;
    for key in ["alive", "lease", "alarm", "wake_pending"] {
        let delete = ["DEL", &redis_key(key)];
        afterword.redis_command::<u64>(&delete).await.unwrap();
    }
    let published = async || {
        let published = afterword.redis_statistic("cmdstat_publish:calls").await;
        published + u64::from(afterword.key_exists("wake_pending").await.unwrap())
    };
    let before = published().await;
    assert_eq!(afterword.get("/readyz").await.status, 200);
    assert!(published().await > before, "a wake-up");
}

#[tokio::test]
async fn a_reconciliation_reports_what_it_found() {
    let afterword = Setup::default().no_webhooks().start().await;
    for id in 1..=3 {
        afterword.wait_for_hit(&format!("/articles/{id}")).await;
    }
    afterword.wait_until_drained().await.unwrap();
    afterword.update_title_with_sql(2, "Changed without a webhook");
    let delete = ["DEL", &redis_key("reconciled")];
    afterword.redis_command::<u64>(&delete).await.unwrap();
    afterword.wake_worker().await;
    let found = wait_until("the reconciliation", async || {
        let found = afterword.status().await["reconciliation"].clone();
        ensure!(found["outdated"] == 1, "{found}");
        Ok(found)
    })
    .await;
    // Three items and the list.
    assert_eq!(found["entries"], 4, "{found}");
    assert!(found["bytes"].as_u64() > Some(2_000), "{found}");
    assert_eq!(found["evicted"], 0);
    afterword
        .wait_for_metric("reconciled_outdated_total", 1.0)
        .await;
}

#[tokio::test]
async fn refreshing_everything_corrects_what_webhooks_missed() {
    let afterword = Setup::default().no_webhooks().start().await;
    for path in ["/articles/7", "/articles/8", "/articles"] {
        afterword.wait_for_hit(path).await;
    }
    afterword.wait_until_drained().await.unwrap();
    for id in [7, 8] {
        afterword.update_title_with_sql(id, "Changed without a webhook");
    }
    let one = afterword.act("refresh", "/articles/7").await;
    let event = afterword.wait_for_event(&one["id"], "fresh").await;
    assert_eq!(event["source"], "status");
    afterword
        .assert_hit_has_title(7, "Changed without a webhook")
        .await;
    let all = afterword.act("refresh", "").await;
    afterword.wait_for_event(&all["id"], "fresh").await;
    afterword.wait_until_drained().await.unwrap();
    afterword.assert_cache_equals_origin(7..=8).await;
}

#[tokio::test]
async fn a_purge_removes_every_entry() {
    let afterword = Setup::default().no_webhooks().start().await;
    for path in ["/articles/7", "/articles/8", "/articles"] {
        afterword.wait_for_hit(path).await;
    }
    afterword.wait_until_drained().await.unwrap();
    let purge = afterword.act("purge", "").await;
    let event = afterword.wait_for_event(&purge["id"], "fresh").await;
    assert_eq!(event["keys"], json!(["purge"]));
    for path in ["/articles/7", "/articles/8", "/articles"] {
        let response = afterword.get(path).await;
        assert!(
            response.cache_status().contains("fwd=uri-miss"),
            "{response:?}"
        );
    }
    afterword.wait_for_hit("/articles/7").await;
}

#[tokio::test]
async fn what_lies_in_redis_cannot_break_the_page() {
    let afterword = Setup::default().no_webhooks().no_worker().start().await;
    let script = "<script>alert(1)</script>";
    let task = format!("/articles/{script}\u{1}");
    for command in [
        &["ZADD", &redis_key("queue"), "5", &task][..],
        &["ZADD", &redis_key("queue"), "inf", "endless"],
        &["HSET", &redis_key("failures"), &task, "many"],
        &["HSET", &redis_key("errors"), &task, script],
        &["HSET", &redis_key("queued_at"), &task, "never"],
        &[
            "HSET",
            &redis_key("health"),
            "worker_at",
            "nan",
            "worker_since",
            "-1",
            "entries",
            "1e99",
        ],
        &["HSET", &redis_key("breaker"), "probe", "5", "why", script],
        &[
            "HSET",
            &redis_key("events"),
            "7",
            script,
            "8",
            "1 webhook 1 /articles",
            "9",
            "",
        ],
        &[
            "HSET",
            &redis_key("lag"),
            "x",
            "y",
            "-1",
            "5",
            "99999999999",
            "7",
        ],
        &["HSET", &redis_key("metrics"), "retries", "x", script, "1"],
    ] {
        afterword.redis_command::<i64>(command).await.unwrap();
    }
    let status = afterword.status().await;
    assert_eq!(status["queue"]["total"], 2, "{status}");
    assert!(status["breaker"]["error"].as_str() == Some(script));
    let page = afterword
        .get_with("/status", &[HTML, ("authorization", &bearer())])
        .await;
    assert_eq!(page.status, 200);
    assert!(!page.body.contains(script), "{}", page.body);
    assert!(page.body.contains("&lt;script&gt;"), "{}", page.body);
    let metrics = afterword.get_as_admin("/metrics").await;
    assert_eq!(metrics.status, 200);
    assert!(!metrics.body.contains("script"), "{}", metrics.body);
    // A key of another type.
    for key in ["queue", "health", "events", "metrics"] {
        let delete = ["DEL", &redis_key(key)];
        afterword.redis_command::<u64>(&delete).await.unwrap();
        let set = ["SET", &redis_key(key), "of another type"];
        afterword.redis_command::<()>(&set).await.unwrap();
        let status = afterword.status().await;
        assert_eq!(status["parts"]["redis"]["state"], "down", "{key}");
        assert_eq!(afterword.get_as_admin("/metrics").await.status, 200);
    }
    afterword.assert_not_in_log(&["trap"]);
}

#[tokio::test]
async fn without_a_login_nothing_is_shown_and_nothing_can_be_done() {
    let afterword = Setup::default().start().await;
    let id = afterword.invalidate(7).await.json()["id"].clone();
    let event = format!("/status/events/{id}");
    let wrong = ("authorization", "Bearer not-the-admin-token");
    let forged = ("cookie", "afterword_status=99999999999.AAAA");
    let webhook_secret = format!("Bearer {SECRET}");
    for headers in [
        &[][..],
        &[wrong],
        &[forged],
        &[("authorization", &*webhook_secret)],
        &[HTML],
        &[HTML, forged],
    ] {
        for path in ["/status", "/metrics", &event] {
            let response = afterword.get_with(path, headers).await;
            assert_eq!(response.status, 401, "{path} {headers:?}");
            assert_eq!(response.header("www-authenticate"), "Bearer");
            for hidden in ["/articles", "webhook", "due"] {
                assert!(!response.body.contains(hidden), "{hidden}: {response:?}");
            }
        }
        for action in ["retry", "refresh", "purge"] {
            let path = format!("/status/{action}");
            let response = afterword.send(Method::POST, &path, headers, "").await;
            assert_eq!(response.status, 401, "{path} {headers:?}");
        }
    }
    let login = afterword.get_with("/status", &[HTML]).await;
    assert!(login.body.contains("type=\"password\""), "{login:?}");
    let root = afterword.get("/").await;
    assert_eq!(root.status, 200);
    assert_eq!(root.body.lines().count(), 1, "{root:?}");
    afterword.wait_until_drained().await.unwrap();
    assert_eq!(
        afterword.status().await["events"].as_array().unwrap().len(),
        1
    );
}

#[tokio::test]
async fn a_browser_logs_in_acts_and_logs_out() {
    let afterword = Setup::default().no_webhooks().start().await;
    let wrong = post(
        &afterword,
        "/status/login",
        &[],
        "token=not-the-admin-token",
    )
    .await;
    assert_eq!(wrong.status, 401);
    assert!(!wrong.has("set-cookie"), "{wrong:?}");
    let line = "refused a login to the status page";
    afterword.wait_for_http_log(line).await;

    let cookie = log_in(&afterword).await;
    let cookie = ("cookie", &*cookie);
    let page = afterword.get_with("/status", &[HTML, cookie]).await;
    assert_eq!(page.status, 200);
    assert!(
        page.body.contains("action=\"/status/refresh\""),
        "{}",
        page.body
    );
    let policy = page.header("content-security-policy");
    assert!(policy.contains("default-src 'none'"), "{policy}");
    for (path, media_type) in [
        ("/status/page.css", "text/css; charset=utf-8"),
        ("/status/page.js", "text/javascript; charset=utf-8"),
    ] {
        let file = afterword.get(path).await;
        assert_eq!(
            (file.status, file.header("content-type")),
            (200, media_type)
        );
    }

    let done = post(
        &afterword,
        "/status/refresh",
        &[cookie],
        "key=%2Farticles%2F7",
    )
    .await;
    assert_eq!(done.status, 303, "{done:?}");
    let location = done.header("location");
    let id = location.strip_prefix("/status?done=refresh&id=").unwrap();
    afterword
        .wait_for_event(&id.parse().unwrap(), "fresh")
        .await;
    let page = afterword.get_with(location, &[HTML, cookie]).await;
    assert!(page.body.contains(id), "{}", page.body);
    let invalid = post(&afterword, "/status/refresh", &[cookie], "key=seven").await;
    assert_eq!(invalid.status, 400);
    assert!(invalid.body.contains("A key is a path"), "{invalid:?}");

    let out = post(&afterword, "/status/logout", &[cookie], "").await;
    assert_eq!(out.status, 303);
    assert!(out.header("set-cookie").contains("Max-Age=0"), "{out:?}");
}

#[tokio::test]
async fn another_site_cannot_use_a_browsers_login() {
    let afterword = Setup::default().no_webhooks().start().await;
    let cookie = log_in(&afterword).await;
    let own = format!("http://{}", afterword.address());
    for (headers, status) in [
        (&[("sec-fetch-site", "cross-site")][..], 403),
        (&[("sec-fetch-site", "same-site"), ("origin", &*own)], 403),
        (&[("origin", "https://evil.example")], 403),
        (&[("origin", "null")], 403),
        (&[], 403),
        (&[("origin", &*own)], 303),
        (&[("sec-fetch-site", "same-origin")], 303),
    ] {
        for path in ["/status/purge", "/status/retry", "/status/logout"] {
            let headers = [&[HTML, FORM, ("cookie", &*cookie)], headers].concat();
            let response = afterword.send(Method::POST, path, &headers, "").await;
            assert_eq!(response.status, status, "{path} {headers:?}");
        }
    }
}

#[tokio::test]
async fn a_public_page_shows_all_and_lets_nobody_act() {
    let afterword = Setup::default()
        .variable("status_public", "true")
        .start()
        .await;
    let root = afterword.get("/").await;
    assert_eq!((root.status, root.header("location")), (302, "/status"));
    let page = afterword.get_with("/status", &[HTML]).await;
    assert_eq!(page.status, 200);
    assert!(page.body.contains("/status/login"), "{}", page.body);
    assert!(
        !page.body.contains("action=\"/status/refresh\""),
        "{}",
        page.body
    );
    assert_eq!(afterword.get("/metrics").await.status, 200);
    for action in ["retry", "refresh", "purge"] {
        let path = format!("/status/{action}");
        let response = afterword.send(Method::POST, &path, &[], "").await;
        assert_eq!(response.status, 401, "{path}");
    }
}

#[tokio::test]
async fn without_a_token_the_page_is_disabled_and_says_how_to_enable_it() {
    let afterword = Setup::default().variable("admin_token", "").start().await;
    for headers in [&[][..], &[("authorization", "Bearer ")], &[HTML]] {
        let response = afterword.get_with("/status", headers).await;
        assert_eq!(response.status, 403, "{response:?}");
        assert!(response.body.contains("admin_token"), "{response:?}");
    }
    let unsigned = ("cookie", "afterword_status=99999999999.");
    let response = afterword.get_with("/status", &[unsigned]).await;
    assert_eq!(response.status, 403);
    let login = post(&afterword, "/status/login", &[], "token=").await;
    assert_eq!(login.status, 403);
    assert_eq!(afterword.get("/healthz").await.status, 200);
    assert_eq!(afterword.get("/readyz").await.status, 200);
}

#[tokio::test]
async fn a_short_or_invalid_setting_is_an_error_in_the_log() {
    for (name, value) in [("admin_token", "too-short"), ("status_public", "perhaps")] {
        let afterword = Setup::default()
            .no_worker()
            .variable(name, value)
            .start()
            .await;
        assert_eq!(afterword.get("/status").await.status, 500);
        let line = afterword.wait_for_http_log(name).await;
        assert!(!line.contains(value), "{line}");
        assert_eq!(afterword.get("/articles/7").await.status, 200);
    }
}

#[tokio::test]
async fn other_paths_and_methods_are_errors() {
    let afterword = Setup::default().no_worker().start().await;
    for path in [
        "/status/x",
        "/status/",
        "/status/events",
        "/status/events/1/2",
        "/status/page",
    ] {
        assert_eq!(afterword.get_as_admin(path).await.status, 404, "{path}");
    }
    for (method, path, allowed) in [
        (Method::POST, "/status", "GET, HEAD, OPTIONS"),
        (Method::DELETE, "/metrics", "GET, HEAD, OPTIONS"),
        (Method::GET, "/status/purge", "POST, OPTIONS"),
        (Method::PUT, "/status/login", "GET, HEAD, POST, OPTIONS"),
    ] {
        let response = afterword.send(method.clone(), path, &[], "").await;
        assert_eq!(response.status, 405, "{method} {path}");
        assert_eq!(response.header("allow"), allowed);
        let options = afterword.send(Method::OPTIONS, path, &[], "").await;
        assert_eq!((options.status, options.header("allow")), (204, allowed));
    }
    let large = "key=".to_owned() + &"x".repeat(20_000);
    let headers = [("authorization", &*bearer()), FORM];
    let response = afterword
        .send(Method::POST, "/status/refresh", &headers, large)
        .await;
    assert_eq!(response.status, 400, "{response:?}");
}
