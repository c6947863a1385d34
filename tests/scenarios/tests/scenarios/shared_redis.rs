//! Two applications on one Redis, with different prefixes or, by mistake, with the same prefix.

use afterword_scenarios::{Afterword, PATIENCE, SECRET, Setup, wait_until};
use anyhow::{Result, ensure};
use serde_json::json;

const OTHER_CHANGE: &str = "UPDATE articles SET title = 'Of the other' WHERE id = 7";

async fn get(url: &str) -> Result<String> {
    let client = reqwest::Client::builder().no_proxy().build()?;
    let response = client.get(format!("{url}/articles/7")).send().await?;
    Ok(response.text().await?)
}

async fn webhook_to(url: &str) -> Result<()> {
    let client = reqwest::Client::builder().no_proxy().build()?;
    let body = json!({"type": "UPDATE", "record": {"id": 7}}).to_string();
    let request = client
        .post(format!("{url}/revalidate"))
        .bearer_auth(SECRET)
        .body(body);
    ensure!(request.send().await?.status() == 202);
    Ok(())
}

async fn check_that_changes_are_applied(afterword: &Afterword, title: &str) {
    afterword.update_title(7, title).await;
    let response = afterword.wait_for_hit("/articles/7").await;
    assert_eq!(response.json()["title"], title);
}

#[tokio::test]
async fn applications_with_different_prefixes_do_not_affect_each_other() {
    let afterword = Setup::default().start().await;
    afterword.wait_for_hit("/articles/7").await;
    let variables = [("redis_prefix", "{other}")];
    let other = afterword.start_other_application(&variables).await.unwrap();
    let stored = wait_until("waiting for the other's entry", async || {
        let before = other.supabase.requests().len();
        let body = get(&other.url).await?;
        let requests = other.supabase.requests().len() - before;
        ensure!(requests == 0, "it was fetched: {body}");
        Ok(body)
    });
    assert!(stored.await.contains("The thundering herd"));

    other.supabase.execute(OTHER_CHANGE).unwrap();
    webhook_to(&other.url).await.unwrap();
    wait_until("waiting for the other's change", async || {
        let body = get(&other.url).await?;
        ensure!(body.contains("Of the other"), "{body}");
        Ok(())
    })
    .await;
    check_that_changes_are_applied(&afterword, "Of the first").await;
    assert!(!get(&other.url).await.unwrap().contains("Of the first"));
}

#[tokio::test]
async fn a_second_application_with_the_same_prefix_is_refused_and_the_first_loses_no_change() {
    let afterword = Setup::default().start().await;
    afterword.wait_for_hit("/articles/7").await;
    let other = afterword.start_other_application(&[]).await.unwrap();
    afterword.wake_worker().await;
    let refused = "refused: `redis_prefix` is in use by another application";
    let line = other.worker().line_with(refused, PATIENCE).await.unwrap();
    assert!(line.contains(&afterword.supabase().url()), "{line}");
    assert!(line.contains(&other.supabase.url()), "{line}");

    for round in 1..=3 {
        check_that_changes_are_applied(&afterword, &format!("Round {round}")).await;
    }
    other.supabase.execute(OTHER_CHANGE).unwrap();
    webhook_to(&other.url).await.unwrap();
    // Nothing is stored for the other application, so its readers get the change from its origin.
    assert!(get(&other.url).await.unwrap().contains("Of the other"));
    check_that_changes_are_applied(&afterword, "Last").await;
}
