//! `GET` and `HEAD` of a table, and the text of rows.

use http::{HeaderMap, Method};
use rusqlite::{Connection, Row, params_from_iter, types::Value as Sql};
use serde_json::Value as Json;

use crate::{
    error::RestError,
    filter::conditions,
    media::Media,
    policy::Access,
    prefer::Prefer,
    query::{Query, Select},
    range::Window,
    response::Response,
    schema::{Column, quote},
};

/// Responds to a read with at most `row_cap` rows.
pub(crate) fn read(
    connection: &Connection,
    access: &Access,
    method: &Method,
    headers: &HeaderMap,
    query: &Query,
    row_cap: u64,
) -> Result<Response, RestError> {
    let media = Media::accepted(headers)?;
    let prefer = Prefer::new(headers)?;
    let window = Window::new(method, headers, query)?;
    let selection = Selection::new(access, query)?;
    let (clause, mut values) = conditions(access, access.visible(), &query.filters)?;
    let table = quote(&access.table.name);

    let total = if prefer.count() {
        let sql = format!("SELECT count(*) FROM {table}{clause}");
        let count = |row: &Row<'_>| row.get::<_, i64>(0);
        let total = connection.query_row(&sql, params_from_iter(&values), count)?;
        Some(total.cast_unsigned())
    } else {
        None
    };
    let limit = window.limit.map_or(row_cap, |limit| limit.min(row_cap));
    values.extend([limit, window.offset].map(|n| Sql::Integer(n.cast_signed())));
    let sql = format!(
        "SELECT {} FROM {table}{clause}{} LIMIT ? OFFSET ?",
        selection.sql(),
        order_by(access, query)?,
    );
    let rows = selection.rows(connection, &sql, values)?;

    let (status, content_range) = window.describe(rows.len() as u64, total);
    let body = media.body(&rows)?;
    let mut response = match total {
        Some(total) if status == 416 => window.out_of_bounds(total).response(),
        _ => Response::new(status, media.content_type(), body),
    };
    response = response.header("content-range", content_range);
    if let Some(applied) = prefer.applied(method.as_str()) {
        response = response.header("preference-applied", applied);
    }
    if method == Method::HEAD {
        response.body.clear();
    }
    Ok(response)
}

/// The requested order, or else the primary key's. SQLite's default order depends on the index.
fn order_by(access: &Access, query: &Query) -> Result<String, RestError> {
    let mut terms = Vec::new();
    for order in &query.order {
        let column = quote(&access.readable(&order.column)?.name);
        let direction = if order.descending { "DESC" } else { "ASC" };
        let nulls = if order.nulls_first { "FIRST" } else { "LAST" };
        terms.push(format!("{column} {direction} NULLS {nulls}"));
    }
    if query.order.is_empty() {
        terms.extend(access.table.primary_key.iter().map(|key| quote(key)));
    }
    Ok(if terms.is_empty() {
        String::new()
    } else {
        format!(" ORDER BY {}", terms.join(", "))
    })
}

/// The selected columns, each with its key in the response.
#[derive(Default)]
pub(crate) struct Selection<'a>(Vec<(&'a Column, &'a str)>);

impl<'a> Selection<'a> {
    pub fn new(access: &'a Access, query: &'a Query) -> Result<Self, RestError> {
        let mut columns = Vec::new();
        for item in &query.select {
            match item {
                Select::Star => {
                    columns.extend(access.star()?.into_iter().map(|c| (c, c.name.as_str())));
                }
                Select::Column { name, alias } => {
                    let column = access.readable(name)?;
                    columns.push((column, alias.as_deref().unwrap_or(&column.name)));
                }
            }
        }
        Ok(Self(columns))
    }

    /// The list for `SELECT` or `RETURNING`. An empty selection is a constant.
    pub fn sql(&self) -> String {
        if self.0.is_empty() {
            return "1".to_owned();
        }
        let columns: Vec<_> = self
            .0
            .iter()
            .map(|(column, _)| quote(&column.name))
            .collect();
        columns.join(", ")
    }

    /// Runs a statement that returns this selection. Each row becomes a JSON object.
    pub fn rows(
        &self,
        connection: &Connection,
        sql: &str,
        values: Vec<Sql>,
    ) -> Result<Vec<String>, rusqlite::Error> {
        connection
            .prepare_cached(sql)?
            .query_map(params_from_iter(values), |row| self.row(row))?
            .collect()
    }

    /// The text of PostgreSQL's `row_to_json`: no spaces, keys in the order of the selection.
    pub fn row(&self, row: &Row<'_>) -> rusqlite::Result<String> {
        let mut text = String::from("{");
        for (i, (column, key)) in self.0.iter().enumerate() {
            let separator = if i == 0 { "" } else { "," };
            let value = column.kind.write_json(row.get_ref(i)?);
            text += &format!("{separator}{}:{value}", Json::from(*key));
        }
        text.push('}');
        Ok(text)
    }
}
