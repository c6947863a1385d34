//! Requests from one component to another by service chaining.

use afterword_scenarios::Setup;

#[tokio::test]
async fn readers_do_not_notice_that_refresh_url_names_no_component() {
    let setup = Setup::default().http_manifest().no_webhooks();
    let setup = setup.variable("refresh_url", "http://missing.spin.internal");
    let afterword = setup.start().await;
    for _ in 0..5 {
        let response = afterword.get("/articles/7").await;
        assert_eq!(response.status, 200, "{response:?}");
        assert_eq!(response.json()["id"], 7);
    }
    afterword.wait_for_http_log("missing").await;
    // A scheduler's call needs no service chaining.
    assert_eq!(afterword.refresh().await.json()["due"], 0);
    afterword.wait_for_hit("/articles/7").await;
}
