//! Requests that nobody sends who means well. Each is answered with a 4xx and a problem, none ends an instance, and the next good
//! request is answered.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use afterword_scenarios::{SECRET, Setup};
use serde_json::Value;

/// Sends these very bytes; returns status, head and body of the answer.
pub fn exchange(address: &str, request: &[u8]) -> (u16, String, Vec<u8>) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    // A server that answers before it has read all may close the connection meanwhile.
    let _ = stream.write_all(request);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let end = answer
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .unwrap_or_else(|| panic!("no answer: {}", String::from_utf8_lossy(&answer)));
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head, answer[end + 4..].to_vec())
}

pub fn request(method: &str, target: &str, fields: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut request =
        format!("{method} {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n");
    for (name, value) in fields {
        request += &format!("{name}: {value}\r\n");
    }
    if !body.is_empty() {
        request += &format!("content-length: {}\r\n", body.len());
    }
    [request.as_bytes(), b"\r\n", body].concat()
}

/// Requests, each with the status that it deserves.
fn table() -> Vec<(u16, Vec<u8>)> {
    let bearer = format!("Bearer {SECRET}");
    let long = |length: usize| "x".repeat(length);
    let get = |target: &str| request("GET", target, &[], b"");
    let with = |name: &str, value: &str| request("GET", "/articles/7", &[(name, value)], b"");
    let post = |body: &[u8]| request("POST", "/revalidate", &[("authorization", &bearer)], body);
    let knock = |fields: &[(&str, &str)]| request("POST", "/revalidate", fields, b"{}");
    let deep = |open: &str| format!("{{\"record\":{}", open.repeat(100_000));
    let signature = |id: &str, timestamp: &str, signature: &str| {
        knock(&[
            ("webhook-id", id),
            ("webhook-timestamp", timestamp),
            ("webhook-signature", signature),
        ])
    };
    let now = format!(
        "{}",
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_secs()
    );
    let mut table = Vec::new();
    // Paths. No id can leave the path, or get into PostgREST's query. These are none:
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
        table.push((404, get(target)));
    }
    table.push((404, get(&format!("/articles/{}", long(256)))));
    table.push((404, get(&format!("/articles/{}", long(10_000)))));
    table.push((404, get(&format!("/articles/{}", "%41".repeat(256)))));
    table.push((404, get(&format!("/articles/{}", "%c3%a9".repeat(128)))));
    // What is an id, but nobody's: it reaches the origin as a value, and nothing in it means
    // anything there.
    for target in [
        "/articles/..",
        "/articles/is.null",
        "/articles/not.eq.7",
        "/articles/99999999999999999999999999999999",
        "/articles/-1",
        "/articles/NaN",
        "/articles/4711?id=eq.7&select=secret",
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
        table.push((404, get(target)));
    }
    // Methods.
    for method in ["POST", "PUT", "DELETE", "PATCH", "PROPFIND", "get", "X"] {
        table.push((405, request(method, "/articles/7", &[], b"")));
    }
    table.push((405, request("POST", "/articles", &[], &[b'x'; 100_000])));
    for method in ["GET", "PUT", "DELETE", "HEAD."] {
        table.push((405, request(method, "/revalidate", &[], b"")));
    }
    // Fields.
    table.push((406, with("accept", "text/html")));
    table.push((406, with("accept", &format!("a/b;q={}", long(20_000)))));
    table.push((406, with("accept", "application/json;q=0")));
    table.push((406, with("accept-encoding", "identity;q=0, *;q=0")));
    // The door.
    for authorization in [
        "",
        "Bearer",
        "Bearer x",
        "Basic OnNlY3JldA==",
        "Bearer \u{e9}\u{e9}",
        &long(20_000),
    ] {
        table.push((401, knock(&[("authorization", authorization)])));
    }
    table.push((
        401,
        knock(&[("authorization", &bearer), ("authorization", &bearer)]),
    ));
    table.push((401, signature("a", "0", "v1,x")));
    table.push((401, signature("a", "-9223372036854775808", "v1,x")));
    table.push((401, signature("a", "99999999999999999999999", "v1,x")));
    table.push((401, signature("a", &now, "v1,")));
    table.push((401, signature("a", &now, &"v1,x ".repeat(5_000))));
    table.push((401, signature("", &now, "v2,x v1a,y , ,,")));
    // Bodies.
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
        table.push((400, post(body.as_bytes())));
    }
    table.push((400, post(b"{\"a\":\"\xff\xfe\"}")));
    table.push((400, post(&[0; 1_000])));
    // Of a longer one, the first part is read.
    for long in [
        " ",
        "[",
        "{\"a\":",
        "{\"type\":\"",
        "\"",
        "\\",
        "7",
        "]",
        "{}{",
    ] {
        table.push((400, post(long.repeat((5 << 20) / long.len()).as_bytes())));
    }
    // Each byte a chunk of its own: no more memory than in one piece.
    let mut chunked = request(
        "POST",
        "/revalidate",
        &[("authorization", &bearer), ("transfer-encoding", "chunked")],
        b"",
    );
    chunked.extend_from_slice(&b"1\r\nx\r\n".repeat(270_000));
    chunked.extend_from_slice(b"0\r\n\r\n");
    table.push((400, chunked));
    table
}

