//! Properties of every parser of untrusted bytes: one function each, which panics if a property
//! does not hold. `tests/properties.rs` runs them on random input in every `cargo xtask test`;
//! `targets/` are the fuzz targets of `cargo xtask fuzz`.

use afterword::chunk::{Chunk, ChunkName};
use afterword::directory::{ChunkRecord, Directory, Retired};
use afterword::entry::{Coding, EntityTag, Entry, Source, Variant};
use afterword::key::{Id, Key, PATH};
use afterword::problem;
use afterword::queue::Task;
use afterword::resource::Table;
use articles::accept;
use articles::conditional::{last_modified, not_modified};
use articles::list_header::members;
use articles::window::Window;
use bytes::Bytes;
use revalidate::webhook::{Invalidation, TableName, Tables, parse, parse_start};
use serde_json::Value;

/// The body of a webhook invalidates the list or the places of the items, at most 1,000 different
/// items, and maybe all items that the list does not confirm; or it is about another table; or it is
/// refused. A body that
/// serde_json rejects is refused. The same holds for every start of the body, and a start of a
/// valid body is valid.
pub fn webhook(body: &[u8]) {
    let names = |text| TableName::parse_list(text, "public").expect("names");
    let tables = Tables {
        cached: Table {
            schema: "public".into(),
            name: "articles".into(),
            id_column: "id".into(),
        },
        aliases: names("articles_2026"),
        related: names("authors"),
    };
    let whole = parse(body, &tables);
    // serde_json limits the nesting of a `Value`.
    if let (Ok(_), Err(error)) = (&whole, serde_json::from_slice::<Value>(body)) {
        let text = error.to_string();
        let ignored = ["recursion limit", "out of range", "lone", "surrogate"];
        assert!(
            ignored.iter().any(|reason| text.contains(reason)) || text.contains("escape"),
            "{text}"
        );
    }
    // At most 64 starts of a long body.
    for end in (0..=body.len()).step_by(1 + body.len() / 64) {
        let by_start = parse_start(body[..end].to_vec(), &tables);
        // The start of valid JSON can be closed.
        assert!(whole.is_err() || by_start.is_ok() || end <= opening(body));
        assert_is_sound(by_start);
    }
    assert_is_sound(whole);
}

/// The position of the first bracket.
fn opening(text: &[u8]) -> usize {
    let brackets = |byte: &u8| b"{[".contains(byte);
    text.iter().position(brackets).unwrap_or(text.len())
}

fn assert_is_sound(invalidation: Result<Invalidation, &problem::Problem>) {
    match invalidation {
        Ok(Invalidation::Tasks(tasks)) => {
            let (list, others) = match tasks.split_first() {
                Some((Task::Refresh(Key::List), others)) => (true, others),
                _ => (false, &tasks[..]),
            };
            let (related, others) = match others.split_last() {
                Some((Task::RefreshRelated, others)) => (true, others),
                _ => (false, others),
            };
            assert!(
                list || !related && !others.is_empty(),
                "the list's rows may have changed"
            );
            let is_item = |task: &Task| matches!(task, Task::Refresh(Key::Item(_)));
            let (items, places) = others.split_at(others.partition_point(is_item));
            assert!(items.len() <= 1_000 && items.is_sorted() && !has_duplicates(items));
            assert!(items.iter().all(is_item));
            let of_item = |task: &Task| task.key().and_then(Key::id).cloned().map(Task::Place);
            let expected: Vec<Task> = items.iter().filter(|_| !list).filter_map(of_item).collect();
            assert_eq!(places, expected, "a place for each item, or the list");
            for task in others {
                assert_eq!(Task::parse(&task.to_string()).as_ref(), Some(task));
            }
        }
        Ok(Invalidation::OtherTable(name)) => {
            assert!(
                name.len() < 2_000 && !name.contains(char::is_control),
                "{name}"
            );
        }
        Err(refused) => {
            let reasons = [&problem::NOT_JSON, &problem::NOT_AN_OBJECT];
            assert!(reasons.contains(&refused));
        }
    }
}

fn has_duplicates(sorted: &[Task]) -> bool {
    sorted.windows(2).any(|pair| pair[0] == pair[1])
}

