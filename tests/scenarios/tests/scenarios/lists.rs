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
    let hit = afterword.wait_for_hit("/articles").await;
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

/// So many rows, of which the first `named` have a body, by which they are listed, and the others
/// NULL.
fn with_bodies(count: usize, named: usize) -> String {
    let rows: Vec<String> = (1..=count)
        .map(|id| match id <= named {
            true => format!("({id}, 'row-{id}', 'T', 'b{id:05}', true)"),
            false => format!("({id}, 'row-{id}', 'T', NULL, true)"),
        })
        .collect();
    let columns = "id, slug, title, body, published";
    format!(
        "INSERT INTO articles ({columns}) VALUES {}",
        rows.join(", ")
    )
}

#[tokio::test]
async fn rows_whose_id_is_null_are_in_the_list_once_and_where_the_order_has_them() {
    for order in [
        "body.asc",
        "body.desc",
        "body.asc.nullsfirst",
        "body.desc.nullslast",
    ] {
        for (named, nulls) in [(150, 70), (70, 150), (0, 130)] {
            let afterword = Setup::default()
                .no_articles()
                .no_worker()
                .row_cap(100)
                .variable("id_column", "body")
                .variable("list_query", format!("select=id,body&order={order}"))
                .start()
                .await;
            let rows = with_bodies(named + nulls, named);
            afterword.supabase().execute(&rows).unwrap();
            let missed = afterword.get("/articles").await.json();
            let bodies: Vec<&Value> = missed
                .as_array()
                .unwrap()
                .iter()
                .map(|row| &row["body"])
                .collect();
            let mut expected: Vec<Value> =
                (1..=named).map(|id| format!("b{id:05}").into()).collect();
            if order.contains("desc") {
                expected.reverse();
            }
            let at = if matches!(order, "body.desc" | "body.asc.nullsfirst") {
                0
            } else {
                named
            };
            expected.splice(at..at, vec![Value::Null; nulls]);
            assert_eq!(bodies, expected.iter().collect::<Vec<_>>(), "{order}");
            let mut ids: Vec<i64> = missed
                .as_array()
                .unwrap()
                .iter()
                .map(|row| row["id"].as_i64().unwrap())
                .collect();
            ids.sort_unstable();
            assert_eq!(
                ids,
                (1..=(named + nulls) as i64).collect::<Vec<_>>(),
                "{order}"
            );
        }
    }
}

#[tokio::test]
async fn a_list_that_could_not_go_on_by_id_is_not_stored_while_changes_keep_coming() {
    let mut afterword = Setup::default()
        .no_articles()
        .no_worker()
        .no_webhooks()
        .row_cap(100)
        .variable("list_query", "select=title&order=id.asc")
        .start()
        .await;
    afterword.supabase().execute(&rows(250)).unwrap();
    // Each paging meets a change before its end.
    let slow = RestDial {
        matching: "offset=200".into(),
        delay_ms: 1_000,
        ..RestDial::default()
    };
    let rest = vec![slow];
    let dials = Dials {
        rest,
        ..Dials::default()
    };
    afterword.supabase().set_dials(dials).unwrap();
    afterword.start_worker().await.unwrap();
    for paging in 1..=3 {
        afterword_stack::eventually(
            std::time::Duration::from_secs(60),
            "the last page",
            async || {
                let asked = afterword.supabase().requests();
                let last = asked
                    .iter()
                    .filter(|it| it.query.contains("offset=200"))
                    .count();
                anyhow::ensure!(last >= paging, "{last} asked for");
                Ok(())
            },
        )
        .await
        .unwrap();
        afterword.webhook("{}").await;
    }
    let changing = "the list changed each time while it was fetched";
    let limit = std::time::Duration::from_secs(60);
    afterword.worker().line_with(changing, limit).await.unwrap();
    let said = afterword.log();
    let before = said.split(changing).next().unwrap_or_default();
    assert!(!before.contains("updated cache: /articles\n"), "{said}");
}

