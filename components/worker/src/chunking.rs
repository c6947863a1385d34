//! Cuts the rows of a long list into chunks.
//!
//! The boundaries of the former chunks are kept, so that a changed row changes one chunk. A chunk
//! that has grown too large is split, two small neighbours are merged. A row that is larger than a
//! chunk continues in the next ones.

use afterword::chunk::ChunkName;
use afterword::directory::ChunkRecord;
use bytes::Bytes;
use std::collections::{HashMap, VecDeque};

/// The JSON of a longer id is left out of the directory: one that a path can have is shorter.
const MAX_ID: usize = 1_024;

/// The JSON of a NULL id.
const NULL: &[u8] = b"null";

/// The largest chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxChunk {
    /// The bytes of its content.
    pub bytes: usize,
    /// Its rows: PostgREST returns a chunk in one response.
    pub rows: usize,
}

impl MaxChunk {
    /// The value of such a chunk, with its content in two codings, has at most 200 KiB.
    const LARGEST: Self = Self {
        bytes: 96 << 10,
        rows: 500,
    };

    /// The largest chunk whose value has at most `max_value` bytes.
    pub fn within(max_value: usize) -> Self {
        Self {
            bytes: Self::LARGEST.bytes.min(max_value / 4).max(1),
            rows: Self::LARGEST.rows.min(max_value / 16).max(1),
        }
    }
}

/// A chunk that has been cut.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cut {
    /// Where its rows start.
    pub starts: Vec<u32>,
    /// The rows' JSON, separated by commas.
    pub content: Vec<u8>,
    /// The JSON of the first row's id.
    pub first: Bytes,
    /// The JSON of the last row's id.
    pub last: Bytes,
}

impl Cut {
    /// Its name.
    pub fn name(&self) -> ChunkName {
        ChunkName::of(self.rows(), &self.content)
    }

    /// The number of rows; 0 if it continues the last row of the chunk before.
    pub fn rows(&self) -> u32 {
        u32::try_from(self.starts.len()).expect("a chunk has few rows")
    }
}

/// Cuts chunks.
pub struct Chunking {
    max: MaxChunk,
    /// The former chunks by their first id: the bytes and the rows of each.
    former: HashMap<Bytes, (usize, usize)>,
    /// The rows that are not in a chunk yet, and their ids.
    open: Cut,
    ids: Vec<Bytes>,
    ready: VecDeque<Cut>,
}

impl Chunking {
    /// Begins a list, or a part of it, that was in the chunks `former`.
    pub fn new(max: MaxChunk, former: &[ChunkRecord]) -> Self {
        let with_id = former
            .iter()
            .filter(|chunk| !chunk.first.is_empty() && chunk.first != NULL);
        let boundary = |chunk: &ChunkRecord| {
            let length = (chunk.length as usize, chunk.rows as usize);
            (chunk.first.clone(), length)
        };
        Self {
            max,
            former: with_id.map(boundary).collect(),
            open: Cut::default(),
            ids: Vec::new(),
            ready: VecDeque::new(),
        }
    }

    /// Adds a row, with the JSON of its id, if it has one.
    pub fn push(&mut self, row: &str, id: Option<&str>) {
        let id = id.filter(|id| id.len() <= MAX_ID).unwrap_or_default();
        let id = Bytes::copy_from_slice(id.as_bytes());
        if self.begins_a_chunk(&id) {
            self.cut(self.ids.len());
        }
        if row.len() > self.max.bytes {
            self.cut(self.ids.len());
            self.cut_row(row.as_bytes(), id);
            return;
        }
        while !self.ids.is_empty() && self.overflows(row.len()) {
            self.cut(match self.ids.len() {
                // New rows have filled it. Leave room in both halves.
                rows if rows > 1 && !self.former.is_empty() => rows / 2,
                rows => rows,
            });
        }
        if !self.ids.is_empty() {
            self.open.content.push(b',');
        }
        self.open.starts.push(start(self.open.content.len()));
        self.open.content.extend_from_slice(row.as_bytes());
        self.ids.push(id);
    }

    /// The next chunk, if one is complete.
    pub fn next(&mut self) -> Option<Cut> {
        self.ready.pop_front()
    }

    /// Completes the last chunk.
    pub fn finish(&mut self) {
        self.cut(self.ids.len());
    }

    /// Whether another row of this length would make the open chunk too large.
    fn overflows(&self, row: usize) -> bool {
        self.open.content.len() + 1 + row > self.max.bytes || self.ids.len() == self.max.rows
    }

