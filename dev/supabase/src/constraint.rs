//! PostgreSQL's errors for constraints that SQLite reports as violated.

use rusqlite::{ErrorCode, ffi, types::Value as Sql};

use crate::{error::RestError, schema::Table};

/// The error of a statement on `table` that sets these columns.
pub(crate) fn refusal(error: rusqlite::Error, table: &Table, set: &[(&str, Sql)]) -> RestError {
    let (code, extended, message) = match &error {
        rusqlite::Error::SqliteFailure(failure, message) => {
            (failure.code, failure.extended_code, message.as_deref())
        }
        rusqlite::Error::SqlInputError {
            error: failure,
            msg,
            ..
        } => (failure.code, failure.extended_code, Some(msg.as_str())),
        _ => return error.into(),
    };
    let message = message.unwrap_or_default();
    if message.starts_with("ON CONFLICT clause does not match") {
        return RestError::new(
            400,
            "42P10",
            "there is no unique or exclusion constraint matching the ON CONFLICT specification",
        );
    }
    if code != ErrorCode::ConstraintViolation {
        return error.into();
    }

    // `UNIQUE constraint failed: articles.slug, articles.title`
    let columns: Vec<&str> = message
        .split_once(": ")
        .map_or("", |(_, columns)| columns)
        .split(", ")
        .map(|column| column.split_once('.').map_or(column, |(_, name)| name))
        .collect();
    let name = &table.name;
    match extended {
        ffi::SQLITE_CONSTRAINT_UNIQUE
        | ffi::SQLITE_CONSTRAINT_PRIMARYKEY
        | ffi::SQLITE_CONSTRAINT_ROWID => {
            let constraint = if table.primary_key == columns {
                format!("{name}_pkey")
            } else {
                format!("{name}_{}_key", columns.join("_"))
            };
            RestError::new(
                409,
                "23505",
                format!("duplicate key value violates unique constraint \"{constraint}\""),
            )
            .details(format!(
                "Key ({})=({}) already exists.",
                columns.join(", "),
                values(&columns, set).join(", ")
            ))
        }
        ffi::SQLITE_CONSTRAINT_NOTNULL => RestError::new(
            400,
            "23502",
            format!(
                "null value in column \"{}\" of relation \"{name}\" violates not-null constraint",
                columns.join(", ")
            ),
        ),
        ffi::SQLITE_CONSTRAINT_CHECK => RestError::new(
            400,
            "23514",
            format!("new row for relation \"{name}\" violates a check constraint"),
        )
        .details(message),
        ffi::SQLITE_CONSTRAINT_FOREIGNKEY => RestError::new(
            409,
            "23503",
            format!(
                "insert, update or delete on table \"{name}\" violates a foreign key constraint"
            ),
        ),
        _ => error.into(),
    }
}

fn values(columns: &[&str], set: &[(&str, Sql)]) -> Vec<String> {
    columns
        .iter()
        .filter_map(|column| set.iter().find(|(name, _)| name == column))
        .map(|(_, value)| match value {
            Sql::Null => "null".to_owned(),
            Sql::Integer(n) => n.to_string(),
            Sql::Real(x) => x.to_string(),
            Sql::Text(text) => text.clone(),
            Sql::Blob(_) => "…".to_owned(),
        })
        .collect()
}
