//! `/rest/v1`: responds to requests.

use http::{Method, request::Parts};
use rusqlite::Connection;
use serde_json::Value as Json;

use crate::{
    database::{Change, Database},
    error::RestError,
    gateway,
    options::Keys,
    payload,
    policy::{Access, Role},
    prefer::Prefer,
    profile,
    query::Query,
    read::read,
    response::Response,
    schema::{Table, quote},
    write,
};

/// The start of the paths.
pub(crate) const PREFIX: &str = "/rest/v1/";

/// The state behind `/rest/v1`.
pub(crate) struct Rest {
    pub database: Database,
    pub keys: Keys,
    pub row_cap: u64,
    pub strict_columns: bool,
}

impl Rest {
    /// Responds to a request. Also returns the changed rows.
    pub fn respond(&self, request: &Parts, body: &[u8]) -> (Response, Vec<Change>) {
        let query = request.uri.query().unwrap_or_default();
        let result = match gateway::role(&request.headers, query, &self.keys) {
            Err(refused) => return (refused, Vec::new()),
            Ok(role) => self.table(request, body, role),
        };
        result.unwrap_or_else(|error| (error.response(), Vec::new()))
    }

    fn table(
        &self,
        request: &Parts,
        body: &[u8],
        role: Role,
    ) -> Result<(Response, Vec<Change>), RestError> {
        let (method, headers) = (&request.method, &request.headers);
        profile::check(method, headers)?;
        let name = table_name(request.uri.path())?;
        let query = Query::parse(request.uri.query().unwrap_or_default())?;
        match *method {
            Method::GET | Method::HEAD => {
                let response = self.database.read(|connection| {
                    let access = self.access(connection, name, role)?;
                    read(connection, &access, method, headers, &query, self.row_cap)
                })?;
                Ok((response, Vec::new()))
            }
            Method::POST | Method::PATCH | Method::DELETE => self.database.write(|transaction| {
                let access = self.access(transaction, name, role)?;
                write::write(transaction, &access, method, headers, &query, body)
            }),
            _ => Err(RestError::new(
                405,
                "PGRST117",
                format!("Unsupported HTTP method: {method}"),
            )),
        }
    }

    /// Replaces all rows of a table by these JSON objects. Sends no webhooks.
    pub fn replace(&self, name: &str, rows: &[Json]) -> Result<(), RestError> {
        self.database.write(|transaction| {
            let access = self.access(transaction, name, Role::Service)?;
            transaction.execute(&format!("DELETE FROM {}", quote(&access.table.name)), [])?;
            let records = payload::records(rows.to_vec(), false)?;
            write::insert(
                transaction,
                &access,
                &Query::default(),
                &Prefer::default(),
                &records,
            )
        })?;
        Ok(())
    }

    fn access(&self, connection: &Connection, name: &str, role: Role) -> Result<Access, RestError> {
        let table = Table::load(connection, name)?.ok_or_else(|| {
            RestError::new(
                404,
                "PGRST205",
                format!("Could not find the table 'public.{name}' in the schema cache"),
            )
        })?;
        Ok(Access::new(table, role, self.strict_columns))
    }
}

fn table_name(path: &str) -> Result<&str, RestError> {
    let path = path.strip_prefix(PREFIX).unwrap_or_default();
    match path.split_once('/') {
        None if path.is_empty() => {
            Err(
                RestError::new(404, "PGRST126", "Root endpoint metadata is disabled")
                    .hint("Ask for a table, such as /rest/v1/articles."),
            )
        }
        None => Ok(path),
        Some((table, "")) => Ok(table),
        Some(("rpc", function)) => Err(RestError::new(
            404,
            "PGRST202",
            format!("Could not find the function public.{function} in the schema cache"),
        )),
        Some(_) => Err(RestError::new(
            404,
            "PGRST125",
            "Invalid path specified in request URL",
        )),
    }
}