    /// Whether the row with this id begins a chunk, unless it does for its size.
    fn begins_a_chunk(&self, id: &Bytes) -> bool {
        let Some(last) = self.ids.last() else {
            return false;
        };
        // A range of ids does not contain rows whose id is NULL.
        if (id == NULL) != (last == NULL) {
            return true;
        }
        // A chunk has room for more rows before it must be split.
        let room = MaxChunk {
            bytes: self.max.bytes / 4 * 3,
            rows: (self.max.rows / 4 * 3).max(1),
        };
        let (bytes, rows) = (self.open.content.len(), self.ids.len());
        match self.former.get(id) {
            Some((length, count)) => bytes + length > room.bytes || rows + count > room.rows,
            None => self.former.is_empty() && (bytes >= room.bytes || rows >= room.rows),
        }
    }

    /// Makes a chunk of the first `rows` open rows.
    fn cut(&mut self, rows: usize) {
        if rows == 0 {
            return;
        }
        let rest = Cut {
            starts: self.open.starts.split_off(rows),
            ..Cut::default()
        };
        let mut cut = std::mem::replace(&mut self.open, rest);
        if let Some(&first) = self.open.starts.first() {
            let end = first as usize;
            self.open.content = cut.content.split_off(end);
            // The comma.
            cut.content.pop();
            for at in &mut self.open.starts {
                *at -= first;
            }
        }
        let ids = self.ids.drain(..rows);
        let ids: Vec<Bytes> = ids.collect();
        cut.first = ids.first().cloned().unwrap_or_default();
        cut.last = ids.last().cloned().unwrap_or_default();
        self.ready.push_back(cut);
    }

    /// Makes chunks of a row that is larger than a chunk.
    fn cut_row(&mut self, row: &[u8], id: Bytes) {
        for (at, part) in row.chunks(self.max.bytes).enumerate() {
            let is_first = at == 0;
            let id = if is_first { id.clone() } else { Bytes::new() };
            self.ready.push_back(Cut {
                starts: vec![0; usize::from(is_first)],
                content: part.to_vec(),
                first: id.clone(),
                last: id,
            });
        }
    }
}

