//! Which chunks of a list a change touches.
//!
//! A chunk is a range of ids, so it can be fetched again alone. PostgREST decides which rows are in
//! it, and in which order. All that is decided here is the chunk that an id belongs to, and only for
//! ids whose order is beyond doubt: integers and UUIDs. Text is ordered by a collation.

use afterword::directory::{ChunkRecord, Directory};
use afterword::key::Id;
use afterword::postgrest::list_query::ById;
use std::fmt;
use std::mem;
use std::ops::Range;

/// Neighbouring places share a request for at most so many rows, which PostgREST returns in one
/// response by default.
const MAX_ROWS: u64 = 1_000;

/// And for at most so many bytes, which are in the worker's memory.
const MAX_BYTES: u64 = 1 << 20;

/// An id whose order is known.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Value {
    /// A JSON number.
    Integer(i64),
    /// A JSON string in PostgreSQL's form of a UUID.
    Uuid(String),
}

impl Value {
    /// The value of an id in a row.
    fn of_json(json: &[u8]) -> Option<Self> {
        match json {
            [b'"', text @ .., b'"'] => Self::uuid(str::from_utf8(text).ok()?),
            _ => Self::integer(str::from_utf8(json).ok()?),
        }
    }

    fn integer(text: &str) -> Option<Self> {
        let value: i64 = text.parse().ok()?;
        // `7.0`, `07` and `+7` are not PostgreSQL's form of an integer.
        (value.to_string() == text).then_some(Self::Integer(value))
    }

    fn uuid(text: &str) -> Option<Self> {
        let is_uuid = text.len() == 36
            && text.bytes().enumerate().all(|(at, byte)| match at {
                8 | 13 | 18 | 23 => byte == b'-',
                _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
            });
        is_uuid.then(|| Self::Uuid(text.to_owned()))
    }

    fn is_like(&self, other: &Self) -> bool {
        mem::discriminant(self) == mem::discriminant(other)
    }

    /// The value of an id in a task, of the same kind as `self`.
    fn like(&self, id: &Id) -> Option<Self> {
        match self {
            Self::Integer(_) => Self::integer(id.as_str()),
            Self::Uuid(_) => Self::uuid(id.as_str()),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(value) => value.fmt(f),
            Self::Uuid(text) => f.write_str(text),
        }
    }
}

/// The ranges of ids that a list consists of.
pub struct Ranges {
    descending: bool,
    ranges: Vec<Chunks>,
}

/// A chunk, with those that continue its last row.
struct Chunks {
    /// Their positions in the directory.
    chunks: Range<usize>,
    rows: u64,
    bytes: u64,
    first: Value,
}

/// Neighbouring chunks that are fetched by one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Their positions in the directory.
    pub chunks: Range<usize>,
    /// The id from which on they are fetched; `None` for the first id of the list.
    pub from: Option<String>,
    /// The id before which they end; `None` for the end of the list.
    pub before: Option<String>,
    /// The positions of the ids that they are fetched for.
    pub places: Vec<usize>,
    /// The rows that they have had so far.
    pub rows: u64,
}

impl Ranges {
    /// The ranges of a list in this order; `None` if the order of its ids is not known.
    pub fn of(directory: &Directory, order: ById) -> Option<Self> {
        let mut ranges: Vec<Chunks> = Vec::new();
        let mut last: Option<Value> = None;
        let mut after_null = false;
        for (at, chunk) in directory.chunks.iter().enumerate() {
            if chunk.continues() && after_null {
                continue;
            }
            if chunk.continues() {
                let range = ranges.last_mut()?;
                range.chunks.end = at + 1;
                range.bytes += u64::from(chunk.length);
                continue;
            }
            after_null = is_null(chunk);
            if after_null {
                continue;
            }
            let (first, end) = (Value::of_json(&chunk.first)?, Value::of_json(&chunk.last)?);
            let is_same_kind =
                first.is_like(&end) && last.as_ref().is_none_or(|last| last.is_like(&first));
            let in_order = |left: &Value, right: &Value| {
                if order.descending {
                    left > right
                } else {
                    left < right
                }
            };
            let follows = last.as_ref().is_none_or(|last| in_order(last, &first));
            if !is_same_kind || !follows || first != end && !in_order(&first, &end) {
                return None;
            }
            ranges.push(Chunks {
                chunks: at..at + 1,
                rows: u64::from(chunk.rows),
                bytes: u64::from(chunk.length),
                first,
            });
            last = Some(end);
        }
        (!ranges.is_empty()).then_some(Self {
            descending: order.descending,
            ranges,
        })
    }

