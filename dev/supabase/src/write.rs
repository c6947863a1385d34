//! `POST`, `PATCH` and `DELETE` of a table.

use http::{HeaderMap, Method};
use rusqlite::{Transaction, types::Value as Sql};

use crate::{
    constraint,
    error::RestError,
    filter::conditions,
    media::Media,
    payload::{self, Record, assignments},
    policy::Access,
    prefer::Prefer,
    query::Query,
    range::content_range,
    response::Response,
    returning::{Changed, Returning},
    schema::quote,
};

/// Responds to a write. The caller commits the transaction, or rolls it back on an error.
pub(crate) fn write(
    transaction: &Transaction<'_>,
    access: &Access,
    method: &Method,
    headers: &HeaderMap,
    query: &Query,
    body: &[u8],
) -> Result<Response, RestError> {
    let prefer = Prefer::new(headers)?;
    let media = Media::accepted(headers)?;
    let rows = match *method {
        Method::POST => insert(
            transaction,
            access,
            query,
            &prefer,
            &payload::parse(body, query)?,
        )?,
        Method::PATCH => update(
            transaction,
            access,
            query,
            &prefer,
            &payload::parse(body, query)?,
        )?,
        _ => delete(transaction, access, query, &prefer)?,
    };
    if media == Media::Object && rows.len() != 1 {
        return Err(RestError::not_singular(rows.len()));
    }
    if *method != Method::POST {
        prefer.check_affected(rows.len())?;
    }

    let count = rows.len() as u64;
    let total = prefer.count().then_some(count);
    let (status, range) = match *method {
        Method::POST => (created(transaction, &prefer)?, content_range(0, 0, total)),
        Method::PATCH => (200, content_range(0, count, total)),
        _ => (200, content_range(0, 0, total)),
    };
    let mut response = if prefer.representation() {
        Response::new(status, media.content_type(), media.body(&rows)?)
    } else if *method == Method::POST {
        Response::empty(status)
    } else {
        Response::empty(204)
    };
    response = response.header("content-range", range);
    if let Some(applied) = prefer.applied(method.as_str()) {
        response = response.header("preference-applied", applied);
    }
    Ok(response)
}

/// Inserts the records. Returns the rows of a representation.
pub(crate) fn insert(
    transaction: &Transaction<'_>,
    access: &Access,
    query: &Query,
    prefer: &Prefer,
    records: &[Record],
) -> Result<Vec<String>, RestError> {
    let returning = Returning::new(access, query, prefer)?;
    let mut inserts = Vec::new();
    for record in records {
        inserts.push(assignments(access, query, prefer, record)?);
    }
    if !inserts.is_empty() {
        access.check_insert()?;
    }
    let mut rows = Vec::new();
    for set in inserts {
        let names: Vec<_> = set.iter().map(|(name, _)| quote(name)).collect();
        let source = match names.len() {
            0 => "DEFAULT VALUES".to_owned(),
            n => format!(
                "({}) VALUES ({})",
                names.join(", "),
                vec!["?"; n].join(", ")
            ),
        };
        let sql = format!(
            "INSERT INTO {} {source}{} RETURNING {}",
            quote(&access.table.name),
            on_conflict(access, query, prefer, &names)?,
            returning.sql(),
        );
        rows.extend(run(transaction, access, &returning, &sql, set, Vec::new())?);
    }
    if prefer.merge_duplicates() {
        check_affected_once(transaction)?;
    }
    Ok(returning.sorted(rows))
}

/// Refuses an upsert that inserts or updates a row and then updates it again. PostgreSQL refuses
/// it, too, since an upsert is one statement there. The triggers have recorded such a row twice:
/// the old row of the second change is the new row of the first.
fn check_affected_once(transaction: &Transaction<'_>) -> Result<(), RestError> {
    let again: bool = transaction.query_row(
        "SELECT EXISTS (SELECT 1 FROM row_change AS first JOIN row_change AS second \
         ON second.old_record = first.record AND second.rowid > first.rowid)",
        [],
        |row| row.get(0),
    )?;
    if !again {
        return Ok(());
    }
    let message = "ON CONFLICT DO UPDATE command cannot affect row a second time";
    Err(RestError::new(500, "21000", message).hint(
        "Ensure that no rows proposed for insertion within the same command have duplicate \
         constrained values.",
    ))
}

