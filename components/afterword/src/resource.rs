//! The resource that the application serves: one table, as a list and as items.
//!
//! This file is the only place that knows the path. A resource is a value, so that an application
//! can serve several of them later.

use crate::postgrest::list_query::ListQuery;

/// The path of the list. Items have the path `{PATH}/{id}`.
pub const PATH: &str = "/articles";

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
