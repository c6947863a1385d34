//! The rows in the body of a POST or PATCH.

use rusqlite::types::Value as Sql;
use serde_json::{Map, Value as Json};

use crate::{error::RestError, policy::Access, prefer::Prefer, query::Query};

/// A row to write: values by column name.
pub(crate) type Record = Map<String, Json>;

/// The rows of a body. Without `columns`, all must have the same keys.
pub(crate) fn parse(body: &[u8], query: &Query) -> Result<Vec<Record>, RestError> {
    let json = serde_json::from_slice(body)
        .map_err(|_| RestError::new(400, "PGRST102", "Empty or invalid json"))?;
    let items = match json {
        Json::Array(items) => items,
        Json::Object(record) => return Ok(vec![record]),
        _ => return Ok(Vec::new()),
    };
    records(items, query.columns.is_none())
}

/// The objects of an array. If `uniform`, all must have the same keys.
pub(crate) fn records(items: Vec<Json>, uniform: bool) -> Result<Vec<Record>, RestError> {
    let mut records: Vec<Record> = Vec::new();
    for item in items {
        match item {
            Json::Object(record)
                if !uniform
                    || records
                        .first()
                        .is_none_or(|first| first.keys().eq(record.keys())) =>
            {
                records.push(record);
            }
            _ => {
                return Err(RestError::new(
                    400,
                    "PGRST102",
                    "All object keys must match",
                ));
            }
        }
    }
    Ok(records)
}

/// The columns and values that a record sets.
pub(crate) fn assignments<'a>(
    access: &'a Access,
    query: &'a Query,
    prefer: &Prefer,
    record: &'a Record,
) -> Result<Vec<(&'a str, Sql)>, RestError> {
    let keys: Vec<&String> = match &query.columns {
        Some(columns) => columns.iter().collect(),
        None => record.keys().collect(),
    };
    let mut set = Vec::new();
    for key in keys {
        let column = access.table.writable(key)?;
        match record.get(key) {
            Some(value) => set.push((column.name.as_str(), column.kind.read_json(value)?)),
            None if prefer.missing_default() => {}
            None => set.push((column.name.as_str(), Sql::Null)),
        }
    }
    Ok(set)
}