/// The `ON CONFLICT` clause of `Prefer: resolution=…`, on the columns of `on_conflict` or else on
/// the primary key.
fn on_conflict(
    access: &Access,
    query: &Query,
    prefer: &Prefer,
    names: &[String],
) -> Result<String, RestError> {
    let target = query
        .on_conflict
        .as_ref()
        .unwrap_or(&access.table.primary_key);
    let resolved = prefer.merge_duplicates() || prefer.ignore_duplicates();
    if target.is_empty() || names.is_empty() || !resolved {
        return Ok(String::new());
    }
    let mut columns = Vec::new();
    for name in target {
        columns.push(quote(&access.readable(name)?.name));
    }
    let columns = columns.join(", ");
    if prefer.ignore_duplicates() {
        return Ok(format!(" ON CONFLICT ({columns}) DO NOTHING"));
    }
    let updated_at = quote(UPDATED_AT);
    let set = names
        .iter()
        .filter(|name| **name != updated_at)
        .map(|name| format!("{name} = excluded.{name}"));
    Ok(format!(
        " ON CONFLICT ({columns}) DO UPDATE SET {}",
        with_updated_at(access, set)
    ))
}

fn update(
    transaction: &Transaction<'_>,
    access: &Access,
    query: &Query,
    prefer: &Prefer,
    records: &[Record],
) -> Result<Vec<String>, RestError> {
    let returning = Returning::new(access, query, prefer)?;
    let Some(record) = records.first() else {
        return Ok(Vec::new());
    };
    let mut set = assignments(access, query, prefer, record)?;
    let (clause, values) = conditions(access, access.changeable(), &query.filters)?;
    if set.is_empty() {
        return Ok(Vec::new());
    }
    require_filter(query, "UPDATE")?;
    set.retain(|(name, _)| *name != UPDATED_AT);
    let names: Vec<_> = set.iter().map(|(name, _)| quote(name)).collect();
    let assign = with_updated_at(access, names.iter().map(|name| format!("{name} = ?")));
    let sql = format!(
        "UPDATE {} SET {assign}{clause} RETURNING {}",
        quote(&access.table.name),
        returning.sql(),
    );
    let rows = run(transaction, access, &returning, &sql, set, values)?;
    Ok(returning.sorted(rows))
}

/// Every update sets this column to the time of its transaction and ignores the request's value,
/// like the `moddatetime` trigger of many Supabase projects.
const UPDATED_AT: &str = "updated_at";

fn with_updated_at(access: &Access, assignments: impl Iterator<Item = String>) -> String {
    let updated_at = access
        .table
        .column(UPDATED_AT)
        .map(|_| format!("{UPDATED_AT} = now()"));
    assignments.chain(updated_at).collect::<Vec<_>>().join(", ")
}

fn delete(
    transaction: &Transaction<'_>,
    access: &Access,
    query: &Query,
    prefer: &Prefer,
) -> Result<Vec<String>, RestError> {
    let returning = Returning::new(access, query, prefer)?;
    let (clause, values) = conditions(access, access.changeable(), &query.filters)?;
    require_filter(query, "DELETE")?;
    let sql = format!(
        "DELETE FROM {}{clause} RETURNING {}",
        quote(&access.table.name),
        returning.sql(),
    );
    let rows = run(transaction, access, &returning, &sql, Vec::new(), values)?;
    Ok(returning.sorted(rows))
}

/// Refuses a change without a filter, like PostgreSQL's `safeupdate`, which Supabase loads.
fn require_filter(query: &Query, statement: &str) -> Result<(), RestError> {
    if query.filters.is_empty() {
        let message = format!("{statement} requires a WHERE clause");
        return Err(RestError::new(400, "21000", message));
    }
    Ok(())
}

/// Runs a statement. Its parameters are the values that it sets, then `others`.
fn run(
    transaction: &Transaction<'_>,
    access: &Access,
    returning: &Returning<'_>,
    sql: &str,
    set: Vec<(&str, Sql)>,
    others: Vec<Sql>,
) -> Result<Vec<Changed>, RestError> {
    let values = set
        .iter()
        .map(|(_, value)| value.clone())
        .chain(others)
        .collect();
    returning
        .rows(transaction, sql, values)
        .map_err(|error| constraint::refusal(error, &access.table, &set))
}

/// 201, or 200 for an upsert that only updated. The triggers have recorded the operations.
fn created(transaction: &Transaction<'_>, prefer: &Prefer) -> Result<u16, RestError> {
    let inserted: bool = transaction.query_row(
        "SELECT EXISTS (SELECT 1 FROM row_change WHERE operation = 'INSERT')",
        [],
        |row| row.get(0),
    )?;
    Ok(if prefer.merge_duplicates() && !inserted {
        200
    } else {
        201
    })
}
