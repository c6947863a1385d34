use afterword_supabase::Options;
use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{header, sample, send, start};

const DENIED: &str = r#"{"code":"42501","details":null,"hint":null,"message":"permission denied for table articles"}"#;

#[tokio::test]
async fn a_request_needs_a_known_key() {
    let stand_in = sample().await;
    let (status, body) = send(stand_in.bare(Method::GET, "/rest/v1/articles")).await;
    assert_eq!(status, 401);
    assert_eq!(
        body,
        r#"{"message":"No API key found in request","hint":"No `apikey` request header or url param was found."}"#
    );
    let wrong = stand_in
        .bare(Method::GET, "/rest/v1/articles")
        .header("apikey", "sb_publishable_wrong");
    let (status, body) = send(wrong).await;
    assert_eq!(status, 401);
    assert!(
        body.starts_with(r#"{"message":"Invalid API key""#),
        "{body}"
    );
    let in_query = format!(
        "/rest/v1/articles?limit=1&apikey={}",
        stand_in.supabase.anon_key()
    );
    assert_eq!(send(stand_in.bare(Method::GET, &in_query)).await.0, 200);
    let logged = stand_in.supabase.requests().pop().unwrap();
    assert_eq!(logged.query, "limit=1");
}

#[tokio::test]
async fn an_sb_key_may_also_be_the_bearer_token() {
    let stand_in = sample().await;
    let keys = stand_in.supabase.keys();
    for (key, articles) in [(&keys.publishable, 22), (&keys.secret, 25)] {
        let request = stand_in
            .bare(Method::GET, "/rest/v1/articles?select=id")
            .header("apikey", key)
            .bearer_auth(key);
        let (status, body) = send(request).await;
        assert_eq!(status, 200, "{body}");
        let rows: Vec<Value> = serde_json::from_str(&body).unwrap();
        assert_eq!(rows.len(), articles, "{key}");
    }
}

#[tokio::test]
async fn the_anonymous_role_does_not_see_drafts_and_the_hidden_column() {
    let stand_in = sample().await;
    let rows = stand_in.read("articles?id=in.(8,9)").await;
    assert_eq!(rows.as_array().unwrap().len(), 1);
    assert_eq!(rows[0]["id"], 8);
    assert_eq!(rows[0].get("editor_notes"), None);

    let (_, body) = send(stand_in.service(Method::GET, "articles?id=in.(8,9)&order=id")).await;
    let rows: Vec<Value> = serde_json::from_str(&body).unwrap();
    assert_eq!(rows[1]["published"], false);
    assert!(rows[0]["editor_notes"].is_string());
}

#[tokio::test]
async fn naming_the_hidden_column_is_refused_everywhere() {
    let stand_in = sample().await;
    for query in [
        "select=id,editor_notes",
        "editor_notes=is.null",
        "order=editor_notes",
    ] {
        let response = stand_in
            .anon(Method::GET, &format!("articles?{query}"))
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 401, "{query}");
        assert_eq!(header(&response, "www-authenticate"), "Bearer");
        assert_eq!(header(&response, "proxy-status"), "PostgREST; error=42501");
        assert_eq!(response.text().await.unwrap(), DENIED, "{query}");
    }
}

#[tokio::test]
async fn strict_columns_refuse_the_star_like_postgrest() {
    let stand_in = start(Options {
        strict_columns: true,
        ..Options::default()
    })
    .await;
    assert_eq!(
        send(stand_in.anon(Method::GET, "articles")).await,
        (401, DENIED.to_owned())
    );
    assert_eq!(
        send(stand_in.anon(Method::GET, "articles?select=id,title"))
            .await
            .0,
        200
    );
    assert_eq!(send(stand_in.service(Method::GET, "articles")).await.0, 200);
}

#[tokio::test]
async fn the_anonymous_role_cannot_write() {
    let stand_in = sample().await;
    let article = json!({"slug": "mine", "title": "Mine", "published": true});
    let (status, body) = send(stand_in.anon(Method::POST, "articles").json(&article)).await;
    assert_eq!(status, 401);
    assert_eq!(
        body,
        r#"{"code":"42501","details":null,"hint":null,"message":"new row violates row-level security policy for table \"articles\""}"#
    );

    // Row-level security hides the rows from an UPDATE and a DELETE, which succeed without a
    // change.
    let patch = stand_in
        .anon(Method::PATCH, "articles?id=eq.1")
        .header("prefer", "return=representation")
        .json(&json!({"title": "Mine"}));
    assert_eq!(send(patch).await, (200, "[]".to_owned()));
    assert_eq!(
        send(stand_in.anon(Method::DELETE, "articles?id=eq.1")).await,
        (204, String::new())
    );
    let rows = stand_in.read("articles?id=eq.1&select=title").await;
    assert_eq!(rows, json!([{"title": "A cache is a promise"}]));
}
