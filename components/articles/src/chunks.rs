//! Reads the chunks of a long list, a few at a time.

use afterword::chunk::{Chunk, ChunkName};
use afterword::directory::{ChunkRecord, Directory, Span, gzip};
use afterword::store::Store;
use bytes::Bytes;
use std::fmt;
use std::ops::Range;

/// A chunk could not be read, or is not the one that the directory names; `None` if the store could
/// not be opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Missing(Option<ChunkName>);

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(name) => name.fmt(f),
            None => f.write_str("the store"),
        }
    }
}

/// Reads a list, chunk by chunk.
pub enum Reader {
    /// As it is.
    Rows(Rows),
    /// In gzip.
    Gzip(Gzip),
}

impl Reader {
    /// The next bytes; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, Missing> {
        match self {
            Self::Rows(rows) => rows.next().await,
            Self::Gzip(gzip) => gzip.next().await,
        }
    }
}

/// Reads a part of a list as a JSON array.
pub struct Rows {
    store: Store,
    directory: Directory,
    span: Span,
    /// The rows of the first chunk. Read at once, because a list whose chunks are missing is a miss
    /// as long as the response has not begun.
    first: Bytes,
    /// The rows of the last chunk, if only a part of it is wanted.
    last: Option<Bytes>,
    next: usize,
}

impl Rows {
    /// Reads the chunks at both ends of a part of a list. The part is not empty.
    pub async fn open(store: Store, directory: Directory, span: Span) -> Result<Self, Missing> {
        let start = span.chunks.start;
        let of_first = directory.chunks[start].rows as usize;
        // The last chunk in which a row begins.
        let mut heads = span.chunks.clone().rev();
        let last = heads
            .find(|at| !directory.chunks[*at].continues())
            .unwrap_or(start);
        let before: u64 = directory.chunks[start..last]
            .iter()
            .map(|chunk| u64::from(chunk.rows))
            .sum();
        let until = (span.rows + span.skipped as u64 - before) as usize;
        let is_part = until < directory.chunks[last].rows as usize;
        let chunk = read(&store, &directory.chunks[start]).await?;
        let until_in_first = if last == start { until } else { of_first };
        let first = rows(&chunk, span.skipped, until_in_first);
        let first = first.ok_or(Missing(Some(directory.chunks[start].name)))?;
        let last = if is_part && last > start {
            let record = &directory.chunks[last];
            let chunk = read(&store, record).await?;
            Some(rows(&chunk, 0, until).ok_or(Missing(Some(record.name)))?)
        } else {
            None
        };
        Ok(Self {
            store,
            directory,
            span,
            first,
            last,
            next: start,
        })
    }

    /// The length of the array in bytes.
    pub fn length(&self) -> u64 {
        let Range { start, end } = self.span.chunks.clone();
        let records = &self.directory.chunks;
        let whole = self.directory.length_of(&self.span.chunks);
        let first = u64::from(records[start].length) - self.first.len() as u64;
        let last = self.last.as_ref().map_or(0, |last| {
            u64::from(records[end - 1].length) - last.len() as u64
        });
        whole - first - last
    }

    async fn next(&mut self) -> Result<Option<Vec<u8>>, Missing> {
        let at = self.next;
        if at == self.span.chunks.end {
            return Ok(None);
        }
        self.next += 1;
        let is_last = self.next == self.span.chunks.end;
        let content = match &self.last {
            _ if at == self.span.chunks.start => std::mem::take(&mut self.first),
            Some(last) if is_last => last.clone(),
            _ => read(&self.store, &self.directory.chunks[at]).await?.content,
        };
        let separator = self.directory.separator(self.span.chunks.start, at);
        let mut bytes = Vec::with_capacity(content.len() + 2);
        bytes.extend_from_slice(separator.as_bytes());
        bytes.extend_from_slice(&content);
        if is_last {
            bytes.push(b']');
        }
        Ok(Some(bytes))
    }
}

/// Reads a whole list as one gzip member.
pub struct Gzip {
    store: Store,
    directory: Directory,
    /// Read at once, as in [`Rows`].
    first: Option<Chunk>,
    next: usize,
}

impl Gzip {
    /// Reads the first chunk. The list is not empty.
    pub async fn open(store: Store, directory: Directory) -> Result<Self, Missing> {
        let first = read(&store, &directory.chunks[0]).await?;
        Ok(Self {
            store,
            directory,
            first: Some(first),
            next: 0,
        })
    }

    async fn next(&mut self) -> Result<Option<Vec<u8>>, Missing> {
        let at = self.next;
        let Some(record) = self.directory.chunks.get(at) else {
            return Ok(None);
        };
        self.next += 1;
        let chunk = match self.first.take() {
            Some(first) => first,
            None => read(&self.store, record).await?,
        };
        let mut bytes = Vec::with_capacity(chunk.deflated.len().max(chunk.content.len()) + 64);
        if at == 0 {
            bytes.extend_from_slice(&gzip::HEADER);
        }
        gzip::raw(&mut bytes, self.directory.separator(0, at).as_bytes());
        if chunk.deflated.is_empty() {
            gzip::raw(&mut bytes, &chunk.content);
        } else {
            bytes.extend_from_slice(&chunk.deflated);
        }
        if self.next == self.directory.chunks.len() {
            gzip::raw(&mut bytes, b"]");
            gzip::trailer(&mut bytes, self.directory.crc, self.directory.length());
        }
        Ok(Some(bytes))
    }
}

/// The chunk that a directory names.
async fn read(store: &Store, record: &ChunkRecord) -> Result<Chunk, Missing> {
    let missing = Missing(Some(record.name));
    let value = store.get(&record.name.to_string()).await;
    let value = value.map_err(|_| missing)?.ok_or(missing)?;
    let chunk = Chunk::decode(value).ok_or(missing)?;
    record.describes(&chunk).then_some(chunk).ok_or(missing)
}

/// The JSON of the rows of a chunk, from the row `from` on and before the row `until`. A chunk that
/// continues a row is not cut.
fn rows(chunk: &Chunk, from: usize, until: usize) -> Option<Bytes> {
    let end = if until < chunk.rows() {
        // Without the comma.
        chunk.start(until)?.checked_sub(1)?
    } else {
        chunk.content.len()
    };
    let start = chunk.start(from)?;
    (start <= end && end <= chunk.content.len()).then(|| chunk.content.slice(start..end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rows_of_a_chunk_are_cut_at_commas() {
        let content = Bytes::from_static(b"{\"id\":1},{\"id\":2},{\"id\":3}");
        let chunk = Chunk::new(&[0, 9, 18], content, Bytes::new());
        let rows = |from, until| rows(&chunk, from, until).unwrap();
        assert_eq!(rows(0, 3), chunk.content);
        assert_eq!(rows(0, 1), "{\"id\":1}");
        assert_eq!(rows(1, 3), "{\"id\":2},{\"id\":3}");
        assert_eq!(rows(2, 9), "{\"id\":3}");
    }

    #[test]
    fn a_chunk_whose_rows_start_anywhere_is_not_cut() {
        let chunk = Chunk::new(&[7, 0, 90], Bytes::from_static(b"{\"id\":1}"), Bytes::new());
        for (from, until) in [(0, 1), (1, 2), (2, 3), (3, 1)] {
            assert_eq!(rows(&chunk, from, until), None, "{from}, {until}");
        }
    }
}