#[tokio::test]
async fn every_hostile_request_is_a_4xx_with_a_problem_and_the_next_good_one_is_answered() {
    let afterword = Setup::default().start().await;
    let good = afterword.wait_for_hit("/articles/7").await;
    let address = afterword.url().trim_start_matches("http://").to_owned();
    let table = table();
    assert!(table.len() >= 60, "{} requests", table.len());
    for (expected, request) in table {
        let shown = String::from_utf8_lossy(&request[..request.len().min(300)]).into_owned();
        let address = address.clone();
        let answer = tokio::task::spawn_blocking(move || exchange(&address, &request));
        let (status, head, body) = answer.await.unwrap();
        assert_eq!(status, expected, "{shown}\n{head}");
        assert!(
            head.contains("content-type: application/problem+json"),
            "{shown}\n{head}"
        );
        let problem: Value = serde_json::from_slice(&body)
            .unwrap_or_else(|error| panic!("{error}: {shown}\n{head}"));
        let of_type = problem["type"].as_str().unwrap();
        assert!(of_type.starts_with("urn:problem-type:afterword:"));
        assert_eq!(problem["status"], expected);
        assert!(problem["detail"].as_str().is_some_and(|it| !it.is_empty()));
        assert_eq!(
            afterword.get("/articles/7").await.body,
            good.body,
            "{shown}"
        );
    }
    let said = afterword.log();
    for trap in ["trap", "panicked", "instance failed", "no response", SECRET] {
        assert!(!said.contains(trap), "{trap}: {said}");
    }
    assert_eq!(afterword.queue().await.unwrap(), [""; 0]);
}

#[tokio::test]
async fn who_stops_in_the_middle_of_a_body_is_not_waited_for() {
    let afterword = Setup::default().no_worker().start().await;
    let address = afterword.url().trim_start_matches("http://").to_owned();
    let fields = [
        ("authorization", format!("Bearer {SECRET}")),
        ("content-length", "100".to_owned()),
    ];
    let fields: Vec<(&str, &str)> = fields
        .iter()
        .map(|(name, value)| (*name, &**value))
        .collect();
    let mut stalled = request("POST", "/revalidate", &fields, b"");
    stalled.extend_from_slice(b"{\"type\"");
    let answer = tokio::task::spawn_blocking(move || exchange(&address, &stalled));
    let (status, _, body) = answer.await.unwrap();
    let problem: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(
        (status, problem["type"].as_str()),
        (400, Some("urn:problem-type:afterword:body-cut-short"))
    );
    assert_eq!(afterword.webhook("{}").await.status, 202);
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
        let answer = afterword.get(&format!("/articles/{path}")).await;
        assert_eq!(answer.status, 404, "{path}");
        let asked = afterword.supabase().requests();
        assert_eq!(asked.len(), 1, "{path}: {asked:?}");
        assert_eq!(asked[0].query, format!("select=*&slug=eq.{value}"));
        assert_eq!(asked[0].path, "/rest/v1/articles");
    }
    assert!(afterword.log().is_ascii());
}
