//! Requests from one component to another by service chaining.

use afterword_scenarios::Setup;

#[tokio::test]
async fn a_refresh_url_that_names_no_component_is_logged() {
    let setup = Setup::default().http_manifest().no_webhooks();
    let setup = setup.variable("refresh_url", "http://missing.spin.internal");
    let afterword = setup.start().await;
    // Only one read: Spin ends the instance that sends the request, with all that it is doing.
    assert_eq!(afterword.get("/articles/7").await.status, 200);
    afterword.wait_for_http_log("missing").await;
    // A scheduler's call needs no service chaining.
    assert_eq!(afterword.refresh_when_free().await.json()["due"], 0);
    afterword.wait_for_hit("/articles/7").await;
}
