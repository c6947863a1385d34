//! The resource that the application serves: one table, as a list and as items.
//!
//! Its path is [`PATH`](crate::key::PATH). A resource is a value, read in one place, so that an
//! application can serve several of them later.

use crate::postgrest::list_query::ListQuery;

/// The cached table (variables `schema`, `table` and `id_column`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// The column that holds the id of `/articles/{id}`.
    pub id_column: String,
}

/// The cached table and the queries that read it.
#[derive(Clone, Debug)]
pub struct Resource {
    /// The table.
    pub table: Table,
    /// PostgREST parameters of an item, such as `select=*`. They must select the id column.
    pub item_query: String,
    /// PostgREST parameters of the list.
    pub list_query: ListQuery,
}
