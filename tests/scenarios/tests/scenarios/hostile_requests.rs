//! Hostile requests. Each gets a 4xx with a problem, none ends an instance, and the next valid
//! request succeeds.

use std::time::{SystemTime, UNIX_EPOCH};

use afterword_scenarios::{SECRET, Setup};

use crate::raw_http::{exchange, request};

/// Hostile requests, each with the expected status.
fn hostile_requests() -> Vec<(u16, Vec<u8>)> {
    let bearer = format!("Bearer {SECRET}");
    let long = |length: usize| "x".repeat(length);
    let get = |target: &str| request("GET", target, &[], b"");
    let with = |name: &str, value: &str| request("GET", "/articles/7", &[(name, value)], b"");
    let post = |body: &[u8]| request("POST", "/revalidate", &[("authorization", &bearer)], body);
    let webhook = |headers: &[(&str, &str)]| request("POST", "/revalidate", headers, b"{}");
    let deep = |open: &str| format!("{{\"record\":{}", open.repeat(100_000));
    let signature = |id: &str, timestamp: &str, signature: &str| {
        webhook(&[
            ("webhook-id", id),
            ("webhook-timestamp", timestamp),
            ("webhook-signature", signature),
        ])
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now = now.as_secs().to_string();
    let mut requests = Vec::new();
    // Paths that are no article's. No id can leave the path, or change PostgREST's query.
    for target in [
        "/articles/",
        "/articles//",
        "/articles//7",
        "/articles/7/",
        "/articles/1/2",
        "/articles/../../etc/passwd",
        "/articles/%2e%2e/%2e%2e",
        "/articles/%00",
        "/articles/7%00",
        "/articles/%",
        "/articles/7%",
        "/articles/%zz",
        "/articles/%3",
        "/articles/%u0037",
        "/articles/%ff",
        "/articles/%c3",
        "/articles/%c0%af",
        "/articles/%ed%a0%80",
        "/articles/%f5%80%80%80",
    ] {
        requests.push((404, get(target)));
    }
    for target in [
        "/articles/4711?id=eq.7&select=secret",
        "/articles?select=secret",
        "/articles?limit=-1",
        "/articles?limit=1&limit=2",
        "/articles?%6cimit=%zz",
        "/articles?offset=99999999999999999999999999999999",
    ] {
        requests.push((400, get(target)));
    }
    requests.push((404, get(&format!("/articles/{}", long(256)))));
    requests.push((404, get(&format!("/articles/{}", long(10_000)))));
    requests.push((404, get(&format!("/articles/{}", "%41".repeat(256)))));
    requests.push((404, get(&format!("/articles/{}", "%c3%a9".repeat(128)))));
    // Ids of no article. They reach the origin as values, and nothing in them has a meaning there.
    for target in [
        "/articles/..",
        "/articles/is.null",
        "/articles/not.eq.7",
        "/articles/99999999999999999999999999999999",
        "/articles/-1",
        "/articles/NaN",
        "/articles/%2e%2e",
        "/articles/%2e%2e%2f%2e%2e",
        "/articles/7%2F",
        "/articles/%207",
        "/articles/7%20",
        "/articles/%2B7",
        "/articles/7%0d%0aSet-Cookie:%20a=b",
        "/articles/%0a7",
        "/articles/%1b%5b2J",
        "/articles/%c3%a9",
        "/articles/%e2%80%ae7",
        "/articles/%ef%bb%bf7",
        "/articles/%f4%8f%bf%bf",
        "/articles/%2537",
        "/articles/%252F",
        "/articles/7,8",
        "/articles/7)",
        "/articles/(7)",
        "/articles/(7,8)",
        "/articles/%22",
        "/articles/%22),id=in.(%227",
        "/articles/%5C",
        "/articles/%5C%22",
        "/articles/eq.7&select=*",
        "/articles/7;id=8",
        "/articles/7%23",
        "/articles/7%3fselect=*",
        "/articles/7'--",
        "/articles/*",
        "/articles/%25",
        "/articles/7%26select=*",
        "/articles/$where",
        "/articles/7|8",
        "/articles/{7}",
        "/articles/\"7\"",
        "/articles/7:8",
        "/articles/@7",
        "/articles/7+8",
        "/articles/7=8",
    ] {
        requests.push((404, get(target)));
    }
    // Methods.
    for method in ["POST", "PUT", "DELETE", "PATCH", "PROPFIND", "get", "X"] {
        requests.push((405, request(method, "/articles/7", &[], b"")));
    }
    requests.push((405, request("POST", "/articles", &[], &[b'x'; 100_000])));
    for method in ["GET", "PUT", "DELETE", "HEAD."] {
        requests.push((405, request(method, "/revalidate", &[], b"")));
    }
    // Request headers.
    requests.push((406, with("accept", "text/html")));
    requests.push((406, with("accept", &format!("a/b;q={}", long(20_000)))));
    requests.push((406, with("accept", "application/json;q=0")));
    requests.push((406, with("accept-encoding", "identity;q=0, *;q=0")));
    // Webhook authentication.
    for authorization in [
        "",
        "Bearer",
        "Bearer x",
        "Basic OnNlY3JldA==",
        "Bearer \u{e9}\u{e9}",
        &long(20_000),
    ] {
        requests.push((401, webhook(&[("authorization", authorization)])));
    }
    requests.push((
        401,
        webhook(&[("authorization", &bearer), ("authorization", &bearer)]),
    ));
    requests.push((401, signature("a", "0", "v1,x")));
    requests.push((401, signature("a", "-9223372036854775808", "v1,x")));
    requests.push((401, signature("a", "99999999999999999999999", "v1,x")));
    requests.push((401, signature("a", &now, "v1,")));
    requests.push((401, signature("a", &now, &"v1,x ".repeat(5_000))));
    requests.push((401, signature("", &now, "v2,x v1a,y , ,,")));
    // Webhook bodies. Nesting is not limited, but these bodies end too early.
    for body in [
        "",
        "no json",
        "[]",
        "null",
        "\"x\"",
        "{",
        "{\"type\":}",
        "{}{}",
        "{\"type\":\"INSERT\",\"record\":{\"id\":\"\\ud800\"}",
        &deep("["),
        &deep("{\"a\":"),
    ] {
        requests.push((400, post(body.as_bytes())));
    }
    requests.push((400, post(b"{\"a\":\"\xff\xfe\"}")));
    requests.push((400, post(&[0; 1_000])));
    // Of a body over 4 MiB, only the start is read. It must be the start of a JSON object.
    for long in [" ", "[", "{\"type\":\"", "\"", "\\", "7", "]", "{}{"] {
        requests.push((400, post(long.repeat((5 << 20) / long.len()).as_bytes())));
    }
    // A chunk for each byte takes no more memory than a single chunk.
    let mut chunked = request(
        "POST",
        "/revalidate",
        &[("authorization", &bearer), ("transfer-encoding", "chunked")],
        b"",
    );
    chunked.extend_from_slice(&b"1\r\nx\r\n".repeat(270_000));
    chunked.extend_from_slice(b"0\r\n\r\n");
    requests.push((400, chunked));
    requests
}

#[tokio::test]
async fn every_hostile_request_gets_a_4xx_with_a_problem_and_the_next_read_succeeds() {
    let afterword = Setup::default().start().await;
    let valid = afterword.wait_for_hit("/articles/7").await;
    let requests = hostile_requests();
    assert!(requests.len() >= 60, "{} requests", requests.len());
    for (expected, request) in requests {
        let start = String::from_utf8_lossy(&request[..request.len().min(300)]).into_owned();
        let response = exchange(&afterword, request).await;
        let head = &response.head;
        assert_eq!(response.status, expected, "{start}\n{head}");
        assert!(
            head.contains("content-type: application/problem+json"),
            "{start}\n{head}"
        );
        let problem = response.problem();
        let problem_type = problem["type"].as_str().unwrap();
        assert!(problem_type.starts_with("urn:problem-type:afterword:"));
        assert_eq!(problem["status"], expected);
        assert!(problem["detail"].as_str().is_some_and(|it| !it.is_empty()));
        let read = afterword.get("/articles/7").await;
        assert_eq!(read.body, valid.body, "{start}");
    }
    let traps = ["trap", "panicked", "instance failed", "no response"];
    afterword.assert_not_in_log(&traps);
    afterword.assert_not_in_log(&[SECRET]);
    assert_eq!(afterword.queue().await.unwrap(), [""; 0]);
}

#[tokio::test]
async fn a_body_that_stalls_is_not_waited_for() {
    let afterword = Setup::default().no_worker().start().await;
    let bearer = format!("Bearer {SECRET}");
    let headers = [("authorization", &*bearer), ("content-length", "100")];
    let mut stalled = request("POST", "/revalidate", &headers, b"");
    stalled.extend_from_slice(b"{\"type\"");
    let response = exchange(&afterword, stalled).await;
    let problem = response.problem();
    assert_eq!(
        (response.status, problem["type"].as_str()),
        (400, Some("urn:problem-type:afterword:body-cut-short"))
    );
    afterword.invalidate_list().await;
}

#[tokio::test]
async fn no_id_changes_the_query_to_the_origin() {
    let afterword = Setup::default()
        .no_worker()
        .variable("id_column", "slug")
        .start()
        .await;
    for (path, value) in [
        ("is.null", "is.null"),
        ("not.eq.7", "not.eq.7"),
        ("in.7", "in.7"),
        ("or.id.eq.7", "or.id.eq.7"),
        ("~", "~"),
        ("(any).%7B7%7D", "%28any%29.%7B7%7D"),
        ("in.(7,8)", "in.%287%2C8%29"),
        ("7&select=secret", "7%26select%3Dsecret"),
        ("7;limit=1", "7%3Blimit%3D1"),
        ("7%26or=(id.gt.0)", "7%26or%3D%28id.gt.0%29"),
        ("7%23", "7%23"),
        ("7%3F", "7%3F"),
        ("7+8", "7%2B8"),
        ("%252e", "%252e"),
        ("%2E%2E%2Frpc", "..%2Frpc"),
        ("7%0d%0ahost:%20x", "7%0D%0Ahost%3A%20x"),
        ("%22%5C*%25", "%22%5C%2A%25"),
    ] {
        afterword.supabase().clear_requests();
        let response = afterword.get_article(path).await;
        assert_eq!(response.status, 404, "{path}");
        let requests = afterword.supabase().requests();
        assert_eq!(requests.len(), 1, "{path}: {requests:?}");
        assert_eq!(requests[0].query, format!("select=*&slug=eq.{value}"));
        assert_eq!(requests[0].path, "/rest/v1/articles");
    }
    assert!(afterword.log().is_ascii());
}
