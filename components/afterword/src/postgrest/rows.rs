//! The rows of a response. Each keeps the text that PostgREST sent.

use super::error::Error;
use bytes::Bytes;
use serde_json::value::RawValue;
use std::ops::Range;

/// Rows, in the body of the response that brought them.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    body: Bytes,
    /// Where the rows are in `body`, which is UTF-8 there.
    ranges: Vec<Range<usize>>,
}

impl Rows {
    /// Parses a JSON array of objects.
    pub fn parse(body: Bytes) -> Result<Self, Error> {
        let rows: Vec<&RawValue> = serde_json::from_slice(&body).map_err(|_| Error::NotRows)?;
        if !rows.iter().all(|row| row.get().starts_with('{')) {
            return Err(Error::NotRows);
        }
        let start = body.as_ptr().addr();
        let range = |row: &RawValue| {
            let at = row.get().as_ptr().addr() - start;
            at..at + row.get().len()
        };
        let ranges = rows.into_iter().map(range).collect();
        Ok(Self { body, ranges })
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Drops the rows after the first `length`.
    pub fn truncate(&mut self, length: usize) {
        self.ranges.truncate(length);
    }

    /// The JSON of each row.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &str> {
        let row = |range: &Range<usize>| str::from_utf8(&self.body[range.clone()]);
        self.ranges
            .iter()
            .map(move |range| row(range).unwrap_or_default())
    }

    /// The JSON of each row, as parts of the body.
    pub fn slices(&self) -> impl Iterator<Item = Bytes> {
        self.ranges
            .iter()
            .map(|range| self.body.slice(range.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(body: &str) -> Result<Rows, Error> {
        Rows::parse(Bytes::copy_from_slice(body.as_bytes()))
    }

    #[test]
    fn a_row_keeps_its_text() {
        let mut rows = parse("[{\"id\":1, \"n\":1.0}, \n {\"id\":\"é\"}]").unwrap();
        let texts = ["{\"id\":1, \"n\":1.0}", "{\"id\":\"é\"}"];
        assert_eq!(rows.iter().collect::<Vec<_>>(), texts);
        assert_eq!(rows.slices().collect::<Vec<_>>(), texts);
        rows.truncate(1);
        assert_eq!(rows.iter().collect::<Vec<_>>(), texts[..1]);
    }

    #[test]
    fn anything_but_an_array_of_objects_is_an_error() {
        for body in [
            "",
            "<html>",
            "{}",
            "[1]",
            "[{}, null]",
            "[{\"id\":1}",
            "null",
        ] {
            assert!(parse(body).is_err(), "{body}");
        }
    }
}
