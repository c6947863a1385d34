//! Cross-origin reads by web pages (CORS).

use afterword_scenarios::Setup;
use reqwest::Method;

const ALLOWED: &str = "https://example.org";
const OTHER: &str = "https://evil.example";

fn preflight(origin: &str) -> [(&str, &str); 3] {
    [
        ("origin", origin),
        ("access-control-request-method", "GET"),
        ("access-control-request-headers", "if-none-match"),
    ]
}

#[tokio::test]
async fn without_configuration_no_other_origin_may_read() {
    let afterword = Setup::default().no_worker().start().await;
    let response = afterword
        .get_with("/articles/7", &[("origin", ALLOWED)])
        .await;
    assert_eq!(response.status, 200);
    assert!(!response.has("access-control-allow-origin"));
    assert_eq!(response.header("vary"), "Accept-Encoding");
    let response = afterword
        .send(Method::OPTIONS, "/articles/7", &preflight(ALLOWED), "")
        .await;
    assert_eq!(response.status, 204);
    assert!(!response.has("access-control-allow-methods"));
}

#[tokio::test]
async fn a_listed_origin_may_read_hits_misses_and_errors_and_responses_vary() {
    let afterword = Setup::default()
        .variable(
            "cors_allow_origins",
            format!("{ALLOWED}, http://localhost:5173"),
        )
        .start()
        .await;
    let hit = afterword.wait_for_hit("/articles/7").await;
    let tag = hit.header("etag");
    for (path, header, status) in [
        ("/articles/7", ("accept", "*/*"), 200),
        ("/articles/7", ("if-none-match", tag), 304),
        ("/articles/8", ("accept", "*/*"), 200),
        ("/articles/4711", ("accept", "*/*"), 404),
        ("/articles/1/2", ("accept", "*/*"), 404),
        ("/articles/7", ("accept", "text/html"), 406),
    ] {
        for (origin, allowed) in [
            (ALLOWED, ALLOWED),
            ("http://localhost:5173", "http://localhost:5173"),
            (OTHER, ""),
            ("null", ""),
        ] {
            let response = afterword
                .get_with(path, &[("origin", origin), header])
                .await;
            assert_eq!(response.status, status, "{path}");
            let values: Vec<_> = response
                .headers
                .get_all("access-control-allow-origin")
                .iter()
                .collect();
            let expected = Some(allowed).filter(|allowed| !allowed.is_empty());
            assert_eq!(values, Vec::from_iter(expected), "{origin} {path}");
            assert_eq!(
                response.has("access-control-expose-headers"),
                !allowed.is_empty()
            );
            assert!(!response.has("access-control-allow-credentials"));
            let varies = response.headers.get_all("vary");
            assert!(
                varies.iter().any(|value| value == "Origin"),
                "{path}: {response:?}"
            );
        }
        let response = afterword.get_with(path, &[header]).await;
        assert!(!response.has("access-control-allow-origin"), "no origin");
    }
}

#[tokio::test]
async fn with_a_star_every_origin_may_read_and_responses_do_not_vary() {
    let afterword = Setup::default()
        .variable("cors_allow_origins", "*")
        .no_worker()
        .start()
        .await;
    for headers in [&[("origin", OTHER)][..], &[]] {
        let response = afterword.get_with("/articles/7", headers).await;
        assert_eq!(response.header("access-control-allow-origin"), "*");
        assert_eq!(response.header("vary"), "Accept-Encoding");
    }
}

#[tokio::test]
async fn the_response_to_a_preflight_allows_a_listed_origin() {
    let afterword = Setup::default()
        .variable("cors_allow_origins", ALLOWED)
        .no_worker()
        .start()
        .await;
    let response = afterword
        .send(Method::OPTIONS, "/articles/7", &preflight(ALLOWED), "")
        .await;
    assert_eq!((response.status, response.bytes.len()), (204, 0));
    for (name, value) in [
        ("access-control-allow-origin", ALLOWED),
        ("access-control-allow-methods", "GET, HEAD"),
        ("access-control-allow-headers", "*, Authorization"),
        ("access-control-max-age", "86400"),
        ("vary", "Origin"),
        ("allow", "GET, HEAD, OPTIONS"),
    ] {
        // Exactly once: browsers reject a header that is repeated.
        let values: Vec<_> = response.headers.get_all(name).iter().collect();
        assert_eq!(values, [value], "{name}");
    }
    // Invalid paths too, so that the page can read the error that follows.
    let invalid = afterword
        .send(Method::OPTIONS, "/articles/1/2", &preflight(ALLOWED), "")
        .await;
    assert_eq!(invalid.status, 204);
    let other = afterword
        .send(Method::OPTIONS, "/articles/7", &preflight(OTHER), "")
        .await;
    assert_eq!(other.status, 204);
    assert!(!other.has("access-control-allow-origin"));
    assert!(!other.has("access-control-allow-methods"));
    afterword.assert_no_origin_request();
}

#[tokio::test]
async fn an_invalid_list_of_origins_is_an_error_that_names_the_variable() {
    let afterword = Setup::default()
        .variable("cors_allow_origins", "example.org")
        .no_worker()
        .start()
        .await;
    let response = afterword.get("/articles/7").await;
    assert_eq!(response.status, 500);
    assert_eq!(
        response.json()["type"],
        "urn:problem-type:afterword:not-configured"
    );
    assert!(afterword.log().contains("cors_allow_origins"));
}
