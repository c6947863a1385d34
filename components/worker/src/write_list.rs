//! Writes long lists: chunks first, and then the directory that names them. So a reader finds every
//! chunk of the directory that it has read.

use crate::chunking::{Cut, MaxChunk};
use crate::compress::deflate;
use crate::lease::{Claimed, longest_queued};
use crate::write::{NotWritten, Writer, Written, log_too_large};
use afterword::chunk::{Chunk, ChunkName};
use afterword::directory::{ChunkRecord, Directory, Retired};
use afterword::entry::Entry;
use afterword::freshness;
use afterword::host;
use afterword::key::Key;
use afterword::log::{self, event};
use afterword::metrics;
use afterword::queue::Error;
use afterword::store;
use bytes::Bytes;
use crc32fast::Hasher;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

/// A longer list is stored in chunks. With its content in three codings, of which two save a fifth at
/// least, no value exceeds 256 KiB.
const MAX_VALUE: usize = 96 << 10;

/// How long a chunk stays after the list has lost it: a reader may have read the former directory.
const GRACE: Duration = Duration::from_secs(60);

/// The maximum number of retired chunks in a directory. Reconciliation removes the others.
const MAX_RETIRED: usize = 2_048;

/// The stored list.
pub enum StoredList {
    /// There is none, or it cannot be read.
    Missing,
    /// One value.
    Entry(Entry),
    /// Chunks.
    Directory(Directory),
}

impl StoredList {
    /// Its chunks.
    pub fn chunks(&self) -> &[ChunkRecord] {
        match self {
            Self::Directory(directory) => &directory.chunks,
            Self::Missing | Self::Entry(_) => &[],
        }
    }

    /// Whether the store had no room for its content.
    pub fn is_too_large(&self) -> bool {
        matches!(self, Self::Entry(entry) if entry.is_too_large())
    }

    /// When it last changed, in seconds since 1970.
    pub fn last_modified(&self) -> Option<u64> {
        match self {
            Self::Missing => None,
            Self::Entry(entry) => Some(entry.last_modified),
            Self::Directory(directory) => Some(directory.last_modified),
        }
    }

    /// The chunks that are in the store, by name: the length of each in DEFLATE.
    pub fn kept(&self) -> HashMap<ChunkName, u32> {
        let Self::Directory(directory) = self else {
            return HashMap::new();
        };
        let retired = directory.retired.iter().map(|it| (it.name, it.deflated));
        let chunks = directory.chunks.iter().map(|it| (it.name, it.deflated));
        retired.chain(chunks).collect()
    }
}

