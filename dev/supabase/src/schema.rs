//! Tables and columns, read from SQLite. They correspond to PostgREST's schema cache.

use rusqlite::{Connection, OptionalExtension};

use crate::{error::RestError, types::Type};

/// A column and its type.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    pub name: String,
    pub kind: Type,
}

/// A table of schema `public`.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub name: String,
    pub columns: Vec<Column>,
    pub primary_key: Vec<String>,
}

/// A quoted SQL identifier.
pub(crate) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

impl Table {
    /// Reads a table's definition. `None` if there is no such table.
    pub fn load(connection: &Connection, name: &str) -> rusqlite::Result<Option<Self>> {
        let found = connection
            .prepare_cached(
                "SELECT name FROM main.sqlite_schema \
                 WHERE type = 'table' AND name = ?1 AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'",
            )?
            .query_row([name], |row| row.get::<_, String>(0))
            .optional()?;
        let Some(name) = found else { return Ok(None) };

        let mut table = Self {
            name,
            columns: Vec::new(),
            primary_key: Vec::new(),
        };
        let mut statement = connection.prepare_cached(
            "SELECT name, type, pk FROM pragma_table_info(?1, 'main') ORDER BY cid",
        )?;
        let mut rows = statement.query([&table.name])?;
        while let Some(row) = rows.next()? {
            let name: String = row.get(0)?;
            if row.get::<_, i64>(2)? > 0 {
                table.primary_key.push(name.clone());
            }
            table.columns.push(Column {
                name,
                kind: Type::declared(&row.get::<_, String>(1)?),
            });
        }
        Ok(Some(table))
    }

    /// The names of all tables.
    pub fn names(connection: &Connection) -> rusqlite::Result<Vec<String>> {
        connection
            .prepare(
                "SELECT name FROM main.sqlite_schema \
                 WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'",
            )?
            .query_map([], |row| row.get(0))?
            .collect()
    }

    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// The column of a body's key, or else PostgREST's PGRST204.
    pub fn writable(&self, key: &str) -> Result<&Column, RestError> {
        self.column(key).ok_or_else(|| {
            RestError::new(
                400,
                "PGRST204",
                format!(
                    "Could not find the '{key}' column of '{}' in the schema cache",
                    self.name
                ),
            )
        })
    }
}
