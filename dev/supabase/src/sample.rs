//! The sample articles.

use anyhow::Context;
use serde_json::Value as Json;

use crate::rest::Rest;

/// Loads the sample into an empty table.
pub(crate) fn load(rest: &Rest) -> anyhow::Result<()> {
    let empty = rest.database.read(|connection| {
        Ok(
            connection.query_row("SELECT NOT EXISTS (SELECT 1 FROM articles)", [], |row| {
                row.get::<_, bool>(0)
            })?,
        )
    })?;
    if empty {
        rest.replace("articles", &articles()?)?;
    }
    Ok(())
}

/// The sample articles.
pub(crate) fn articles() -> anyhow::Result<Vec<Json>> {
    serde_json::from_str(include_str!("sample.json")).context("sample.json is not a list")
}
