//! The rows of a response. Each keeps the text that PostgREST sent.

use super::error::Error;
use serde_json::value::RawValue;

/// Parses a JSON array of objects.
pub fn rows(body: &[u8]) -> Result<Vec<&RawValue>, Error> {
    let rows: Vec<&RawValue> = serde_json::from_slice(body).map_err(|_| Error::NotRows)?;
    if rows.iter().all(|row| row.get().starts_with('{')) {
        Ok(rows)
    } else {
        Err(Error::NotRows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_keeps_its_text() {
        let rows = rows("[{\"id\":1, \"n\":1.0}, \n {\"id\":\"é\"}]".as_bytes()).unwrap();
        assert_eq!(rows[1].get(), "{\"id\":\"é\"}");
        assert_eq!(rows[0].get(), "{\"id\":1, \"n\":1.0}");
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
            assert!(rows(body.as_bytes()).is_err(), "{body}");
        }
    }
}
