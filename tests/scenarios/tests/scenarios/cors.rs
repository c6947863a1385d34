//! Which pages in browsers may read the answers.

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
async fn without_a_list_no_other_origin_may_read() {
    let afterword = Setup::default().no_worker().start().await;
    let answer = afterword
        .get_with("/articles/7", &[("origin", ALLOWED)])
        .await;
    assert_eq!(answer.status, 200);
    assert!(!answer.has("access-control-allow-origin"));
    assert_eq!(answer.header("vary"), "Accept-Encoding");
    let answer = afterword
        .send(Method::OPTIONS, "/articles/7", &preflight(ALLOWED), "")
        .await;
    assert_eq!(answer.status, 204);
    assert!(!answer.has("access-control-allow-methods"));
}

#[tokio::test]
async fn a_listed_origin_may_read_hits_misses_and_errors_and_caches_are_told() {
    let afterword = Setup::default()
        .variable(
            "cors_allow_origins",
            format!("{ALLOWED}, http://localhost:5173"),
        )
        .start()
        .await;
    let tag = afterword
        .wait_for_hit("/articles/7")
        .await
        .header("etag")
        .to_owned();
    for (path, field, status) in [
        ("/articles/7", ("accept", "*/*"), 200),
        ("/articles/7", ("if-none-match", tag.as_str()), 304),
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
            let answer = afterword.get_with(path, &[("origin", origin), field]).await;
            assert_eq!(answer.status, status, "{path}");
            let values: Vec<_> = answer
                .headers
                .get_all("access-control-allow-origin")
                .iter()
                .collect();
            let expected = Some(allowed).filter(|allowed| !allowed.is_empty());
            assert_eq!(values, Vec::from_iter(expected), "{origin} {path}");
            assert_eq!(
                answer.has("access-control-expose-headers"),
                !allowed.is_empty()
            );
            assert!(!answer.has("access-control-allow-credentials"));
            let varies = answer.headers.get_all("vary");
            assert!(
                varies.iter().any(|value| value == "Origin"),
                "{path}: {answer:?}"
            );
        }
        let answer = afterword.get_with(path, &[field]).await;
        assert!(!answer.has("access-control-allow-origin"), "no origin");
    }
}

#[tokio::test]
async fn a_star_lets_all_read_and_nothing_varies() {
    let afterword = Setup::default()
        .variable("cors_allow_origins", "*")
        .no_worker()
        .start()
        .await;
    for fields in [&[("origin", OTHER)][..], &[]] {
        let answer = afterword.get_with("/articles/7", fields).await;
        assert_eq!(answer.header("access-control-allow-origin"), "*");
        assert_eq!(answer.header("vary"), "Accept-Encoding");
    }
}

#[tokio::test]
async fn a_preflight_from_an_allowed_origin_is_answered_without_a_look_into_anything() {
    let afterword = Setup::default()
        .variable("cors_allow_origins", ALLOWED)
        .no_worker()
        .start()
        .await;
    let answer = afterword
        .send(Method::OPTIONS, "/articles/7", &preflight(ALLOWED), "")
        .await;
    assert_eq!((answer.status, answer.bytes.len()), (204, 0));
    for (name, value) in [
        ("access-control-allow-origin", ALLOWED),
        ("access-control-allow-methods", "GET, HEAD"),
        ("access-control-allow-headers", "*, Authorization"),
        ("access-control-max-age", "86400"),
        ("vary", "Origin"),
        ("allow", "GET, HEAD, OPTIONS"),
    ] {
        // Once: a browser takes none of two.
        let values: Vec<_> = answer.headers.get_all(name).iter().collect();
        assert_eq!(values, [value], "{name}");
    }
    // Whatever the path, so that the page learns what is wrong with it.
    let odd = afterword
        .send(Method::OPTIONS, "/articles/1/2", &preflight(ALLOWED), "")
        .await;
    assert_eq!(odd.status, 204);
    let other = afterword
        .send(Method::OPTIONS, "/articles/7", &preflight(OTHER), "")
        .await;
    assert_eq!(other.status, 204);
    assert!(!other.has("access-control-allow-origin"));
    assert!(!other.has("access-control-allow-methods"));
    assert_eq!(afterword.supabase().requests(), []);
}

#[tokio::test]
async fn a_list_that_means_nothing_is_refused_by_name() {
    let afterword = Setup::default()
        .variable("cors_allow_origins", "example.org")
        .no_worker()
        .start()
        .await;
    let answer = afterword.get("/articles/7").await;
    assert_eq!(answer.status, 500);
    assert_eq!(
        answer.json()["type"],
        "urn:problem-type:afterword:not-configured"
    );
    assert!(afterword.log().contains("cors_allow_origins"));
}