impl Writer<'_> {
    /// The stored list.
    pub async fn stored_list(&self) -> StoredList {
        let value = self.store.get(&Key::List.to_string()).await.ok().flatten();
        let Some(value) = value.map(Bytes::from) else {
            return StoredList::Missing;
        };
        if let Some(directory) = Directory::decode(&value) {
            return StoredList::Directory(directory);
        }
        Entry::decode(value.into()).map_or(StoredList::Missing, StoredList::Entry)
    }

    /// The longest list that is stored as one value. A list in chunks stays so until it is half as
    /// long.
    pub fn longest_value(&self, former: &StoredList) -> usize {
        let longest = MAX_VALUE.min(self.max_value().saturating_sub(Entry::HEADER_LENGTH));
        match former {
            StoredList::Directory(_) => longest / 2,
            StoredList::Missing | StoredList::Entry(_) => longest,
        }
    }

    /// The largest chunk that the host's store takes.
    pub fn max_chunk(&self) -> MaxChunk {
        MaxChunk::within(self.max_value())
    }

    /// Writes a chunk, unless the store has it. `kept` are the chunks that the store should have;
    /// with `checked`, the store is asked.
    pub async fn write_chunk(
        &self,
        cut: Cut,
        kept: &HashMap<ChunkName, u32>,
        checked: bool,
    ) -> Result<Result<ChunkRecord, NotWritten>, Error> {
        let (name, rows) = (cut.name(), cut.rows());
        let mut record = ChunkRecord {
            name,
            rows,
            length: length(cut.content.len()),
            deflated: 0,
            crc: crc32fast::hash(&cut.content),
            first: cut.first,
            last: cut.last,
        };
        let key = name.to_string();
        if let Some(deflated) = kept.get(&name) {
            record.deflated = *deflated;
            if !checked || self.has_chunk(&record).await {
                return Ok(Ok(record));
            }
        }
        let room = match self.take_room(&key, true).await? {
            Ok(room) => room,
            Err(not_written) => return Ok(Err(not_written)),
        };
        let content = Bytes::from(cut.content);
        let deflated = deflate(&content).unwrap_or_default().into();
        let mut chunk = Chunk::new(&cut.starts, content, deflated);
        host::yield_now().await;
        if !self.may_write().await? {
            return Ok(Err(NotWritten::LeaseLost));
        }
        let mut written = self.store.set(&key, &chunk.encode()).await;
        if written.is_err() && !chunk.deflated.is_empty() {
            // The store may have refused the size.
            chunk.deflated = Bytes::new();
            written = self.store.set(&key, &chunk.encode()).await;
        }
        record.deflated = length(chunk.deflated.len());
        Ok(match written {
            Ok(()) => {
                room.keep();
                Ok(record)
            }
            Err(error) => Err(NotWritten::Failed(error.to_string())),
        })
    }

    /// Whether the store has this chunk, undamaged.
    async fn has_chunk(&self, record: &ChunkRecord) -> bool {
        let value = self.store.get(&record.name.to_string()).await;
        let chunk = value.ok().flatten().and_then(Chunk::decode);
        chunk.is_some_and(|chunk| record.describes(&chunk))
    }

    /// Writes the directory of these chunks, which are in the store, and removes chunks that were
    /// retired a while ago. `fetched_at` is the start of the last fetch of the whole list. The log
    /// says how long the tasks `claimed` have been queued.
    pub async fn write_directory(
        &self,
        chunks: Vec<ChunkRecord>,
        fetched_at: u64,
        former: &StoredList,
        claimed: &[Claimed],
    ) -> Result<Written, Error> {
        let (name, source) = (Key::List.to_string(), self.origin.list_source());
        let now = host::now();
        let crc = crc(&chunks);
        let mut directory = Directory::new(fetched_at, fetched_at / 1_000, source, chunks, crc);
        if let Some(last_modified) = former.last_modified() {
            let is_same = matches!(former, StoredList::Directory(it) if it.tag == directory.tag);
            directory.last_modified = if is_same {
                last_modified
            } else {
                (now / 1_000).max(last_modified.saturating_add(1))
            };
        }
        let mut unused = Vec::new();
        if let StoredList::Directory(former) = former {
            (directory.retired, unused) = retire(former, &directory.chunks, now);
        }
        let mut value = directory.encode();
        let bytes = stored_bytes(&directory) + value.len();
        if value.len() > self.max_value() {
            directory.retired.clear();
            value = directory.encode();
        }
        if value.len() > self.max_value() {
            if !former.is_too_large() {
                log_too_large(&name, value.len());
            }
            let entry = Entry::new(Bytes::new(), fetched_at, source);
            value = entry.encode();
        }
        let room = match self.take_room(&name, true).await? {
            Ok(room) => room,
            Err(not_written) => return Ok(not_written.into()),
        };
        if !self.may_write().await? {
            return Ok(Written::LeaseLost);
        }
        if let Err(error) = self.store.set(&name, &value).await {
            return Ok(Written::Failed(error.to_string()));
        }
        room.keep();
        metrics::count(metrics::ENTRY_WRITTEN);
        let line = log::event(event::ENTRY_WRITTEN, format!("updated cache: {name}"));
        line.key(&name).ms(longest_queued(claimed)).emit();
        // Only now: no directory that a worker may start from names them.
        for name in unused {
            self.remove_chunk(name).await?;
        }
        Ok(Written::Stored(bytes))
    }

    /// Removes the chunks of a stored directory that were retired a while ago, to make room.
    pub async fn remove_retired(&self, former: &StoredList) -> Result<(), Error> {
        if let StoredList::Directory(former) = former {
            let (_, unused) = retire(former, &former.chunks, host::now());
            for name in unused {
                self.remove_chunk(name).await?;
            }
        }
        Ok(())
    }

    /// Removes chunks that no directory names: a worker died between its writes, or the list has
    /// become short. `stored` are the chunks that were in the store before the list was refreshed
    /// just now; `was_missing`: so was the list.
    pub async fn remove_orphans(
        &self,
        stored: &[ChunkName],
        was_missing: bool,
    ) -> Result<(), Error> {
        if stored.is_empty() {
            return Ok(());
        }
        let list = self.stored_list().await;
        // Readers of a former directory may still need its chunks. A directory lists those.
        let may_be_read = match &list {
            StoredList::Directory(_) => false,
            StoredList::Entry(entry) => {
                let changed_at = entry.last_modified.saturating_mul(1_000);
                freshness::age(changed_at, host::now()) < GRACE
            }
            // If the list cannot be read, it may be there.
            StoredList::Missing => {
                let exists = self.store.exists(&Key::List.to_string()).await;
                !was_missing || exists.unwrap_or(true)
            }
        };
        if may_be_read {
            return Ok(());
        }
        let kept = list.kept();
        for name in stored.iter().filter(|name| !kept.contains_key(name)) {
            self.remove_chunk(*name).await?;
        }
        Ok(())
    }

    /// Removes a chunk. A failure is no reason to stop: a reconciliation finds it again.
    pub async fn remove_chunk(&self, name: ChunkName) -> Result<(), Error> {
        if self.may_write().await? {
            let _: Result<(), store::Error> = self.delete(&name.to_string()).await;
        }
        Ok(())
    }
}

