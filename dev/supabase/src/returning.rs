//! The rows that a change returns.

use std::cmp::Ordering;

use rusqlite::{Connection, params_from_iter, types::Value as Sql};

use crate::{
    error::RestError,
    policy::Access,
    prefer::Prefer,
    query::{Order, Query},
    read::Selection,
    schema::{Column, quote},
};

/// The `RETURNING` of a statement: for a representation the selection and the columns of `order`,
/// or else an empty row for each changed row.
///
/// PostgREST can only order by returned columns: the selection and the primary key. Here, `order`
/// may name any column of the table.
pub(crate) struct Returning<'a> {
    selection: Selection<'a>,
    order: Vec<(&'a Column, &'a Order)>,
}

/// A changed row: its text, and its values in the columns of `order`.
pub(crate) struct Changed {
    text: String,
    keys: Vec<Sql>,
}

impl<'a> Returning<'a> {
    pub fn new(access: &'a Access, query: &'a Query, prefer: &Prefer) -> Result<Self, RestError> {
        let mut returning = Self {
            selection: Selection::default(),
            order: Vec::new(),
        };
        if prefer.representation() {
            returning.selection = Selection::new(access, query)?;
            for order in &query.order {
                let column = access.readable(&order.column)?;
                returning.order.push((column, order));
            }
        }
        Ok(returning)
    }

    /// The list for `RETURNING`: the selection, then the columns of `order`.
    pub fn sql(&self) -> String {
        let mut sql = self.selection.sql();
        for (column, _) in &self.order {
            sql += ", ";
            sql += &quote(&column.name);
        }
        sql
    }

    /// Runs a statement with this `RETURNING`.
    pub fn rows(
        &self,
        connection: &Connection,
        sql: &str,
        values: Vec<Sql>,
    ) -> rusqlite::Result<Vec<Changed>> {
        let mut statement = connection.prepare_cached(sql)?;
        let first_key = statement.column_count() - self.order.len();
        statement
            .query_map(params_from_iter(values), |row| {
                Ok(Changed {
                    text: self.selection.row(row)?,
                    keys: (first_key..first_key + self.order.len())
                        .map(|i| row.get(i))
                        .collect::<rusqlite::Result<_>>()?,
                })
            })?
            .collect()
    }

    /// The texts of the rows in the requested order, or else in the order of the changes.
    pub fn sorted(&self, mut rows: Vec<Changed>) -> Vec<String> {
        rows.sort_by(|a, b| {
            let terms = self.order.iter().zip(a.keys.iter().zip(&b.keys));
            terms
                .map(|((_, order), (a, b))| compare(a, b, order))
                .find(|ordering| ordering.is_ne())
                .unwrap_or(Ordering::Equal)
        });
        rows.into_iter().map(|row| row.text).collect()
    }
}

/// Compares two values of a column like SQLite's `ORDER BY`.
fn compare(a: &Sql, b: &Sql, order: &Order) -> Ordering {
    match (a == &Sql::Null, b == &Sql::Null) {
        (false, false) if order.descending => values(b, a),
        (false, false) => values(a, b),
        (a, b) if order.nulls_first => b.cmp(&a),
        (a, b) => a.cmp(&b),
    }
}

fn values(a: &Sql, b: &Sql) -> Ordering {
    match (a, b) {
        (Sql::Integer(a), Sql::Integer(b)) => a.cmp(b),
        (Sql::Text(a), Sql::Text(b)) => a.cmp(b),
        (Sql::Text(_), _) => Ordering::Greater,
        (_, Sql::Text(_)) => Ordering::Less,
        // A column of type `numeric` holds both kinds of numbers.
        (a, b) => number(a).total_cmp(&number(b)),
    }
}

fn number(value: &Sql) -> f64 {
    match value {
        Sql::Integer(n) => *n as f64,
        Sql::Real(x) => *x,
        _ => f64::INFINITY,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(values: &[Sql], order: &str) -> Vec<Sql> {
        let query = Query::parse(&format!("order={order}")).unwrap();
        let mut values = values.to_vec();
        values.sort_by(|a, b| compare(a, b, &query.order[0]));
        values
    }

    #[test]
    fn values_are_sorted_like_in_a_read() {
        let (one, two, three) = (Sql::Integer(1), Sql::Real(2.5), Sql::Integer(3));
        let numbers = [two.clone(), Sql::Null, three.clone(), one.clone()];
        assert_eq!(
            sorted(&numbers, "n"),
            [one.clone(), two.clone(), three.clone(), Sql::Null]
        );
        assert_eq!(
            sorted(&numbers, "n.desc"),
            [Sql::Null, three.clone(), two.clone(), one.clone()]
        );
        assert_eq!(
            sorted(&numbers, "n.nullsfirst"),
            [Sql::Null, one.clone(), two.clone(), three.clone()]
        );
        assert_eq!(
            sorted(&numbers, "n.desc.nullslast"),
            [three, two, one, Sql::Null]
        );
        let texts = ["b", "ä", "B", "10", "9"].map(|text| Sql::Text(text.to_owned()));
        assert_eq!(
            sorted(&texts, "n"),
            ["10", "9", "B", "b", "ä"].map(|text| Sql::Text(text.to_owned()))
        );
    }
}
