//! The rows: one SQLite connection behind a lock, and triggers that record each change of a row.

use std::{
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicI64, Ordering},
    },
};

use jiff::Timestamp;
use rusqlite::{Connection, Transaction, functions::FunctionFlags, types::ValueRef};
use serde_json::{Map, Value as Json};

use crate::{
    error::RestError,
    schema::{Table, quote},
    types::timestamptz,
};

/// A changed row as Supabase's trigger sees it. An INSERT has no `old_record`, a DELETE no
/// `record`.
#[derive(Debug, PartialEq)]
pub(crate) struct Change {
    pub operation: String,
    pub table: String,
    pub record: Option<Json>,
    pub old_record: Option<Json>,
}

/// All tables of schema `public`.
pub(crate) struct Database {
    connection: Mutex<Connection>,
    /// The value of SQL's `now()` in microseconds since 1970: as in PostgreSQL, the start of the
    /// transaction.
    now: Arc<AtomicI64>,
}

impl Database {
    pub fn open(path: Option<&Path>) -> rusqlite::Result<Self> {
        let connection = match path {
            Some(path) => Connection::open(path)?,
            None => Connection::open_in_memory()?,
        };
        let now = Arc::new(AtomicI64::new(0));
        let clock = Arc::clone(&now);
        connection.create_scalar_function("now", 0, FunctionFlags::SQLITE_UTF8, move |_| {
            let micros = clock.load(Ordering::Relaxed);
            Ok(timestamptz(
                Timestamp::from_microsecond(micros).unwrap_or_default(),
            ))
        })?;
        connection.execute_batch(
            "CREATE TEMP TABLE row_change \
             (operation text, table_name text, record text, old_record text)",
        )?;
        connection.execute_batch(include_str!("schema.sql"))?;
        create_triggers(&connection)?;
        Ok(Self {
            connection: Mutex::new(connection),
            now,
        })
    }

    /// Runs `work` without a transaction.
    pub fn read<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, RestError>,
    ) -> Result<T, RestError> {
        work(&self.lock())
    }

    /// Runs `work` in a transaction. Returns its result and the changed rows. An error rolls back.
    pub fn write<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, RestError>,
    ) -> Result<(T, Vec<Change>), RestError> {
        let mut connection = self.lock();
        self.set_clock();
        let transaction = connection.transaction()?;
        let result = work(&transaction)?;
        let changes = take_changes(&transaction)?;
        transaction.commit()?;
        Ok((result, changes))
    }

    /// Runs SQL statements in one transaction, without recording changes.
    pub fn execute(&self, sql: &str) -> rusqlite::Result<()> {
        let mut connection = self.lock();
        self.set_clock();
        let transaction = connection.transaction()?;
        drop_triggers(&transaction)?;
        transaction.execute_batch(sql)?;
        // The statements may have created or altered tables.
        create_triggers(&transaction)?;
        transaction.commit()
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection
            .lock()
            .expect("no thread panics while it holds the database")
    }

    fn set_clock(&self) {
        self.now
            .store(Timestamp::now().as_microsecond(), Ordering::Relaxed);
    }
}

/// Creates the triggers that record changes. They are temporary, so a database file has only the
/// user's tables.
fn create_triggers(connection: &Connection) -> rusqlite::Result<()> {
    for name in Table::names(connection)? {
        let Some(table) = Table::load(connection, &name)? else {
            continue;
        };
        let row = |which: &str| {
            let columns: Vec<_> = table
                .columns
                .iter()
                .map(|column| format!("{which}.{}", quote(&column.name)))
                .collect();
            format!("json_array({})", columns.join(", "))
        };
        let (new, old) = (row("new"), row("old"));
        for (operation, record, old_record) in [
            ("INSERT", new.as_str(), "NULL"),
            ("UPDATE", new.as_str(), old.as_str()),
            ("DELETE", "NULL", old.as_str()),
        ] {
            let trigger = quote(&format!("record_{operation}_{name}"));
            let literal = name.replace('\'', "''");
            let on = quote(&name);
            connection.execute_batch(&format!(
                "CREATE TEMP TRIGGER {trigger} AFTER {operation} ON main.{on} BEGIN \
                 INSERT INTO row_change \
                 VALUES ('{operation}', '{literal}', {record}, {old_record}); END"
            ))?;
        }
    }
    Ok(())
}

fn drop_triggers(connection: &Connection) -> rusqlite::Result<()> {
    let triggers: Vec<String> = connection
        .prepare("SELECT name FROM temp.sqlite_schema WHERE type = 'trigger'")?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    triggers.iter().try_for_each(|name| {
        connection.execute_batch(&format!("DROP TRIGGER temp.{}", quote(name)))
    })
}

fn take_changes(transaction: &Transaction<'_>) -> Result<Vec<Change>, RestError> {
    let mut changes = Vec::new();
    let mut statement = transaction.prepare_cached(
        "SELECT operation, table_name, record, old_record FROM row_change ORDER BY rowid",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let table: String = row.get(1)?;
        let Some(definition) = Table::load(transaction, &table)? else {
            continue;
        };
        changes.push(Change {
            operation: row.get(0)?,
            record: record(&definition, row.get(2)?),
            old_record: record(&definition, row.get(3)?),
            table,
        });
    }
    transaction.execute("DELETE FROM row_change", [])?;
    Ok(changes)
}

/// The JSON object of a recorded row, from SQLite's values.
fn record(table: &Table, values: Option<String>) -> Option<Json> {
    let values: Vec<Json> = serde_json::from_str(&values?).ok()?;
    let members = table.columns.iter().zip(values).map(|(column, value)| {
        let value = match value.as_i64() {
            Some(n) => column.kind.write_json(ValueRef::Integer(n)),
            None => value,
        };
        (column.name.clone(), value)
    });
    Some(Json::Object(Map::from_iter(members)))
}