/// A value that decodes as a directory or as a chunk encodes to the same bytes, and no part of it
/// can be read beyond its ends. The same holds for sound values with these bytes in them.
pub fn long_list(bytes: &[u8]) {
    let content = Bytes::from_static(b"{\"id\":1},{\"id\":2}");
    let chunk = Chunk::new(&[0, 9], content.clone(), Bytes::from_static(b"deflated"));
    let record = ChunkRecord {
        name: ChunkName::of(2, &content),
        rows: 2,
        length: 17,
        deflated: 8,
        crc: 1,
        first: Bytes::from_static(b"1"),
        last: Bytes::from_static(b"2"),
    };
    let mut directory = Directory::new(1, 1, source(), vec![record; 3], 1);
    directory.retired.push(Retired {
        name: ChunkName::of(1, b"gone"),
        deflated: 1,
        since: 1,
    });
    let at = bytes.first().map_or(0, |at| usize::from(*at));
    for sound in [Vec::new(), directory.encode(), chunk.encode()] {
        let mut value = sound;
        let at = at.min(value.len());
        let end = (at + bytes.len()).min(value.len());
        value.splice(at..end, bytes.iter().copied());
        if let Some(chunk) = Chunk::decode(value.clone()) {
            assert_eq!(chunk.encode(), value);
            for row in 0..=chunk.rows().min(100) {
                assert!(chunk.start(row).is_some());
            }
        }
        let shared = Bytes::from(value.clone());
        if let Some(directory) = Directory::decode(&shared) {
            assert!(Directory::is(&value));
            assert_eq!(directory.encode(), value);
            let (rows, count) = (directory.rows(), directory.chunks.len());
            for (offset, limit) in [(0, u64::MAX), (rows / 2, 3), (rows, 1), (u64::MAX, 1)] {
                let span = directory.span(offset, limit);
                assert!(span.chunks.end <= count && span.rows <= rows);
                assert!(directory.length_of(&span.chunks) >= 2);
            }
            let _ = (directory.length(), directory.gzip_length());
        }
    }
}

/// A query that asks for a part of the list is written as a query that asks for the same part.
pub fn query(bytes: &[u8]) {
    let query = String::from_utf8_lossy(bytes);
    if let Ok(Some(window)) = Window::parse(&query) {
        let written = window.to_string();
        let again = Window::parse(written.trim_start_matches('?'));
        assert_eq!(again.map(Option::unwrap_or_default), Ok(window));
        assert!(window.content_range(1, Some(2)).ends_with("/2"));
        assert!(window.links(PATH, true).starts_with("</articles"));
    }
}

/// A value that decodes encodes to the same bytes, and its tags are valid headers. The same holds
/// for a sound entry with these bytes inserted or overwritten.
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
    // Overwritten, then inserted.
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
    let after = Entry::new(entry.identity.content.clone(), 0, source()).succeeding(&entry);
    assert_eq!(
        after.last_modified,
        entry.last_modified.max(after.last_modified)
    );
    let mut again = entry.encode();
    // The tag of a missing variant is ignored.
    for (at, variant) in [(74, &entry.brotli), (112, &entry.gzip)] {
        if variant.is_none() {
            again[at..at + 34].copy_from_slice(&value[at..at + 34]);
        }
    }
    assert_eq!(again, value);
}

/// A key has one canonical path, which parses to the same key. The path contains no character that
/// is syntax in a URL, in PostgREST's filters, in a log or in Redis's glob patterns. Any text is an
/// id unless it is empty, too long, or contains U+0000.
pub fn path(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else {
        return;
    };
    for path in [text.to_owned(), format!("{PATH}/{text}")] {
        let Some(key) = Key::from_request(&path) else {
            assert_eq!(Key::from_canonical(&path), None);
            continue;
        };
        let name = key.to_string();
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._~-%".contains(&byte);
        if let Key::Item(id) = &key {
            let segment = name.strip_prefix("/articles/").unwrap();
            assert!(segment.bytes().all(plain));
            let spelt = &path[PATH.len() + 1..];
            for spelling in [segment, spelt] {
                let decoded: Vec<u8> = percent_encoding::percent_decode_str(spelling).collect();
                assert_eq!(decoded, id.as_str().as_bytes());
            }
            assert_eq!(Id::parse(id.as_str()).as_ref(), Some(id));
        } else {
            assert_eq!(name, PATH);
        }
        assert_eq!(Key::from_request(&name).as_ref(), Some(&key));
        assert_eq!(Key::from_canonical(&name).as_ref(), Some(&key));
        assert_eq!(Key::from_canonical(&path).is_some(), path == name);
    }
    let fits = (1..=255).contains(&text.len()) && !text.contains('\0');
    let id = Id::parse(text);
    assert_eq!(id.is_some(), fits);
    if let Some(id) = id {
        let key = Key::Item(id);
        assert_eq!(Key::from_canonical(&key.to_string()), Some(key));
    }
}

/// Conditional and negotiation headers, one header line for each line of input. A tag is found if
/// and only if it is there, a chosen coding is stored, and a parsed date formats to the same date.
pub fn headers(bytes: &[u8]) {
    let lines: Vec<Vec<u8>> = bytes
        .split(|byte| *byte == b'\n')
        .map(<[u8]>::to_vec)
        .collect();
    let tag = EntityTag::of(bytes);
    // No input contains its own tag.
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
            let written = last_modified(seconds, now);
            assert_eq!(written.is_some(), seconds <= now);
            if let Some(written) = written {
                assert!(not_modified(
                    &[],
                    &[written.to_string().into_bytes()],
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
        if let Some(coding) = accept::coding(&lines, |it| entry.variant(it).is_some()) {
            assert!(entry.variant(coding).is_some());
        }
    }
}
