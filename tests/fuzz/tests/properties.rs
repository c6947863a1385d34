//! Runs the properties on random input: plain noise, and noise that resembles valid input. A
//! failure prints the smallest input that it found.

use proptest::prelude::*;

/// Pieces of webhooks, and noise between them.
fn webhook_like() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just(r#"{"type":"INSERT","#.to_owned()),
        Just(r#""record":{"id":7},"#.to_owned()),
        Just(r#""old_record":{"id":"a-b"}"#.to_owned()),
        Just(r#""ids":[7,"a-b",7],"#.to_owned()),
        Just(r#""table":"articles","schema":"public","#.to_owned()),
        Just(r#""table":"authors","#.to_owned()),
        Just("}".to_owned()),
        Just("{".to_owned()),
        Just("[".repeat(600)),
        Just("]".repeat(600)),
        Just("\"\\u00e9\\\"\"".to_owned()),
        "[-0-9.eE]{1,8}",
        "\\PC{0,5}",
    ];
    prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

/// A whole webhook with an id of any kind.
fn webhook() -> impl Strategy<Value = String> {
    ("\\PC{0,20}", "[A-Z]{0,6}", "\\PC{0,260}").prop_map(|(key, kind, id)| {
        serde_json::json!({key.clone(): 1, "type": kind, "record": {"id": id, key: [{}, "]"]},
            "old_record": {"id": 7}})
        .to_string()
    })
}

/// Pieces of conditional and negotiation headers.
fn headers_like() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("\"44136fa355b3678a1146ad16f7e8649e\"".to_owned()),
        Just("W/".to_owned()),
        Just("\"".to_owned()),
        Just(", ".to_owned()),
        Just("\n".to_owned()),
        Just("*".to_owned()),
        Just("gzip;q=0.5".to_owned()),
        Just("br".to_owned()),
        Just("identity;q=0".to_owned()),
        Just("application/json".to_owned()),
        Just("Sun, 06 Nov 1994 08:49:37 GMT".to_owned()),
        Just("Sunday, 06-Nov-94 08:49:37 GMT".to_owned()),
        "\\PC{0,6}",
    ];
    prop::collection::vec(piece, 0..10).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_bytes_are_accepted_or_refused(body in prop::collection::vec(any::<u8>(), 0..300)) {
        afterword_fuzz::webhook(&body);
    }

    #[test]
    fn noise_that_resembles_a_webhook_is_accepted_or_refused(body in webhook_like()) {
        afterword_fuzz::webhook(body.as_bytes());
    }

    #[test]
    fn a_webhook_invalidates_the_paths_of_its_ids(body in webhook()) {
        afterword_fuzz::webhook(body.as_bytes());
    }

    #[test]
    fn any_bytes_are_an_entry_or_nothing(value in prop::collection::vec(any::<u8>(), 0..300)) {
        afterword_fuzz::entry(&value);
    }

    #[test]
    fn any_bytes_are_a_part_of_a_long_list_or_nothing(
        bytes in prop::collection::vec(any::<u8>(), 0..300)
    ) {
        afterword_fuzz::long_list(&bytes);
    }

    #[test]
    fn noise_that_resembles_a_query_is_parsed(
        query in "((limit|offset|id)?=?[0-9]{0,21}&?){0,3}\\PC{0,2}"
    ) {
        afterword_fuzz::query(query.as_bytes());
    }

    #[test]
    fn any_text_is_a_path_or_none(path in any::<String>()) {
        afterword_fuzz::path(path.as_bytes());
    }

    #[test]
    fn printable_text_is_a_path_or_none(path in "\\PC{0,140}") {
        afterword_fuzz::path(path.as_bytes());
    }

    #[test]
    fn ids_are_paths(id in "([A-Za-z0-9._~/+é-]|%[0-9A-Fa-f]{2}){0,260}") {
        afterword_fuzz::path(id.as_bytes());
    }

    #[test]
    fn any_bytes_are_headers(lines in prop::collection::vec(any::<u8>(), 0..200)) {
        afterword_fuzz::headers(&lines);
    }

    #[test]
    fn noise_that_resembles_headers_is_parsed(lines in headers_like()) {
        afterword_fuzz::headers(lines.as_bytes());
    }
}
