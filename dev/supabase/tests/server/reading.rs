use afterword_supabase::Options;
use reqwest::{Method, header::RANGE};
use serde_json::{Value, json};

use crate::client::{header, page, sample, send, start, with_articles};

#[tokio::test]
async fn rows_are_written_like_json_agg() {
    let stand_in = with_articles(2, Options::default()).await;
    let query = "articles?select=id,title,body,published&order=id.desc";
    let (status, range, body) = page(stand_in.anon(Method::GET, query)).await;
    assert_eq!((status, range.as_str()), (200, "0-1/*"));
    assert_eq!(
        body,
        "[{\"id\":2,\"title\":\"Article 2\",\"body\":null,\"published\":true}, \n \
         {\"id\":1,\"title\":\"Article 1\",\"body\":null,\"published\":true}]"
    );
    assert_eq!(stand_in.read("articles?id=eq.99").await, json!([]));
}

#[tokio::test]
async fn columns_have_the_selected_order_and_names() {
    let stand_in = sample().await;
    let (_, body) = send(stand_in.service(Method::GET, "articles?id=eq.1")).await;
    let keys = [
        "id",
        "slug",
        "title",
        "body",
        "published",
        "created_at",
        "updated_at",
        "editor_notes",
    ];
    let places = keys.map(|key| body.find(&format!("\"{key}\":")).unwrap());
    assert!(places.is_sorted(), "{body}");
    let (_, body) =
        send(stand_in.anon(Method::GET, "articles?id=eq.1&select=heading:slug,id")).await;
    assert_eq!(body, r#"[{"heading":"a-cache-is-a-promise","id":1}]"#);
}

#[tokio::test]
async fn a_count_reveals_a_silent_row_cap() {
    let stand_in = with_articles(2_500, Options::default()).await;
    let (status, range, body) = page(stand_in.anon(Method::GET, "articles")).await;
    assert_eq!((status, range.as_str()), (200, "0-999/*"));
    assert_eq!(
        serde_json::from_str::<Vec<Value>>(&body).unwrap().len(),
        1_000
    );

    let counted = stand_in
        .anon(
            Method::GET,
            "articles?select=id&order=id&limit=2000&offset=2000",
        )
        .header("prefer", "count=exact");
    let (status, range, body) = page(counted).await;
    assert_eq!((status, range.as_str()), (206, "2000-2499/2500"));
    assert_eq!(
        serde_json::from_str::<Vec<Value>>(&body).unwrap()[0],
        json!({"id": 2001})
    );
}

#[tokio::test]
async fn the_row_cap_can_be_smaller() {
    let options = Options {
        row_cap: 100,
        ..Options::default()
    };
    let stand_in = with_articles(250, options).await;
    let ids = stand_in
        .read("articles?select=id&order=id&id=gt.200&limit=1000")
        .await;
    assert_eq!(ids.as_array().unwrap().len(), 50);
    assert_eq!(
        stand_in
            .read("articles?limit=1000")
            .await
            .as_array()
            .unwrap()
            .len(),
        100
    );
}

#[tokio::test]
async fn ranges_and_counts_have_postgrests_statuses() {
    let stand_in = with_articles(25, Options::default()).await;
    let all = stand_in
        .anon(Method::GET, "articles")
        .header("prefer", "count=exact")
        .send()
        .await
        .unwrap();
    assert_eq!(
        (
            all.status().as_u16(),
            header(&all, "content-range").as_str()
        ),
        (200, "0-24/25")
    );
    assert_eq!(header(&all, "preference-applied"), "count=exact");
    assert_eq!(
        header(&all, "content-type"),
        "application/json; charset=utf-8"
    );

    let ranged = |range: &str| {
        stand_in
            .anon(Method::GET, "articles?select=id")
            .header(RANGE, range)
    };
    let (status, range, _) = page(ranged("5-9").header("prefer", "count=exact")).await;
    assert_eq!((status, range.as_str()), (206, "5-9/25"));
    let (status, range, _) = page(ranged("20-")).await;
    assert_eq!((status, range.as_str()), (200, "20-24/*"));

    let beyond = stand_in
        .anon(Method::GET, "articles?offset=26")
        .header("prefer", "count=exact");
    let (status, range, body) = page(beyond).await;
    assert_eq!((status, range.as_str()), (416, "*/25"));
    assert_eq!(
        body,
        r#"{"code":"PGRST103","details":"An offset of 26 was requested, but there are only 25 rows.","hint":null,"message":"Requested range not satisfiable"}"#
    );
    let (status, _) = send(stand_in.anon(Method::GET, "articles?offset=26")).await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn head_has_no_body() {
    let stand_in = with_articles(3, Options::default()).await;
    let head = stand_in
        .anon(Method::HEAD, "articles")
        .header("prefer", "count=exact");
    let (status, range, body) = page(head).await;
    assert_eq!((status, range.as_str(), body.as_str()), (200, "0-2/3", ""));
}

#[tokio::test]
async fn filters_work_like_in_postgres() {
    let stand_in = with_articles(5, Options::default()).await;
    stand_in
        .supabase
        .execute(
            "UPDATE articles SET body = 'x' WHERE id = 2;
             UPDATE articles SET title = 'a,b \"c\"' WHERE id = 3;
             UPDATE articles SET title = '\"hi\" said' WHERE id = 4;
             UPDATE articles SET created_at = '2020-01-01T00:00:00+00:00' WHERE id < 3",
        )
        .unwrap();
    for (filter, expected) in [
        ("id=eq.3", vec![3]),
        ("id=neq.3", vec![1, 2, 4, 5]),
        ("id=gt.3&id=lte.4", vec![4]),
        ("id=gte.4", vec![4, 5]),
        ("id=lt.2", vec![1]),
        ("id=in.(5,1,99)", vec![1, 5]),
        ("id=in.()", vec![]),
        (r#"title=in.("a,b \"c\"",Article 1)"#, vec![1, 3]),
        (r#"title=in.(nowhere,"hi" said)"#, vec![4]),
        ("slug=not.in.(article-1,article-2)", vec![3, 4, 5]),
        ("body=is.null", vec![1, 3, 4, 5]),
        ("body=not.is.null", vec![2]),
        ("body=neq.y", vec![2]),
        ("published=is.true&id=eq.1", vec![1]),
        ("published=is.false", vec![]),
        ("created_at=lt.2020-01-01T02:00:00%2B01:00", vec![1, 2]),
    ] {
        let rows = stand_in
            .read(&format!("articles?select=id&order=id&{filter}"))
            .await;
        let ids: Vec<_> = rows
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["id"].as_i64().unwrap())
            .collect();
        assert_eq!(ids, expected, "{filter}");
    }
}

#[tokio::test]
async fn order_accepts_several_columns_and_places_of_nulls() {
    let stand_in = with_articles(3, Options::default()).await;
    stand_in
        .supabase
        .execute("UPDATE articles SET body = 'x' WHERE id <> 2")
        .unwrap();
    let ids = |order: &'static str| {
        let stand_in = &stand_in;
        async move {
            let rows = stand_in
                .read(&format!("articles?select=id&order={order}"))
                .await;
            rows.as_array()
                .unwrap()
                .iter()
                .map(|row| row["id"].as_i64().unwrap())
                .collect::<Vec<_>>()
        }
    };
    assert_eq!(ids("body,id.desc").await, [3, 1, 2]);
    assert_eq!(ids("body.desc,id").await, [2, 1, 3]);
    assert_eq!(ids("body.asc.nullsfirst,id").await, [2, 1, 3]);
    assert_eq!(ids("body.desc.nullslast,id").await, [1, 3, 2]);
}

#[tokio::test]
async fn the_default_order_is_the_primary_key() {
    let stand_in = with_articles(3, Options::default()).await;
    stand_in
        .supabase
        .execute("UPDATE articles SET slug = 'z-' || (9 - id)")
        .unwrap();
    let expected = "[{\"id\":1}, \n {\"id\":2}, \n {\"id\":3}]".to_owned();
    for query in ["articles?select=id", "articles?select=id&slug=gt.a"] {
        let service = send(stand_in.service(Method::GET, query)).await;
        assert_eq!(service, (200, expected.clone()), "{query}");
        let anon = send(stand_in.anon(Method::GET, query)).await;
        assert_eq!(anon, (200, expected.clone()), "{query}");
    }
}

#[tokio::test]
async fn another_schema_cannot_be_read() {
    let stand_in = sample().await;
    let named = |method: Method, schema: &str| {
        stand_in
            .anon(method, "articles?select=id&limit=1")
            .header("accept-profile", schema)
    };
    assert_eq!(
        send(named(Method::GET, "public")).await,
        (200, r#"[{"id":1}]"#.to_owned())
    );
    assert_eq!(
        send(named(Method::GET, "private")).await,
        (
            406,
            r#"{"code":"PGRST106","details":null,"hint":"Only the following schemas are exposed: public","message":"Invalid schema: private"}"#.to_owned()
        )
    );
    assert_eq!(
        send(named(Method::HEAD, "private")).await,
        (406, String::new())
    );
}

#[tokio::test]
async fn strict_handling_refuses_an_unknown_preference() {
    let stand_in = sample().await;
    let preferring = |prefer: &str| {
        stand_in
            .anon(Method::GET, "articles?select=id&limit=1")
            .header("prefer", prefer)
    };
    assert_eq!(send(preferring("nonsense")).await.0, 200);
    assert_eq!(
        send(preferring("handling=strict, nonsense")).await,
        (
            400,
            r#"{"code":"PGRST122","details":"Invalid preferences: nonsense","hint":null,"message":"Invalid preferences given with handling=strict"}"#.to_owned()
        )
    );
}

#[tokio::test]
async fn a_single_object_needs_one_row() {
    let stand_in = with_articles(2, Options::default()).await;
    let single = |query: &str| {
        stand_in
            .anon(Method::GET, query)
            .header("accept", "application/vnd.pgrst.object+json")
    };
    let (status, body) = send(single("articles?id=eq.2&select=id")).await;
    assert_eq!((status, body.as_str()), (200, r#"{"id":2}"#));
    let (status, body) = send(single("articles?id=eq.9")).await;
    assert_eq!(status, 406);
    assert_eq!(
        body,
        r#"{"code":"PGRST116","details":"The result contains 0 rows","hint":null,"message":"Cannot coerce the result to a single JSON object"}"#
    );
    let (status, _) = send(single("articles")).await;
    assert_eq!(status, 406);
}

#[tokio::test]
async fn stripped_nulls_are_refused() {
    let stand_in = with_articles(1, Options::default()).await;
    for accept in [
        "application/vnd.pgrst.object+json;nulls=stripped",
        "application/vnd.pgrst.object; charset=utf-8; nulls=stripped",
        "application/vnd.pgrst.array+json;nulls=stripped",
    ] {
        let request = stand_in
            .anon(Method::GET, "articles?id=eq.1")
            .header("accept", accept);
        let (status, body) = send(request).await;
        assert_eq!(status, 406, "{accept}");
        assert!(body.contains(r#""code":"PGRST107""#), "{body}");
    }
}

#[tokio::test]
async fn errors_have_postgrests_statuses_and_bodies() {
    let stand_in = sample().await;
    for (path, status, body) in [
        (
            "poems",
            404,
            r#"{"code":"PGRST205","details":null,"hint":null,"message":"Could not find the table 'public.poems' in the schema cache"}"#,
        ),
        (
            "articles?select=nope",
            400,
            r#"{"code":"42703","details":null,"hint":null,"message":"column articles.nope does not exist"}"#,
        ),
        (
            "articles?nope=eq.1",
            400,
            r#"{"code":"42703","details":null,"hint":null,"message":"column articles.nope does not exist"}"#,
        ),
        (
            "articles?order=nope",
            400,
            r#"{"code":"42703","details":null,"hint":null,"message":"column articles.nope does not exist"}"#,
        ),
        (
            "articles?id=7",
            400,
            r#"{"code":"PGRST100","details":"unexpected \"7\" expecting \"not\" or operator (eq, gt, ...)","hint":null,"message":"\"failed to parse filter (7)\" (line 1, column 1)"}"#,
        ),
        (
            "articles?id=eq.abc",
            400,
            r#"{"code":"22P02","details":null,"hint":null,"message":"invalid input syntax for type bigint: \"abc\""}"#,
        ),
        (
            "articles?id=eq.99999999999999999999",
            400,
            r#"{"code":"22003","details":null,"hint":null,"message":"value \"99999999999999999999\" is out of range for type bigint"}"#,
        ),
        (
            "articles?title=ilike(all).{a,b}",
            400,
            r#"{"code":"PGRST127","details":"The stand-in has no operator 'ilike(all)'; it has eq, neq, gt, gte, lt, lte, in and is, each with not.","hint":null,"message":"Feature not implemented"}"#,
        ),
        (
            "articles?limit=-1",
            416,
            r#"{"code":"PGRST103","details":"Limit should be greater than or equal to zero.","hint":null,"message":"Requested range not satisfiable"}"#,
        ),
        (
            "articles/7",
            404,
            r#"{"code":"PGRST125","details":null,"hint":null,"message":"Invalid path specified in request URL"}"#,
        ),
    ] {
        assert_eq!(
            send(stand_in.anon(Method::GET, path)).await,
            (status, body.to_owned()),
            "{path}"
        );
    }
    let csv = stand_in
        .anon(Method::GET, "articles")
        .header("accept", "text/csv");
    let (status, body) = send(csv).await;
    assert_eq!(status, 406);
    assert!(
        body.contains("None of these media types are available: text/csv"),
        "{body}"
    );
    let (status, body) = send(stand_in.anon(Method::PUT, "articles")).await;
    assert_eq!(status, 405);
    assert!(body.contains("Unsupported HTTP method: PUT"), "{body}");
}

#[tokio::test]
async fn the_sample_has_25_articles_and_some_drafts() {
    let stand_in = sample().await;
    let (_, body) = send(stand_in.service(Method::GET, "articles?select=id,body")).await;
    let all: Vec<Value> = serde_json::from_str(&body).unwrap();
    assert_eq!(all.len(), 25);
    assert_eq!(
        stand_in
            .read("articles?select=id")
            .await
            .as_array()
            .unwrap()
            .len(),
        22
    );
}

#[tokio::test]
async fn a_database_file_keeps_its_rows() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        database: Some(folder.path().join("rows.db")),
        ..Options::default()
    };
    let stand_in = start(options.clone()).await;
    stand_in
        .supabase
        .execute("DELETE FROM articles WHERE id > 1")
        .unwrap();
    drop(stand_in);
    let stand_in = start(options).await;
    assert_eq!(
        stand_in.read("articles?select=id").await,
        json!([{"id": 1}])
    );
}

#[tokio::test]
async fn any_table_is_served_with_its_types() {
    let stand_in = sample().await;
    stand_in
        .supabase
        .execute(
            "CREATE TABLE ratings \
             (article bigint, stars double precision, kind boolean, PRIMARY KEY (article))",
        )
        .unwrap();
    let row = json!({"article": 7, "stars": 4.5, "kind": false});
    stand_in
        .supabase
        .replace_rows("ratings", std::slice::from_ref(&row))
        .unwrap();
    assert_eq!(stand_in.read("ratings").await, json!([row]));
}
