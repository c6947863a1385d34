//! What holds for any bytes whatever, for each thing that takes bytes from a stranger: a function for each, which panics where it does not
//! hold. `tests/properties.rs` tries them with random input at each `cargo xtask test`; `targets/` are fuzz targets around the same
//! functions, for `cargo xtask fuzz`.

use afterword::conditional::{date, not_modified};
use afterword::entry::{Coding, EntityTag, Entry, Source, Variant};
use afterword::fields::members;
use afterword::key::{Id, Key, LIST};
use afterword::marks::Task;
use afterword::webhook::{Marked, Table, TableName, Tables, marked, marked_by_start};
use afterword::{accept, problem};
use bytes::Bytes;
use serde_json::Value;

/// A webhook's body marks the list first, then at most two items, each once and under a path of its
/// own, then what is related; or it is of another table; or it is refused for a reason. It is never
/// taken for JSON where serde_json says that it is none. Each start of it is treated so, too, and
/// is taken where the body is.
pub fn webhook(body: &[u8]) {
    let names = |text| TableName::list(text, "public").expect("names");
    let tables = Tables {
        own: Table {
            schema: "public".into(),
            name: "articles".into(),
            id_column: "id".into(),
        },
        counting: names("articles_2026"),
        related: names("authors"),
    };
    let whole = marked(body, &tables);
    // serde_json itself goes a hundred and some deep only.
    if let (Ok(_), Err(error)) = (&whole, serde_json::from_slice::<Value>(body)) {
        let text = error.to_string();
        let passed_over = ["recursion limit", "out of range", "lone", "surrogate"];
        assert!(
            passed_over.iter().any(|reason| text.contains(reason)) || text.contains("escape"),
            "{text}"
        );
    }
    // Of all starts of a long body, some.
    for end in (0..=body.len()).step_by(1 + body.len() / 64) {
        let by_start = marked_by_start(body[..end].to_vec(), &tables);
        // The start of what is JSON can be closed.
        assert!(whole.is_err() || by_start.is_ok() || end <= opening(body));
        assert_is_a_webhooks(by_start);
    }
    assert_is_a_webhooks(whole);
}

/// Where the text's first bracket is.
fn opening(text: &[u8]) -> usize {
    let brackets = |byte: &u8| b"{[".contains(byte);
    text.iter().position(brackets).unwrap_or(text.len())
}

fn assert_is_a_webhooks(marked: Result<Marked, &problem::Problem>) {
    match marked {
        Ok(Marked::Tasks(tasks)) => {
            let (list, others) = tasks.split_first().expect("the list at least");
            assert_eq!(list, &Task::Refresh(Key::List));
            let items = others
                .strip_suffix(&[Task::RefreshRelated])
                .unwrap_or(others);
            assert!(items.len() < 2 || items.len() == 2 && items[0] != items[1]);
            for item in items {
                assert!(matches!(item, Task::Refresh(Key::Item(_))));
                assert_eq!(Task::parse(&item.to_string()).as_ref(), Some(item));
            }
        }
        Ok(Marked::OtherTable(name)) => {
            assert!(
                name.len() < 2_000 && !name.contains(char::is_control),
                "{name}"
            );
        }
        Err(refused) => {
            let reasons = [
                &problem::NOT_JSON,
                &problem::NOT_AN_OBJECT,
                &problem::TOO_DEEP,
            ];
            assert!(reasons.contains(&refused));
        }
    }
}

/// What decodes is what was encoded, byte for byte, and has a tag that a header field can hold; so is a sound entry with these bytes
/// somewhere in it, if it decodes at all.
pub fn entry(bytes: &[u8]) {
    decodes_to_itself(bytes.to_vec());
    let variant = |content: &[u8]| Some(Variant::new(Bytes::copy_from_slice(content)));
    let mut sound = Entry::new(
        Bytes::from_static(b"{\"id\":7}"),
        1_795_406_221_000,
        source(),
    );
    sound.brotli = variant(b"br").filter(|_| bytes.len().is_multiple_of(2));
    sound.gzip = variant(b"gzip").filter(|_| bytes.len().is_multiple_of(3));
    let sound = sound.encode();
    let Some((at, rest)) = bytes.split_first() else {
        return;
    };
    let at = usize::from(*at).min(sound.len());
    // In place of what was there, and between what was there.
    let mut patched = sound.clone();
    for (place, byte) in patched[at..].iter_mut().zip(rest) {
        *place = *byte;
    }
    decodes_to_itself(patched);
    decodes_to_itself([&sound[..at], rest, &sound[at..]].concat());
}

fn source() -> Source {
    Source::of(&["select=*"])
}

