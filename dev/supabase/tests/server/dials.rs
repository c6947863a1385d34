use afterword_supabase::{Dials, Fault, Options, RestDial};
use reqwest::Method;
use serde_json::json;

use crate::client::{send, with_articles};

fn fault(matching: &str, fault: Fault) -> Dials {
    let dial = RestDial {
        matching: matching.to_owned(),
        fault: Some(fault),
        ..RestDial::default()
    };
    Dials {
        rest: vec![dial],
        ..Dials::default()
    }
}

#[tokio::test]
async fn a_fault_applies_to_matching_requests_only() {
    let stand_in = with_articles(2, Options::default()).await;
    stand_in
        .supabase
        .set_dials(fault("id=eq.1", Fault::Status(503)))
        .unwrap();
    assert_eq!(
        send(stand_in.anon(Method::GET, "articles?id=eq.1")).await.0,
        503
    );
    assert_eq!(
        send(stand_in.anon(Method::GET, "articles?id=eq.2")).await.0,
        200
    );
    let statuses: Vec<_> = stand_in
        .supabase
        .requests()
        .iter()
        .map(|request| request.status)
        .collect();
    assert_eq!(statuses, [Some(503), Some(200)]);
    stand_in.supabase.clear_requests();
    assert_eq!(stand_in.supabase.requests(), []);
}

#[tokio::test]
async fn a_failing_write_changes_nothing() {
    let stand_in = with_articles(1, Options::default()).await;
    stand_in
        .supabase
        .set_dials(fault("", Fault::Status(500)))
        .unwrap();
    assert_eq!(
        send(stand_in.service(Method::DELETE, "articles?id=eq.1"))
            .await
            .0,
        500
    );
    stand_in.supabase.set_dials(Dials::default()).unwrap();
    assert_eq!(
        stand_in.read("articles?select=id").await,
        json!([{"id": 1}])
    );
}

#[tokio::test]
async fn a_dropped_connection_has_no_response() {
    let stand_in = with_articles(1, Options::default()).await;
    stand_in.supabase.set_dials(fault("", Fault::Drop)).unwrap();
    let error = stand_in
        .anon(Method::GET, "articles")
        .send()
        .await
        .unwrap_err();
    assert!(error.is_request(), "{error:?}");
    assert_eq!(stand_in.supabase.requests().last().unwrap().status, None);
}

#[tokio::test]
async fn a_cut_response_has_half_of_its_body() {
    let stand_in = with_articles(10, Options::default()).await;
    stand_in.supabase.set_dials(fault("", Fault::Cut)).unwrap();
    let mut response = stand_in.anon(Method::GET, "articles").send().await.unwrap();
    assert_eq!(response.status(), 200);
    let whole = usize::try_from(response.content_length().unwrap()).unwrap();
    let mut received = 0;
    let error = loop {
        match response.chunk().await {
            Ok(chunk) => received += chunk.expect("the body ends before its length").len(),
            Err(error) => break error,
        }
    };
    assert_eq!(received, whole / 2, "{error}");
}

#[tokio::test]
async fn html_has_status_200() {
    let stand_in = with_articles(1, Options::default()).await;
    stand_in.supabase.set_dials(fault("", Fault::Html)).unwrap();
    let (status, body) = send(stand_in.anon(Method::GET, "articles")).await;
    assert_eq!(status, 200);
    assert!(body.starts_with("<!doctype html>"), "{body}");
}

#[tokio::test]
async fn a_delayed_response_has_the_rows_from_before_the_delay() {
    let stand_in = with_articles(1, Options::default()).await;
    let dial = RestDial {
        delay_ms: 300,
        ..RestDial::default()
    };
    stand_in
        .supabase
        .set_dials(Dials {
            rest: vec![dial],
            ..Dials::default()
        })
        .unwrap();
    let reading = stand_in.read("articles?select=title");
    let changing = async {
        while stand_in.supabase.requests().is_empty() {
            tokio::task::yield_now().await;
        }
        stand_in
            .supabase
            .execute("UPDATE articles SET title = 'New'")
            .unwrap();
    };
    let (read, ()) = tokio::join!(reading, changing);
    assert_eq!(read, json!([{"title": "Article 1"}]));
}

#[tokio::test]
async fn dials_are_read_and_set_over_http() {
    let stand_in = with_articles(1, Options::default()).await;
    let put = |body: &str| stand_in.bare(Method::PUT, "/dials").body(body.to_owned());
    let sent = json!({
        "rest": [{"matching": "articles", "fault": {"status": 503}}],
        "webhooks": {"seed": 7},
    });
    assert_eq!(send(put(&sent.to_string())).await.0, 204);
    assert_eq!(
        stand_in.supabase.dials().rest,
        fault("articles", Fault::Status(503)).rest
    );
    assert_eq!(send(stand_in.anon(Method::GET, "articles")).await.0, 503);

    let (status, body) = send(stand_in.bare(Method::GET, "/dials")).await;
    assert_eq!(status, 200);
    assert_eq!(
        Dials::parse(body.as_bytes()).unwrap(),
        stand_in.supabase.dials()
    );

    let (status, body) = send(put(r#"{"webhooks": {"drop": 2}}"#)).await;
    assert_eq!(status, 400);
    assert!(
        body.contains("webhooks.drop is 2, but has to be a fraction"),
        "{body}"
    );
    assert_eq!(stand_in.supabase.dials().webhooks.seed, 7);
    assert_eq!(send(put("{}")).await.0, 204);
    assert_eq!(stand_in.supabase.dials(), Dials::default());
    assert_eq!(send(stand_in.bare(Method::GET, "/elsewhere")).await.0, 404);
}