    /// The runs that contain the places of these ids, in the order of the list. `None` if the order
    /// of an id is not known.
    pub fn runs(&self, ids: &[&Id]) -> Option<Vec<Run>> {
        let mut places = Vec::with_capacity(ids.len());
        for (at, id) in ids.iter().enumerate() {
            places.push((self.position(id)?, at));
        }
        places.sort_unstable();
        let mut runs: Vec<(Range<usize>, Vec<usize>)> = Vec::new();
        for (position, place) in places {
            let is_short = |range: Range<usize>| {
                let ranges = &self.ranges[range];
                let rows: u64 = ranges.iter().map(|range| range.rows).sum();
                let bytes: u64 = ranges.iter().map(|range| range.bytes).sum();
                rows <= MAX_ROWS && bytes <= MAX_BYTES
            };
            match runs.last_mut() {
                Some((range, places))
                    if range.end > position || is_short(range.start..position + 1) =>
                {
                    range.end = range.end.max(position + 1);
                    places.push(place);
                }
                _ => runs.push((position..position + 1, vec![place])),
            }
        }
        let run = |(range, places): (Range<usize>, Vec<usize>)| {
            let (first, last) = (&self.ranges[range.start], &self.ranges[range.end - 1]);
            let next = self.ranges.get(range.end);
            Run {
                chunks: first.chunks.start..last.chunks.end,
                // The first range has the ids before its first one, too.
                from: (range.start > 0).then(|| first.first.to_string()),
                before: next.map(|next| next.first.to_string()),
                places,
                rows: self.ranges[range].iter().map(|range| range.rows).sum(),
            }
        };
        Some(runs.into_iter().map(run).collect())
    }

    /// The position of the range that an id belongs to.
    fn position(&self, id: &Id) -> Option<usize> {
        let value = self.ranges.first()?.first.like(id)?;
        let before = self.ranges.partition_point(|range| {
            if self.descending {
                range.first >= value
            } else {
                range.first <= value
            }
        });
        Some(before.saturating_sub(1))
    }
}

/// Whether the ids of a chunk are NULL.
fn is_null(chunk: &ChunkRecord) -> bool {
    &*chunk.first == b"null" && &*chunk.last == b"null"
}

#[cfg(test)]
mod tests {
    use super::*;
    use afterword::chunk::ChunkName;
    use afterword::entry::Source;
    use bytes::Bytes;

    const ASCENDING: ById = ById {
        descending: false,
        nulls_first: false,
    };
    const DESCENDING: ById = ById {
        descending: true,
        nulls_first: true,
    };

    /// A directory of chunks with these first and last ids, 400 rows each.
    fn directory(bounds: &[(&str, &str)]) -> Directory {
        let record = |(first, last): &(&str, &str)| ChunkRecord {
            name: ChunkName::of(1, first.as_bytes()),
            rows: if first.is_empty() { 0 } else { 400 },
            length: 1,
            deflated: 0,
            crc: 0,
            first: Bytes::copy_from_slice(first.as_bytes()),
            last: Bytes::copy_from_slice(last.as_bytes()),
        };
        let chunks = bounds.iter().map(record).collect();
        Directory::new(1, 1, Source::of(&[]), chunks, 0)
    }

    fn runs(bounds: &[(&str, &str)], order: ById, ids: &[&str]) -> Option<Vec<Run>> {
        let ids: Vec<Id> = ids.iter().map(|id| Id::parse(*id).unwrap()).collect();
        Ranges::of(&directory(bounds), order)?.runs(&ids.iter().collect::<Vec<_>>())
    }

    fn run(
        chunks: Range<usize>,
        from: Option<&str>,
        before: Option<&str>,
        places: &[usize],
    ) -> Run {
        Run {
            rows: 400 * chunks.len() as u64,
            chunks,
            from: from.map(str::to_owned),
            before: before.map(str::to_owned),
            places: places.to_vec(),
        }
    }

    const FIVE: [(&str, &str); 5] = [
        ("-5", "9"),
        ("10", "19"),
        ("20", "29"),
        ("30", "39"),
        ("40", "40"),
    ];

    #[test]
    fn an_id_belongs_to_the_last_chunk_that_begins_before_it() {
        for (id, expected) in [
            ("-9", run(0..1, None, Some("10"), &[0])),
            ("9", run(0..1, None, Some("10"), &[0])),
            ("10", run(1..2, Some("10"), Some("20"), &[0])),
            ("39", run(3..4, Some("30"), Some("40"), &[0])),
            ("9000", run(4..5, Some("40"), None, &[0])),
        ] {
            assert_eq!(runs(&FIVE, ASCENDING, &[id]), Some(vec![expected]), "{id}");
        }
        let descending = [("40", "30"), ("29", "20"), ("19", "-5")];
        for (id, expected) in [
            ("41", run(0..1, None, Some("29"), &[0])),
            ("30", run(0..1, None, Some("29"), &[0])),
            ("29", run(1..2, Some("29"), Some("19"), &[0])),
            ("-6", run(2..3, Some("19"), None, &[0])),
        ] {
            assert_eq!(
                runs(&descending, DESCENDING, &[id]),
                Some(vec![expected]),
                "{id}"
            );
        }
    }