fn start(at: usize) -> u32 {
    u32::try_from(at).expect("a chunk is far smaller than 4 GiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: MaxChunk = MaxChunk {
        bytes: 100,
        rows: 8,
    };

    /// A row of 20 bytes.
    fn row(id: u32) -> String {
        format!(r#"{{"id":{id:0>3},"t":"--"}}"#)
    }

    /// The chunks of rows with these ids; 0 stands for NULL.
    fn cut(ids: impl IntoIterator<Item = u32>, former: &[Cut]) -> Vec<Cut> {
        let records: Vec<ChunkRecord> = former.iter().map(record).collect();
        let mut chunking = Chunking::new(MAX, &records);
        for id in ids {
            let text = if id == 0 {
                "null".to_owned()
            } else {
                id.to_string()
            };
            chunking.push(&row(id), Some(&text));
        }
        chunking.finish();
        std::iter::from_fn(|| chunking.next()).collect()
    }

    fn record(cut: &Cut) -> ChunkRecord {
        ChunkRecord {
            name: cut.name(),
            rows: cut.rows(),
            length: cut.content.len() as u32,
            deflated: 0,
            crc: 0,
            first: cut.first.clone(),
            last: cut.last.clone(),
        }
    }

    /// The list that the chunks hold, having checked where each row starts.
    fn joined(cuts: &[Cut]) -> String {
        let mut rows = Vec::new();
        for cut in cuts {
            let content = str::from_utf8(&cut.content).unwrap();
            assert!(content.len() <= MAX.bytes && cut.starts.len() <= MAX.rows);
            let ends = cut.starts.iter().skip(1).map(|at| *at as usize - 1);
            let ends = ends.chain([content.len()]);
            for (start, end) in cut.starts.iter().zip(ends) {
                rows.push(&content[*start as usize..end]);
            }
        }
        rows.join(",")
    }

    fn rows(cuts: &[Cut]) -> Vec<usize> {
        cuts.iter().map(|cut| cut.starts.len()).collect()
    }

    fn list(ids: impl IntoIterator<Item = u32>) -> String {
        ids.into_iter().map(row).collect::<Vec<_>>().join(",")
    }

    #[test]
    fn a_new_list_is_cut_with_room_in_each_chunk() {
        let cuts = cut(1..=10, &[]);
        assert_eq!(rows(&cuts), [4, 4, 2]);
        assert_eq!(joined(&cuts), list(1..=10));
        let bounds = |cut: &Cut| [cut.first.clone(), cut.last.clone()];
        assert_eq!(bounds(&cuts[0]), ["1", "4"].map(Bytes::from));
        assert_eq!(bounds(&cuts[2]), ["9", "10"].map(Bytes::from));
        assert_eq!(cut([], &[]), []);
    }

    #[test]
    fn a_change_changes_one_chunk() {
        let ids = (10..=200).step_by(10);
        let former = cut(ids.clone(), &[]);
        let changed = |ids: Vec<u32>| {
            let cuts = cut(ids.clone(), &former);
            assert_eq!(joined(&cuts), list(ids));
            let names: Vec<ChunkName> = former.iter().map(Cut::name).collect();
            cuts.iter()
                .filter(|cut| !names.contains(&cut.name()))
                .count()
        };
        assert_eq!(changed(ids.clone().collect()), 0);
        let inserted = |new: u32| {
            let mut with: Vec<u32> = ids.clone().chain([new]).collect();
            with.sort_unstable();
            changed(with)
        };
        for new in [5, 15, 45, 205] {
            assert!(inserted(new) <= 1, "{new}");
        }
        for id in ids.clone() {
            let without = ids.clone().filter(|other| *other != id).collect();
            assert!(changed(without) <= 2, "{id}");
        }
    }

    #[test]
    fn a_chunk_that_has_grown_is_split() {
        let former = cut([10, 20, 30, 40, 50, 60], &[]);
        assert_eq!(rows(&former), [4, 2]);
        let cuts = cut([10, 11, 12, 13, 20, 30, 40, 50, 60], &former);
        assert_eq!(rows(&cuts), [2, 5, 2]);
        let cuts = cut((10..=60).step_by(2), &former);
        assert_eq!(joined(&cuts), list((10..=60).step_by(2)));
    }

    #[test]
    fn two_small_neighbours_are_merged() {
        let former = cut(1..=12, &[]);
        assert_eq!(rows(&former), [4, 4, 4]);
        let cuts = cut([1, 5, 6, 9, 10, 11, 12], &former);
        assert_eq!(rows(&cuts), [1, 2, 4], "the former chunks were full");
        assert_eq!(rows(&cut([1, 5, 6, 9, 10, 11, 12], &cuts)), [3, 4]);
    }

    #[test]
    fn rows_whose_id_is_null_are_in_chunks_of_their_own() {
        assert_eq!(rows(&cut([1, 2, 0, 0], &[])), [2, 2]);
        assert_eq!(rows(&cut([0, 0, 1, 2], &[])), [2, 2]);
        let former = cut([1, 2, 0, 0], &[]);
        assert_eq!(cut([1, 2, 0, 0], &former), former);
    }

    #[test]
    fn a_row_that_is_larger_than_a_chunk_continues_in_the_next_ones() {
        let mut chunking = Chunking::new(MAX, &[]);
        let large = format!(r#"{{"id":2,"t":"{}"}}"#, "é".repeat(120));
        for (row, id) in [(row(1), "1"), (large.clone(), "2"), (row(3), "3")] {
            chunking.push(&row, Some(id));
        }
        chunking.finish();
        let cuts: Vec<Cut> = std::iter::from_fn(|| chunking.next()).collect();
        assert_eq!(rows(&cuts), [1, 1, 0, 0, 1]);
        let parts = cuts[1..4].iter().flat_map(|cut| cut.content.clone());
        assert_eq!(parts.collect::<Vec<u8>>(), large.into_bytes());
        assert_eq!((&*cuts[1].first, &*cuts[2].first), (&b"2"[..], &b""[..]));
    }

    #[test]
    fn rows_without_an_id_are_cut_by_size() {
        let mut chunking = Chunking::new(MAX, &[]);
        let long = format!("\"{}\"", "x".repeat(MAX_ID));
        for id in [None, Some(long.as_str())].into_iter().cycle().take(10) {
            chunking.push(&row(1), id);
        }
        chunking.finish();
        let cuts: Vec<Cut> = std::iter::from_fn(|| chunking.next()).collect();
        assert_eq!(rows(&cuts), [4, 4, 2]);
        assert!(cuts.iter().all(|cut| cut.first.is_empty()));
    }

    #[test]
    fn the_largest_chunk_fits_a_value() {
        use afterword::chunk::Chunk;
        for max_value in [64, 1_000, 8_192, 1_000_000, usize::MAX] {
            let MaxChunk { bytes, rows } = MaxChunk::within(max_value);
            let largest = Chunk::encoded_length(rows, bytes, bytes);
            assert!(largest <= max_value.min(256 << 10), "{max_value}");
        }
    }
}
