use afterword_supabase::Options;
use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{StandIn, header, page, sample, send, with_articles};

async fn two_articles() -> StandIn {
    with_articles(2, Options::default()).await
}

#[tokio::test]
async fn an_insert_has_status_201_and_the_requested_row() {
    let stand_in = two_articles().await;
    let article = json!({"slug": "three", "title": "Three"});
    let (status, range, body) =
        page(stand_in.service(Method::POST, "articles").json(&article)).await;
    assert_eq!((status, range.as_str(), body.as_str()), (201, "*/*", ""));

    let request = stand_in
        .service(Method::POST, "articles?select=id,slug,published")
        .header("prefer", "return=representation")
        .json(&json!([{"slug": "four", "title": "4"}, {"slug": "five", "title": "5"}]));
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 201);
    assert_eq!(
        header(&response, "preference-applied"),
        "return=representation"
    );
    assert_eq!(
        response.text().await.unwrap(),
        "[{\"id\":4,\"slug\":\"four\",\"published\":false}, \n {\"id\":5,\"slug\":\"five\",\"published\":false}]"
    );
}

#[tokio::test]
async fn an_update_has_status_204_and_sets_updated_at() {
    let stand_in = two_articles().await;
    stand_in
        .supabase
        .execute("UPDATE articles SET updated_at = '2020-01-01T00:00:00+00:00'")
        .unwrap();
    let change = json!({"title": "New", "updated_at": "1999-01-01T00:00:00Z"});
    let (status, range, body) = page(
        stand_in
            .service(Method::PATCH, "articles?id=eq.1")
            .json(&change),
    )
    .await;
    assert_eq!((status, range.as_str(), body.as_str()), (204, "0-0/*", ""));

    let rows = stand_in
        .read("articles?select=title,updated_at&order=id")
        .await;
    assert_eq!(rows[0]["title"], "New");
    assert!(rows[0]["updated_at"].as_str().unwrap() > "2026", "{rows}");
    assert_eq!(
        rows[1],
        json!({"title": "Article 2", "updated_at": "2020-01-01T00:00:00+00:00"})
    );

    let none = stand_in
        .service(Method::PATCH, "articles?id=eq.99")
        .header("prefer", "return=representation")
        .json(&change);
    assert_eq!(page(none).await, (200, "*/*".to_owned(), "[]".to_owned()));
}