#[tokio::test]
async fn a_list_with_a_limit_is_not_counted() {
    let setup = Setup::default().row_cap(100);
    let afterword = with_rows(setup.variable("list_query", "order=id.desc&limit=50"), 120).await;
    let counts = RestDial {
        prefer: "count=".into(),
        fault: Some(Fault::Status(503)),
        ..RestDial::default()
    };
    let rest = vec![counts];
    let dials = Dials {
        rest,
        ..Dials::default()
    };
    afterword.supabase().set_dials(dials).unwrap();
    let list = afterword.get("/articles").await;
    assert_eq!(list.json().as_array().map(Vec::len), Some(50), "{list:?}");
    assert_eq!(afterword.supabase().requests().len(), 1);
}

#[tokio::test]
async fn a_list_whose_count_fails_is_fetched_without_one() {
    let count_fails = |fault| {
        let counts = RestDial {
            prefer: "count=exact".into(),
            fault: Some(fault),
            ..RestDial::default()
        };
        let rest = vec![counts];
        Dials {
            rest,
            ..Dials::default()
        }
    };
    let refusal = |status, code: &str| {
        let code = code.to_owned();
        Fault::Refusal { status, code }
    };
    for fault in [
        refusal(500, "57014"),
        refusal(500, "53400"),
        Fault::Status(504),
    ] {
        let afterword = with_rows(Setup::default().row_cap(100), 250).await;
        afterword.supabase().set_dials(count_fails(fault)).unwrap();
        assert_eq!(ids(afterword).await, (1..=250).collect::<Vec<_>>());
    }
    let afterword = with_rows(Setup::default(), 250).await;
    afterword
        .supabase()
        .set_dials(count_fails(Fault::Status(503)))
        .unwrap();
    assert_eq!(afterword.get("/articles").await.status, 503);
    let asked = afterword.supabase().requests().len();
    assert_eq!(asked, 1, "an origin that asks for patience gets it");
}

#[tokio::test]
async fn an_empty_table_is_an_empty_list() {
    assert_eq!(ids(with_rows(Setup::default(), 0).await).await, [0; 0]);
}

#[tokio::test]
async fn a_page_that_fails_leaves_what_was_stored() {
    let mut afterword = with_rows(Setup::default().no_webhooks().row_cap(100), 250).await;
    afterword.start_worker().await.unwrap();
    let before = afterword.wait_for_hit("/articles").await;
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
        afterword.wait_for_failures(1).await;
        afterword.wait_for_origin_request("id=gt.200").await;
        assert_eq!(
            afterword.queue().await.unwrap(),
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
            .redis_command(&[
                "DEL",
                "{afterword}:v1:queue",
                "{afterword}:v1:failures",
                "{afterword}:v1:versions",
                "{afterword}:v1:lease",
                "{afterword}:v1:breaker",
                "{afterword}:v1:suspects",
            ])
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_change_while_the_list_is_paged_pages_it_again() {
    let mut afterword = with_rows(Setup::default().row_cap(100), 250).await;
    afterword.start_worker().await.unwrap();
    afterword.wait_until_reconciled().await.unwrap();
    let stored = |afterword: &Afterword| {
        let said = afterword.log();
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
    afterword.wait_for_origin_request("id=gt.200").await;
    afterword
        .change(
            Method::PATCH,
            "?id=eq.1",
            json!({"title": "Changed meanwhile"}),
        )
        .await;
    afterword.supabase().set_dials(Dials::default()).unwrap();
    afterword.wait_until_drained().await.unwrap();
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
    afterword.wait_until_reconciled().await.unwrap();
    afterword.wait_for_hit("/articles/7").await;
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
    afterword.wait_for_origin_request("id=gt.200").await;
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
            .queue()
            .await
            .unwrap()
            .contains(&"/articles".to_owned()),
        "the list is still under way"
    );
}