/// The chunks that the list has lost: those that readers of a former directory may still need, and
/// the others.
fn retire(former: &Directory, chunks: &[ChunkRecord], now: u64) -> (Vec<Retired>, Vec<ChunkName>) {
    let current: HashSet<ChunkName> = chunks.iter().map(|chunk| chunk.name).collect();
    let mut listed = HashSet::new();
    let newly = former.chunks.iter().map(|chunk| Retired {
        name: chunk.name,
        deflated: chunk.deflated,
        since: now,
    });
    let lost = former.retired.iter().copied().chain(newly);
    let lost = lost.filter(|chunk| !current.contains(&chunk.name) && listed.insert(chunk.name));
    let (mut retired, unused): (Vec<Retired>, Vec<Retired>) =
        lost.partition(|chunk| freshness::age(chunk.since, now) < GRACE);
    let surplus = retired.len().saturating_sub(MAX_RETIRED);
    retired.drain(..surplus);
    (
        retired,
        unused.into_iter().map(|chunk| chunk.name).collect(),
    )
}

/// The bytes of the chunks in the store.
pub fn stored_bytes(directory: &Directory) -> usize {
    let bytes = |chunk: &ChunkRecord| {
        let [rows, length, deflated] =
            [chunk.rows, chunk.length, chunk.deflated].map(|number| number as usize);
        Chunk::encoded_length(rows, length, deflated)
    };
    directory.chunks.iter().map(bytes).sum()
}

/// The CRC-32 of the list.
fn crc(chunks: &[ChunkRecord]) -> u32 {
    let mut crc = Hasher::new();
    for (at, chunk) in chunks.iter().enumerate() {
        crc.update(if at == 0 {
            b"["
        } else if chunk.continues() {
            b""
        } else {
            b","
        });
        crc.combine(&Hasher::new_with_initial_len(
            chunk.crc,
            u64::from(chunk.length),
        ));
    }
    crc.update(b"]");
    crc.finalize()
}

fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("a chunk is far smaller than 4 GiB")
}

#[cfg(test)]
mod tests {
    use super::*;
    use afterword::entry::Source;

    fn record(content: &str, rows: u32) -> ChunkRecord {
        ChunkRecord {
            name: ChunkName::of(rows, content.as_bytes()),
            rows,
            length: content.len() as u32,
            deflated: 0,
            crc: crc32fast::hash(content.as_bytes()),
            first: Bytes::new(),
            last: Bytes::new(),
        }
    }

    #[test]
    fn the_crc_of_a_list_is_combined_from_those_of_its_chunks() {
        let chunks = [
            record("{\"id\":1},{\"id\":2}", 2),
            record("{\"id\":3,\"t\":\"lo", 1),
            record("ng\"}", 0),
            record("{\"id\":4}", 1),
        ];
        let list = b"[{\"id\":1},{\"id\":2},{\"id\":3,\"t\":\"long\"},{\"id\":4}]";
        assert_eq!(crc(&chunks), crc32fast::hash(list));
    }

    #[test]
    fn a_lost_chunk_is_retired_for_a_minute_and_then_unused() {
        let directory = |contents: &[&str]| {
            let chunks = contents.iter().map(|content| record(content, 1)).collect();
            Directory::new(1, 1, Source::of(&[]), chunks, 0)
        };
        let name = |content: &str| ChunkName::of(1, content.as_bytes());
        let mut former = directory(&["a", "b"]);
        let (retired, unused) = retire(&former, &directory(&["a", "c"]).chunks, 1_000);
        assert_eq!((retired.len(), retired[0].name), (1, name("b")));
        assert_eq!((retired[0].since, unused.len()), (1_000, 0));
        former.retired = retired;
        // It has come back.
        let (retired, _) = retire(&former, &directory(&["a", "b"]).chunks, 2_000);
        assert!(retired.is_empty());
        let former = Directory {
            retired: former.retired,
            ..directory(&["a", "c"])
        };
        let (retired, unused) = retire(&former, &former.chunks, 61_000);
        assert_eq!((retired.len(), unused), (0, vec![name("b")]));
        assert_eq!(retire(&former, &former.chunks, 60_999).0, former.retired);
    }

    #[test]
    fn a_stored_list_knows_the_chunks_that_the_store_has() {
        let chunks = vec![record("{}", 1)];
        let mut directory = Directory::new(1, 1, Source::of(&[]), chunks, 0);
        let name = ChunkName::of(1, b"gone");
        directory.retired = vec![Retired {
            name,
            deflated: 7,
            since: 1,
        }];
        let kept = StoredList::Directory(directory).kept();
        assert_eq!((kept.len(), kept[&name]), (2, 7));
        assert!(StoredList::Missing.kept().is_empty());
    }
}
