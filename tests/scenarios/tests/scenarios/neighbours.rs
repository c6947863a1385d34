//! Two applications on one Redis: each with a prefix of its own, or both by mistake with the same
//! one.

use std::time::Duration;

use afterword_scenarios::{Afterword, SECRET, Setup};
use afterword_stack::eventually;
use anyhow::{Result, ensure};
use reqwest::Method;
use serde_json::json;

const LIMIT: Duration = Duration::from_secs(60);

const CHANGE: &str = "UPDATE articles SET title = 'Of the neighbour' WHERE id = 7";

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

async fn changes_are_applied(afterword: &Afterword, title: &str) {
    afterword
        .change(Method::PATCH, "?id=eq.7", json!({ "title": title }))
        .await;
    let answer = afterword.wait_for_hit("/articles/7").await;
    assert_eq!(answer.json()["title"], title);
}

#[tokio::test]
async fn applications_with_prefixes_of_their_own_do_not_notice_each_other() {
    let afterword = Setup::default().start().await;
    afterword.wait_for_hit("/articles/7").await;
    let own = [("redis_prefix", "{neighbour}")];
    let neighbour = afterword.start_other_application(&own).await.unwrap();
    let stored = eventually(LIMIT, "the neighbour's entry", async || {
        let before = neighbour.supabase.requests().len();
        let body = get(&neighbour.url).await?;
        let asked = neighbour.supabase.requests().len() - before;
        ensure!(asked == 0, "it was fetched: {body}");
        Ok(body)
    });
    assert!(stored.await.unwrap().contains("The thundering herd"));

    neighbour.supabase.execute(CHANGE).unwrap();
    webhook_to(&neighbour.url).await.unwrap();
    eventually(LIMIT, "the neighbour's change", async || {
        let body = get(&neighbour.url).await?;
        ensure!(body.contains("Of the neighbour"), "{body}");
        Ok(())
    })
    .await
    .unwrap_or_else(|error| panic!("{error:#}"));
    changes_are_applied(&afterword, "Of the first").await;
    assert!(!get(&neighbour.url).await.unwrap().contains("Of the first"));
}

#[tokio::test]
async fn a_second_application_on_the_same_prefix_is_refused_and_the_first_loses_nothing() {
    let afterword = Setup::default().start().await;
    afterword.wait_for_hit("/articles/7").await;
    let neighbour = afterword.start_other_application(&[]).await.unwrap();
    afterword.wake_up().until_heard(LIMIT).await.unwrap();
    let refused = "refused: `redis_prefix` is in use by another application";
    let line = neighbour.worker.line_with(refused, LIMIT).await.unwrap();
    assert!(line.contains(&afterword.supabase().url()), "{line}");
    assert!(line.contains(&neighbour.supabase.url()), "{line}");

    for round in 1..=3 {
        changes_are_applied(&afterword, &format!("Round {round}")).await;
    }
    neighbour.supabase.execute(CHANGE).unwrap();
    webhook_to(&neighbour.url).await.unwrap();
    // Its change is not stored, so its readers get it from its origin.
    assert!(
        get(&neighbour.url)
            .await
            .unwrap()
            .contains("Of the neighbour")
    );
    changes_are_applied(&afterword, "Last").await;
}
