//! Content codings: stored beside the content, chosen by the reader's `Accept-Encoding`.

use std::io::Read;

use afterword_scenarios::{Response, Setup};
use brotli_decompressor::Decompressor;
use flate2::read::GzDecoder;
use serde_json::json;

use crate::stored::entry;

/// The content without its coding.
fn decoded(answer: &Response) -> String {
    let mut content = String::new();
    match answer.header("content-encoding") {
        "" => content.push_str(&answer.body),
        "br" => drop(
            Decompressor::new(&answer.bytes[..], 4_096)
                .read_to_string(&mut content)
                .unwrap(),
        ),
        "gzip" => drop(
            GzDecoder::new(&answer.bytes[..])
                .read_to_string(&mut content)
                .unwrap(),
        ),
        other => panic!("Content-Encoding: {other}"),
    }
    content
}

#[tokio::test]
async fn each_coding_has_a_tag_and_a_length_of_its_own_and_the_same_content() {
    let afterword = Setup::default().start().await;
    let plain = afterword.wait_for_hit("/articles").await;
    let mut tags = vec![plain.header("etag").to_owned()];
    for (accept_encoding, coding) in [
        ("gzip, deflate, br, zstd", "br"),
        ("gzip, deflate", "gzip"),
        ("br;q=0.5, gzip;q=0.9", "gzip"),
        ("*", "br"),
        ("br;q=0, gzip;q=0", ""),
        ("gzip;q=0.5, identity", ""),
        ("deflate", ""),
        ("identity", ""),
    ] {
        let fields = [("accept-encoding", accept_encoding)];
        let answer = afterword.get_with("/articles", &fields).await;
        assert_eq!(
            (answer.status, answer.header("content-encoding")),
            (200, coding),
            "{accept_encoding}"
        );
        assert_eq!(answer.header("vary"), "Accept-Encoding");
        assert_eq!(
            answer.header("content-length"),
            answer.bytes.len().to_string()
        );
        assert_eq!(decoded(&answer), plain.body, "{accept_encoding}");
        if !coding.is_empty() {
            assert!(
                answer.bytes.len() * 5 <= plain.bytes.len() * 4,
                "it saves a fifth"
            );
        }
        tags.push(answer.header("etag").to_owned());
    }
    tags.sort();
    tags.dedup();
    assert_eq!(tags.len(), 3, "one for each coding: {tags:?}");
}

#[tokio::test]
async fn a_tag_is_that_of_the_coding_which_the_reader_gets() {
    let afterword = Setup::default().start().await;
    let plain = afterword.wait_for_hit("/articles").await;
    let gzip = [("accept-encoding", "gzip")];
    let tag = afterword.get_with("/articles", &gzip).await;
    let tag = tag.header("etag");
    for (accept_encoding, if_none_match, status) in [
        ("gzip", tag, 304),
        ("gzip", plain.header("etag"), 200),
        ("", tag, 200),
        ("", plain.header("etag"), 304),
        ("br", tag, 200),
    ] {
        let fields = [
            ("accept-encoding", accept_encoding),
            ("if-none-match", if_none_match),
        ];
        let answer = afterword.get_with("/articles", &fields).await;
        assert_eq!(answer.status, status, "{accept_encoding}");
    }
    // What a cache with all of them asks.
    let all = format!("{}, {tag}", plain.header("etag"));
    let fields = [("accept-encoding", "gzip"), ("if-none-match", all.as_str())];
    let answer = afterword.get_with("/articles", &fields).await;
    assert_eq!((answer.status, answer.header("etag")), (304, tag));
}

#[tokio::test]
async fn what_a_coding_makes_hardly_shorter_is_stored_and_sent_as_it_is() {
    let afterword = Setup::default()
        .variable("item_query", "select=id")
        .start()
        .await;
    let plain = afterword.wait_for_hit("/articles/7").await;
    assert_eq!(plain.body, r#"{"id":7}"#);
    let stored = entry(&afterword, "/articles/7");
    assert_eq!((stored.brotli, stored.gzip), (None, None));
    let fields = [("accept-encoding", "br, gzip")];
    let answer = afterword.get_with("/articles/7", &fields).await;
    assert_eq!((&answer.body, answer.status), (&plain.body, 200));
    assert!(!answer.has("content-encoding"));
    assert_eq!(
        answer.header("vary"),
        "Accept-Encoding",
        "for the next time"
    );
}

#[tokio::test]
async fn who_takes_nothing_that_is_stored_gets_406() {
    let afterword = Setup::default()
        .variable("item_query", "select=id")
        .start()
        .await;
    afterword.wait_for_hit("/articles/7").await;
    for fields in [
        ("accept-encoding", "identity;q=0"),
        ("accept-encoding", "br, *;q=0"),
        ("accept", "text/html"),
        ("accept", "application/json;q=0, */*"),
    ] {
        let answer = afterword.get_with("/articles/7", &[fields]).await;
        assert_eq!(answer.status, 406, "{fields:?}");
        let problem = answer.json();
        assert_eq!(problem["type"], "urn:problem-type:afterword:not-acceptable");
    }
    for accept in [
        "*/*",
        "application/json; charset=utf-8",
        "text/html, */*;q=0.1",
        "",
    ] {
        let answer = afterword
            .get_with("/articles/7", &[("accept", accept)])
            .await;
        assert_eq!(answer.status, 200, "{accept}");
    }
}

#[tokio::test]
async fn the_reader_compresses_nothing_itself() {
    let afterword = Setup::default().no_worker().start().await;
    let fields = [("accept-encoding", "br, gzip")];
    let missed = afterword.get_with("/articles", &fields).await;
    assert_eq!(missed.status, 200);
    assert!(!missed.has("content-encoding"));
    assert_eq!(missed.header("vary"), "Accept-Encoding");
    assert_eq!(missed.json(), afterword.origin("?order=id.asc").await);
}

#[tokio::test]
async fn a_long_list_is_compressed_whole() {
    // Longer than brotli's blocks, and than what is compressed without a pause.
    let afterword = Setup::default().no_articles().start().await;
    let rows: Vec<_> = (1..=900)
        .map(|id| {
            let body = format!("Artikel {id} über Zwischenspeicher. ").repeat(70);
            json!({"id": id, "slug": format!("s-{id}"), "title": "T", "body": body, "published": true})
        })
        .collect();
    afterword
        .supabase()
        .replace_rows("articles", &rows)
        .unwrap();
    assert_eq!(afterword.webhook("{}").await.status, 202);
    afterword.wait_until_drained().await.unwrap();
    let plain = afterword.wait_for_hit("/articles").await;
    assert!(plain.bytes.len() > 2 << 20, "{}", plain.bytes.len());
    for coding in ["br", "gzip"] {
        let fields = [("accept-encoding", coding)];
        let answer = afterword.get_with("/articles", &fields).await;
        assert_eq!(answer.header("content-encoding"), coding);
        assert!(decoded(&answer) == plain.body, "{coding}");
    }
}