#[tokio::test]
async fn a_delete_has_status_204_or_the_old_row() {
    let stand_in = two_articles().await;
    assert_eq!(
        send(stand_in.service(Method::DELETE, "articles?id=eq.1")).await,
        (204, String::new())
    );
    let request = stand_in
        .service(Method::DELETE, "articles?id=eq.2&select=id")
        .header("prefer", "return=representation, count=exact");
    assert_eq!(
        page(request).await,
        (200, "*/1".to_owned(), r#"[{"id":2}]"#.to_owned())
    );
    assert_eq!(stand_in.read("articles").await, json!([]));
}

#[tokio::test]
async fn a_change_without_a_filter_is_refused() {
    let stand_in = two_articles().await;
    let (status, body) = send(stand_in.service(Method::DELETE, "articles")).await;
    assert_eq!(status, 400);
    assert!(
        body.contains(r#""code":"21000""#) && body.contains("DELETE requires a WHERE clause"),
        "{body}"
    );
    let (status, _) = send(
        stand_in
            .service(Method::PATCH, "articles")
            .json(&json!({"title": "x"})),
    )
    .await;
    assert_eq!(status, 400);
}

#[tokio::test]
async fn an_upsert_merges_or_ignores_existing_rows() {
    let stand_in = two_articles().await;
    let upsert = |resolution: &str, query: &str, row: Value| {
        stand_in
            .service(Method::POST, &format!("articles?select=id,title{query}"))
            .header(
                "prefer",
                format!("return=representation, resolution={resolution}"),
            )
            .json(&row)
    };
    let row = json!({"id": 1, "slug": "article-1", "title": "Merged"});
    assert_eq!(
        send(upsert("merge-duplicates", "", row.clone())).await,
        (200, r#"[{"id":1,"title":"Merged"}]"#.to_owned())
    );
    let by_slug = json!({"slug": "article-2", "title": "By slug"});
    assert_eq!(
        send(upsert("merge-duplicates", "&on_conflict=slug", by_slug)).await,
        (200, r#"[{"id":2,"title":"By slug"}]"#.to_owned())
    );
    let new = json!({"id": 9, "slug": "nine", "title": "Nine"});
    assert_eq!(
        send(upsert("merge-duplicates", "", new)).await,
        (201, r#"[{"id":9,"title":"Nine"}]"#.to_owned())
    );
    assert_eq!(
        send(upsert("ignore-duplicates", "", row)).await,
        (201, "[]".to_owned())
    );
    let (status, body) = send(upsert(
        "merge-duplicates",
        "&on_conflict=title",
        json!({"slug": "z", "title": "z"}),
    ))
    .await;
    assert_eq!(status, 400);
    assert!(body.contains("42P10"), "{body}");
    let unknown = upsert(
        "merge-duplicates",
        "&on_conflict=nope",
        json!({"slug": "z", "title": "z"}),
    );
    assert_eq!(send(unknown).await.0, 400);
}

#[tokio::test]
async fn an_upsert_of_one_key_twice_is_rolled_back() {
    let stand_in = two_articles().await;
    let upsert = |resolution: &str, slugs: [&str; 3]| {
        let rows = [1, 2, 3].map(|n| json!({"slug": slugs[n - 1], "title": format!("Title {n}")}));
        stand_in
            .service(Method::POST, "articles?on_conflict=slug")
            .header("prefer", format!("resolution={resolution}"))
            .json(&rows)
    };
    // With a new and an existing row, next to each other and apart.
    for slugs in [
        ["new", "new", "other"],
        ["article-1", "new", "article-1"],
        ["new", "article-1", "article-1"],
    ] {
        assert_eq!(
            send(upsert("merge-duplicates", slugs)).await,
            (
                500,
                r#"{"code":"21000","details":null,"hint":"Ensure that no rows proposed for insertion within the same command have duplicate constrained values.","message":"ON CONFLICT DO UPDATE command cannot affect row a second time"}"#.to_owned()
            ),
            "{slugs:?}"
        );
        assert_eq!(
            stand_in.read("articles?select=title").await,
            json!([{"title": "Article 1"}, {"title": "Article 2"}])
        );
    }
    let distinct = upsert("merge-duplicates", ["article-1", "article-2", "new"]);
    assert_eq!(send(distinct).await.0, 201);
    let ignored = upsert("ignore-duplicates", ["article-1", "newer", "newer"]);
    assert_eq!(send(ignored).await.0, 201);
    assert_eq!(
        send(stand_in.service(Method::GET, "articles?select=slug,title"))
            .await
            .1,
        "[{\"slug\":\"article-1\",\"title\":\"Title 1\"}, \n {\"slug\":\"article-2\",\"title\":\"Title 2\"}, \n \
         {\"slug\":\"new\",\"title\":\"Title 3\"}, \n {\"slug\":\"newer\",\"title\":\"Title 2\"}]"
    );
}

#[tokio::test]
async fn a_change_returns_its_rows_in_the_requested_order() {
    let stand_in = two_articles().await;
    let change = |method: Method, query: &str| {
        stand_in
            .service(method, &format!("articles?{query}"))
            .header("prefer", "return=representation")
    };
    let ids = async |request| {
        let (status, body) = send(request).await;
        let rows: Vec<Value> = serde_json::from_str(&body).unwrap();
        let ids: Vec<_> = rows.iter().map(|row| row["id"].as_i64().unwrap()).collect();
        (status, ids)
    };
    let rows = json!([
        {"slug": "b", "title": "x", "body": null},
        {"slug": "c", "title": "x", "body": "y"},
        {"slug": "a", "title": "x", "body": "y"},
    ]);
    let insert = change(Method::POST, "select=id&order=body.desc.nullslast,slug").json(&rows);
    assert_eq!(ids(insert).await, (201, vec![5, 4, 3]));
    let update = change(Method::PATCH, "id=gt.2&order=slug").json(&json!({"title": "y"}));
    assert_eq!(ids(update).await, (200, vec![5, 3, 4]));
    let update = change(Method::PATCH, "id=gt.2&order=body,id.desc").json(&json!({"title": "y"}));
    assert_eq!(ids(update).await, (200, vec![5, 4, 3]));
    let delete = change(Method::DELETE, "id=gt.3&order=id.desc&select=id");
    assert_eq!(ids(delete).await, (200, vec![5, 4]));
}

#[tokio::test]
async fn a_change_cannot_be_ordered_by_an_unknown_column() {
    let stand_in = two_articles().await;
    let patch = |prefer: &str| {
        stand_in
            .service(Method::PATCH, "articles?id=eq.1&order=nope")
            .header("prefer", prefer)
            .json(&json!({"title": "New"}))
    };
    assert_eq!(
        send(patch("return=representation")).await,
        (
            400,
            r#"{"code":"42703","details":null,"hint":null,"message":"column articles.nope does not exist"}"#.to_owned()
        )
    );
    assert_eq!(
        stand_in.read("articles?id=eq.1&select=title").await,
        json!([{"title": "Article 1"}])
    );
    // Without rows in the response, the order does not matter.
    assert_eq!(send(patch("return=minimal")).await.0, 204);
}

#[tokio::test]
async fn a_change_of_too_many_rows_is_rolled_back() {
    let stand_in = sample().await;
    let all = || async { send(stand_in.service(Method::GET, "articles")).await };
    let before = all().await;
    let few = |method: Method, most: u32| {
        stand_in
            .service(method, "articles?id=in.(1,2,3)")
            .header("prefer", format!("handling=strict, max-affected={most}"))
            .json(&json!({"title": "Changed"}))
    };
    for method in [Method::PATCH, Method::DELETE] {
        assert_eq!(
            send(few(method.clone(), 2)).await,
            (
                400,
                r#"{"code":"PGRST124","details":"The query affects 3 rows","hint":null,"message":"Query result exceeds max-affected preference constraint"}"#.to_owned()
            ),
            "{method}"
        );
        assert_eq!(all().await, before, "{method}");
    }
    for method in [Method::PATCH, Method::DELETE] {
        let response = few(method, 3).send().await.unwrap();
        assert_eq!(response.status(), 204);
        assert_eq!(
            header(&response, "preference-applied"),
            "handling=strict, max-affected=3"
        );
    }
    assert_ne!(all().await, before);
}

#[tokio::test]
async fn another_schema_cannot_be_written() {
    let stand_in = two_articles().await;
    for (method, query) in [
        (Method::POST, "articles"),
        (Method::PATCH, "articles?id=eq.1"),
        (Method::DELETE, "articles?id=eq.1"),
    ] {
        let request = stand_in
            .service(method.clone(), query)
            .header("content-profile", "private")
            .json(&json!({"slug": "private", "title": "Private"}));
        let (status, body) = send(request).await;
        assert_eq!(status, 406, "{method}");
        assert!(body.contains(r#""code":"PGRST106""#), "{body}");
    }
    assert_eq!(
        stand_in.read("articles?select=title").await,
        json!([{"title": "Article 1"}, {"title": "Article 2"}])
    );
    let public = stand_in
        .service(Method::DELETE, "articles?id=eq.1")
        .header("content-profile", "public");
    assert_eq!(send(public).await.0, 204);
}

#[tokio::test]
async fn violated_constraints_and_invalid_bodies_have_postgres_errors() {
    let stand_in = two_articles().await;
    let post = |body: &str| {
        stand_in
            .service(Method::POST, "articles")
            .header("content-type", "application/json")
            .body(body.to_owned())
    };
    for (sent, status, body) in [
        (
            r#"{"slug":"article-1","title":"x"}"#,
            409,
            r#"{"code":"23505","details":"Key (slug)=(article-1) already exists.","hint":null,"message":"duplicate key value violates unique constraint \"articles_slug_key\""}"#,
        ),
        (
            r#"{"id":1,"slug":"x","title":"x"}"#,
            409,
            r#"{"code":"23505","details":"Key (id)=(1) already exists.","hint":null,"message":"duplicate key value violates unique constraint \"articles_pkey\""}"#,
        ),
        (
            r#"{"slug":"x"}"#,
            400,
            r#"{"code":"23502","details":null,"hint":null,"message":"null value in column \"title\" of relation \"articles\" violates not-null constraint"}"#,
        ),
        (
            r#"{"nope":1}"#,
            400,
            r#"{"code":"PGRST204","details":null,"hint":null,"message":"Could not find the 'nope' column of 'articles' in the schema cache"}"#,
        ),
        (
            "{",
            400,
            r#"{"code":"PGRST102","details":null,"hint":null,"message":"Empty or invalid json"}"#,
        ),
        (
            r#"[{"slug":"x"},{"title":"y"}]"#,
            400,
            r#"{"code":"PGRST102","details":null,"hint":null,"message":"All object keys must match"}"#,
        ),
        (
            r#"{"published":"maybe"}"#,
            400,
            r#"{"code":"22P02","details":null,"hint":null,"message":"invalid input syntax for type boolean: \"maybe\""}"#,
        ),
    ] {
        assert_eq!(send(post(sent)).await, (status, body.to_owned()), "{sent}");
    }
}

#[tokio::test]
async fn a_failing_row_rolls_the_request_back() {
    let stand_in = two_articles().await;
    let rows = json!([{"slug": "new", "title": "x"}, {"slug": "article-1", "title": "x"}]);
    assert_eq!(
        send(stand_in.service(Method::POST, "articles").json(&rows))
            .await
            .0,
        409
    );
    assert_eq!(
        stand_in.read("articles?select=id").await,
        json!([{"id": 1}, {"id": 2}])
    );
}

#[tokio::test]
async fn columns_allow_rows_with_missing_keys() {
    let stand_in = two_articles().await;
    let rows = json!([{"slug": "a", "title": "A"}, {"slug": "b", "title": "B", "body": "x"}]);
    let post = |prefer: &'static str| {
        stand_in
            .service(
                Method::POST,
                "articles?columns=\"slug\",\"title\",\"body\",\"published\"&select=body,published",
            )
            .header("prefer", prefer)
            .json(&rows)
    };
    // A missing key is null, which `published` refuses …
    assert_eq!(send(post("return=representation")).await.0, 400);
    // … unless the request prefers defaults.
    let (status, body) = send(post("return=representation, missing=default")).await;
    assert_eq!(status, 201);
    assert_eq!(
        body,
        "[{\"body\":null,\"published\":false}, \n {\"body\":\"x\",\"published\":false}]"
    );
}