    #[test]
    fn neighbouring_places_share_a_request() {
        let both = runs(&FIVE, ASCENDING, &["15", "1", "16"]).unwrap();
        assert_eq!(both, [run(0..2, None, Some("20"), &[1, 0, 2])]);
        let far = runs(&FIVE, ASCENDING, &["1", "25", "45"]).unwrap();
        let first = run(0..1, None, Some("10"), &[0]);
        assert_eq!(
            far,
            [
                first,
                run(2..3, Some("20"), Some("30"), &[1]),
                run(4..5, Some("40"), None, &[2])
            ]
        );
        assert_eq!(runs(&FIVE, ASCENDING, &[]), Some(Vec::new()));
    }

    #[test]
    fn a_request_brings_a_mebibyte_at_most() {
        let mut directory = directory(&FIVE);
        for chunk in &mut directory.chunks {
            chunk.length = 600 << 10;
        }
        let ids = ["1", "15"].map(|id| Id::parse(id).unwrap());
        let ranges = Ranges::of(&directory, ASCENDING).unwrap();
        let runs = ranges.runs(&ids.iter().collect::<Vec<_>>()).unwrap();
        assert_eq!(runs.len(), 2, "{runs:?}");
    }

    #[test]
    fn rows_whose_id_is_null_and_continued_rows_belong_to_no_other_range() {
        let bounds = [
            ("1", "9"),
            ("10", "10"),
            ("", ""),
            ("", ""),
            ("11", "12"),
            ("null", "null"),
        ];
        assert_eq!(
            runs(&bounds, ASCENDING, &["10", "99"]),
            Some(vec![run_of(1..5, Some("10"), None, &[0, 1], 800)])
        );
        // The last row without an id is larger than a chunk.
        let bounds = [("1", "9"), ("null", "null"), ("", "")];
        let first = run_of(0..1, None, None, &[0], 400);
        assert_eq!(runs(&bounds, ASCENDING, &["5"]), Some(vec![first]));
        let bounds = [("null", "null"), ("", ""), ("9", "1")];
        let last = run_of(2..3, None, None, &[0], 400);
        assert_eq!(runs(&bounds, DESCENDING, &["5"]), Some(vec![last]));
        let bounds = [("null", "null"), ("9", "1")];
        let whole = run_of(1..2, None, None, &[0], 400);
        assert_eq!(runs(&bounds, DESCENDING, &["10"]), Some(vec![whole]));
        assert_eq!(runs(&bounds[..1], DESCENDING, &["10"]), None);
    }

    fn run_of(
        chunks: Range<usize>,
        from: Option<&str>,
        before: Option<&str>,
        places: &[usize],
        rows: u64,
    ) -> Run {
        Run {
            rows,
            ..run(chunks, from, before, places)
        }
    }

    #[test]
    fn uuids_are_in_order() {
        const A: &str = "0a9b3c5e-0000-4000-8000-000000000000";
        const B: &str = "f0000000-0000-4000-8000-00000000000b";
        let quoted = [A, B].map(|uuid| format!("\"{uuid}\""));
        let bounds = [(&*quoted[0], &*quoted[0]), (&*quoted[1], &*quoted[1])];
        let id = "fa000000-0000-4000-8000-000000000000";
        let expected = run(1..2, Some(B), None, &[0]);
        assert_eq!(runs(&bounds, ASCENDING, &[id]), Some(vec![expected]));
        assert_eq!(runs(&bounds, ASCENDING, &["7"]), None);
        assert_eq!(runs(&bounds, ASCENDING, &[&id.to_uppercase()]), None);
    }

    #[test]
    fn other_ids_and_another_order_are_not_compared() {
        for bounds in [
            &[("\"1\"", "\"2\"")][..],
            &[("\"a\"", "\"b\"")],
            &[("1", "2"), ("", "")].as_slice()[1..],
            &[("1", "1.5")],
            &[("1", "2"), ("2", "3")],
            &[("1", "2"), ("5", "4")],
            &[("3", "4"), ("1", "2")],
            &[("1", "null")],
            &[("1", "99999999999999999999")],
            &[],
        ] {
            assert_eq!(runs(bounds, ASCENDING, &["1"]), None, "{bounds:?}");
        }
        for id in ["07", "7.0", "+7", "x", "99999999999999999999"] {
            assert_eq!(runs(&FIVE, ASCENDING, &[id]), None, "{id}");
        }
    }
}
