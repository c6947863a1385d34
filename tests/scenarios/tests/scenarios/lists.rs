//! Lists are whole, however few rows the origin gives in an answer.

use afterword_scenarios::{Afterword, Setup};
use afterword_supabase::{Dials, Fault, RestDial};
use reqwest::Method;
use serde_json::{Value, json};

use crate::refreshing::rows;

/// An application with so many rows and no worker yet.
async fn with_rows(setup: Setup, count: usize) -> Afterword {
    let afterword = setup.no_articles().no_worker().start().await;
    if count > 0 {
        afterword.supabase().execute(&rows(count)).unwrap();
    }
    afterword
}

/// Reads the list as a miss and as a hit, which must be the same, and returns the ids in it.
async fn ids(mut afterword: Afterword) -> Vec<i64> {
    let missed = afterword.get("/articles").await;
    assert_eq!(missed.status, 200, "{missed:?}");
    afterword.start_worker().await.unwrap();
    let hit = afterword.hit("/articles").await;
    assert_eq!(missed.body, hit.body);
    hit.json()
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["id"].as_i64().unwrap())
        .collect()
}

#[tokio::test]
async fn a_list_of_2500_rows_is_whole_at_row_caps_of_1000_and_of_100() {
    for (cap, requests) in [(1_000, 3), (100, 25)] {
        let afterword = with_rows(Setup::default().row_cap(cap), 2_500).await;
        afterword.get("/articles").await;
        assert_eq!(afterword.supabase().requests().len(), requests);
        assert_eq!(ids(afterword).await, (1..=2_500).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_list_in_another_order_is_whole_too() {
    let setup = Setup::default()
        .row_cap(100)
        .variable("list_query", "select=id&order=published.desc");
    assert_eq!(
        ids(with_rows(setup, 1_050).await).await,
        (1..=1_050).collect::<Vec<_>>(),
        "the id breaks the ties"
    );
}

#[tokio::test]
async fn the_users_own_limit_is_kept() {
    let setup = Setup::default()
        .row_cap(100)
        .variable("list_query", "order=id.desc&limit=250");
    assert_eq!(
        ids(with_rows(setup, 300).await).await,
        (51..=300).rev().collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn an_empty_table_is_an_empty_list() {
    assert_eq!(ids(with_rows(Setup::default(), 0).await).await, [0; 0]);
}

#[tokio::test]
async fn a_page_that_fails_leaves_what_was_stored() {
    let mut afterword = with_rows(Setup::default().no_webhooks().row_cap(100), 250).await;
    afterword.start_worker().await.unwrap();
    let before = afterword.hit("/articles").await;
    for fault in [Fault::Status(500), Fault::Html, Fault::Cut, Fault::Drop] {
        let last_page = RestDial {
            matching: "id=gt.200".into(),
            fault: Some(fault.clone()),
            ..RestDial::default()
        };
        afterword
            .supabase()
            .execute("UPDATE articles SET title = title || '!'")
            .unwrap();
        afterword
            .supabase()
            .set_dials(Dials {
                rest: vec![last_page],
                ..Dials::default()
            })
            .unwrap();
        afterword.supabase().clear_requests();
        afterword.webhook("{}").await;
        afterword.failed(1).await;
        afterword.origin_asked("id=gt.200").await;
        assert_eq!(
            afterword.marks().await.unwrap(),
            ["/articles"],
            "{fault:?}: it stays marked"
        );
        assert_eq!(
            afterword.get("/articles").await.body,
            before.body,
            "{fault:?}"
        );
        // As if its next turn had come.
        let _: u64 = afterword
            .ask_redis(&[
                "DEL",
                "{afterword}:due",
                "{afterword}:failures",
                "{afterword}:sequences",
                "{afterword}:lease",
                "{afterword}:origin",
                "{afterword}:suspects",
            ])
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_change_while_the_list_is_paged_pages_it_again() {
    let mut afterword = with_rows(Setup::default().row_cap(100), 250).await;
    afterword.start_worker().await.unwrap();
    afterword.reconciled().await.unwrap();
    let stored = |afterword: &Afterword| {
        let said = afterword.said();
        said.lines()
            .filter(|line| line.ends_with("updated cache: /articles"))
            .count()
    };
    let before = stored(&afterword);
    // The answer of the last page shows what was there before the change below, which comes while it is held back.
    let slow = RestDial {
        matching: "id=gt.200".into(),
        delay_ms: 1_500,
        ..RestDial::default()
    };
    afterword
        .supabase()
        .set_dials(Dials {
            rest: vec![slow],
            ..Dials::default()
        })
        .unwrap();
    afterword.supabase().clear_requests();
    afterword.webhook("{}").await;
    afterword.origin_asked("id=gt.200").await;
    afterword
        .change(
            Method::PATCH,
            "?id=eq.1",
            json!({"title": "Changed meanwhile"}),
        )
        .await;
    afterword.supabase().set_dials(Dials::default()).unwrap();
    afterword.worked_off().await.unwrap();
    assert_eq!(
        stored(&afterword) - before,
        1,
        "the list of before the change was never stored"
    );
    afterword.supabase().clear_requests();
    let list = afterword.get("/articles").await.json();
    assert_eq!(afterword.supabase().requests(), []);
    assert_eq!(list.as_array().map(Vec::len), Some(250));
    assert_eq!(list[0]["title"], Value::from("Changed meanwhile"));
}

#[tokio::test]
async fn an_item_is_refreshed_while_a_long_list_is_fetched() {
    let mut afterword = with_rows(Setup::default().row_cap(100), 250).await;
    afterword.start_worker().await.unwrap();
    afterword.reconciled().await.unwrap();
    afterword.hit("/articles/7").await;
    let slow = RestDial {
        matching: "id=gt.200".into(),
        delay_ms: 10_000,
        ..RestDial::default()
    };
    afterword
        .supabase()
        .set_dials(Dials {
            rest: vec![slow],
            ..Dials::default()
        })
        .unwrap();
    afterword.supabase().clear_requests();
    afterword.webhook("{}").await;
    afterword.origin_asked("id=gt.200").await;
    afterword
        .change(
            Method::PATCH,
            "?id=eq.7",
            json!({"title": "Changed meanwhile"}),
        )
        .await;
    afterword_stack::eventually(
        std::time::Duration::from_secs(60),
        "refreshing the item",
        async || {
            anyhow::ensure!(
                afterword.get("/articles/7").await.json()["title"] == "Changed meanwhile",
                "it is the old one"
            );
            Ok(())
        },
    )
    .await
    .unwrap();
    assert!(
        afterword
            .marks()
            .await
            .unwrap()
            .contains(&"/articles".to_owned()),
        "the list is still under way"
    );
}