fn decodes_to_itself(value: Vec<u8>) {
    let Some(entry) = Entry::decode(value.clone()) else {
        return;
    };
    assert!(!entry.identity.content.is_empty());
    let variants = Coding::ALL.map(|coding| entry.variant(coding));
    for Variant { tag, .. } in variants.into_iter().flatten() {
        assert!(tag.as_bytes().iter().all(u8::is_ascii_graphic));
    }
    let after = Entry::new(entry.identity.content.clone(), 0, source()).after(&entry);
    assert_eq!(
        after.last_modified,
        entry.last_modified.max(after.last_modified)
    );
    let mut again = entry.encode();
    // The tag of a variant that is not there is nobody's.
    for (at, variant) in [(74, &entry.brotli), (112, &entry.gzip)] {
        if variant.is_none() {
            again[at..at + 34].copy_from_slice(&value[at..at + 34]);
        }
    }
    assert_eq!(again, value);
}

/// A path names a key or none, and so does the path with this text for an id. A key prints as one
/// path, which has no character that means something in a URL, in PostgREST's filters, in a log or
/// in Redis's glob patterns, and names the key again; no other text is that key's name. Any text is
/// an id if it is neither empty, too long, nor holds U+0000.
pub fn path(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else {
        return;
    };
    for path in [text.to_owned(), format!("{LIST}/{text}")] {
        let Some(key) = Key::requested(&path) else {
            assert_eq!(Key::from_path(&path), None);
            continue;
        };
        let name = key.to_string();
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._~-%".contains(&byte);
        if let Key::Item(id) = &key {
            let segment = name.strip_prefix("/articles/").unwrap();
            assert!(segment.bytes().all(plain));
            let spelt = &path[LIST.len() + 1..];
            for spelling in [segment, spelt] {
                let decoded: Vec<u8> = percent_encoding::percent_decode_str(spelling).collect();
                assert_eq!(decoded, id.as_str().as_bytes());
            }
            assert_eq!(Id::parse(id.as_str()).as_ref(), Some(id));
        } else {
            assert_eq!(name, LIST);
        }
        assert_eq!(Key::requested(&name).as_ref(), Some(&key));
        assert_eq!(Key::from_path(&name).as_ref(), Some(&key));
        assert_eq!(Key::from_path(&path).is_some(), path == name);
    }
    let fits = (1..=255).contains(&text.len()) && !text.contains('\0');
    let id = Id::parse(text);
    assert_eq!(id.is_some(), fits);
    if let Some(id) = id {
        let key = Key::Item(id);
        assert_eq!(Key::from_path(&key.to_string()), Some(key));
    }
}

/// Conditional and negotiating fields, a line of input for each line of a field: none panics; a tag that is there is found, one that
/// is not is not; a coding that is chosen is stored; a date that is read is written the same.
pub fn fields(bytes: &[u8]) {
    let lines: Vec<Vec<u8>> = bytes
        .split(|byte| *byte == b'\n')
        .map(<[u8]>::to_vec)
        .collect();
    let tag = EntityTag::of(bytes);
    // No input has the tag of itself.
    let any = matches!(&lines[..], [line] if line.trim_ascii() == b"*");
    assert_eq!(not_modified(&lines, &[], &tag, None), any);
    let own = tag.as_bytes().to_vec();
    let with_own = [&lines[..], &[own]].concat();
    assert!(not_modified(&with_own, &[], &tag, None));
    for member in members(&lines) {
        assert!(!member.is_empty() && member.trim_ascii() == member);
    }

    let now = 4_102_444_800;
    for line in &lines {
        let since = std::slice::from_ref(line);
        let text = String::from_utf8_lossy(line);
        let read = httpdate::parse_http_date(&text).ok();
        let seconds = read
            .and_then(|date| date.duration_since(std::time::UNIX_EPOCH).ok())
            .map(|since_1970| since_1970.as_secs());
        let modified = |at| not_modified(&[], since, &tag, Some(at));
        assert_eq!(modified(0), seconds.is_some(), "{text}");
        if let Some(seconds) = seconds {
            assert!(modified(seconds) && !modified(seconds + 1));
            let written = date(seconds, now);
            assert_eq!(written.is_some(), seconds <= now);
            if let Some(written) = written {
                assert!(not_modified(
                    &[],
                    &[written.into_bytes()],
                    &tag,
                    Some(seconds)
                ));
            }
        }
    }

    accept::json(&lines);
    let content = || Bytes::from_static(b"{}");
    let mut entry = Entry::new(content(), 0, source());
    for codings in 0..4 {
        entry.brotli = (codings & 1 > 0).then(|| Variant::new(content()));
        entry.gzip = (codings & 2 > 0).then(|| Variant::new(content()));
        if let Some(coding) = accept::coding(&lines, &entry) {
            assert!(entry.variant(coding).is_some());
        }
    }
}
