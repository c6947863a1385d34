//! Content codings: stored with the entry, chosen by the request's `Accept-Encoding`.

use std::io::Read;

use afterword_scenarios::{Response, Setup};
use brotli_decompressor::Decompressor;
use flate2::read::GzDecoder;
use serde_json::json;

use crate::store_file::entry;

/// The decoded content.
fn decoded(response: &Response) -> String {
    let mut content = String::new();
    match response.header("content-encoding") {
        "" => content.push_str(&response.body),
        "br" => drop(
            Decompressor::new(&response.bytes[..], 4_096)
                .read_to_string(&mut content)
                .unwrap(),
        ),
        "gzip" => drop(
            GzDecoder::new(&response.bytes[..])
                .read_to_string(&mut content)
                .unwrap(),
        ),
        other => panic!("Content-Encoding: {other}"),
    }
    content
}

#[tokio::test]
async fn each_coding_has_its_own_tag_and_length_and_the_same_content() {
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
        let headers = [("accept-encoding", accept_encoding)];
        let response = afterword.get_with("/articles", &headers).await;
        assert_eq!(
            (response.status, response.header("content-encoding")),
            (200, coding),
            "{accept_encoding}"
        );
        assert_eq!(response.header("vary"), "Accept-Encoding");
        assert_eq!(
            response.header("content-length"),
            response.bytes.len().to_string()
        );
        assert_eq!(decoded(&response), plain.body, "{accept_encoding}");
        if !coding.is_empty() {
            assert!(
                response.bytes.len() * 5 <= plain.bytes.len() * 4,
                "{coding} saves less than a fifth"
            );
        }
        tags.push(response.header("etag").to_owned());
    }
    tags.sort();
    tags.dedup();
    assert_eq!(tags.len(), 3, "one for each coding: {tags:?}");
}

#[tokio::test]
async fn the_tag_is_that_of_the_coding_in_the_response() {
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
        let headers = [
            ("accept-encoding", accept_encoding),
            ("if-none-match", if_none_match),
        ];
        let response = afterword.get_with("/articles", &headers).await;
        assert_eq!(response.status, status, "{accept_encoding}");
    }
    // The request of a cache that has all of them.
    let all = format!("{}, {tag}", plain.header("etag"));
    let headers = [("accept-encoding", "gzip"), ("if-none-match", all.as_str())];
    let response = afterword.get_with("/articles", &headers).await;
    assert_eq!((response.status, response.header("etag")), (304, tag));
}

#[tokio::test]
async fn content_that_hardly_compresses_is_stored_and_sent_uncompressed() {
    let afterword = Setup::default()
        .variable("item_query", "select=id")
        .start()
        .await;
    let plain = afterword.wait_for_hit("/articles/7").await;
    assert_eq!(plain.body, r#"{"id":7}"#);
    let stored = entry(&afterword, "/articles/7");
    assert_eq!((stored.brotli, stored.gzip), (None, None));
    let headers = [("accept-encoding", "br, gzip")];
    let response = afterword.get_with("/articles/7", &headers).await;
    assert_eq!((&response.body, response.status), (&plain.body, 200));
    assert!(!response.has("content-encoding"));
    assert_eq!(
        response.header("vary"),
        "Accept-Encoding",
        "a later version may be compressed"
    );
}

#[tokio::test]
async fn a_reader_that_accepts_no_stored_representation_gets_406() {
    let afterword = Setup::default()
        .variable("item_query", "select=id")
        .start()
        .await;
    afterword.wait_for_hit("/articles/7").await;
    for headers in [
        ("accept-encoding", "identity;q=0"),
        ("accept-encoding", "br, *;q=0"),
        ("accept", "text/html"),
        ("accept", "application/json;q=0, */*"),
    ] {
        let response = afterword.get_with("/articles/7", &[headers]).await;
        assert_eq!(response.status, 406, "{headers:?}");
        let problem = response.json();
        assert_eq!(problem["type"], "urn:problem-type:afterword:not-acceptable");
    }
    for accept in [
        "*/*",
        "application/json; charset=utf-8",
        "text/html, */*;q=0.1",
        "",
    ] {
        let response = afterword
            .get_with("/articles/7", &[("accept", accept)])
            .await;
        assert_eq!(response.status, 200, "{accept}");
    }
}

#[tokio::test]
async fn a_cache_miss_is_sent_uncompressed() {
    let afterword = Setup::default().no_worker().start().await;
    let headers = [("accept-encoding", "br, gzip")];
    let missed = afterword.get_with("/articles", &headers).await;
    assert_eq!(missed.status, 200);
    assert!(!missed.has("content-encoding"));
    assert_eq!(missed.header("vary"), "Accept-Encoding");
    assert_eq!(missed.json(), afterword.origin_list().await);
}

#[tokio::test]
async fn a_long_list_is_compressed_completely() {
    let setup = Setup::default().no_articles();
    let afterword = setup.variable("max_value_bytes", "0").start().await;
    let rows: Vec<_> = (1..=900)
        .map(|id| {
            let body = format!("Artikel {id} über Zwischenspeicher. ").repeat(70);
            let slug = format!("s-{id}");
            json!({"id": id, "slug": slug, "title": "T", "body": body, "published": true})
        })
        .collect();
    afterword.replace_articles(&rows);
    afterword.invalidate_list().await;
    afterword.wait_until_drained().await.unwrap();
    let plain = afterword.wait_for_hit("/articles").await;
    assert!(plain.bytes.len() > 2 << 20, "{}", plain.bytes.len());
    let gzip = [("accept-encoding", "br, gzip")];
    let response = afterword.get_with("/articles", &gzip).await;
    assert_eq!(response.header("content-encoding"), "gzip");
    assert!(decoded(&response) == plain.body);
    let brotli = [("accept-encoding", "br")];
    let response = afterword.get_with("/articles", &brotli).await;
    assert!(!response.has("content-encoding"), "it is in chunks");
    assert!(response.body == plain.body);
}
