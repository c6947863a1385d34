//! Real PostgREST instead of SQLite: the stand-in is then only the gateway in front of it, with the
//! request log, the dials and the webhooks. CI runs scenarios this way.

use std::process::Command;

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use http::{Method, request::Parts};
use reqwest::{Client, Url};
use serde_json::Value as Json;

use crate::{
    database::Change,
    gateway,
    options::{Keys, Upstream},
    policy::Role,
    response::Response,
    rest, sample,
};

/// The response headers that are passed on.
const HEADERS: [&str; 5] = [
    "content-type",
    "content-range",
    "location",
    "preference-applied",
    "retry-after",
];

impl Upstream {
    /// Replaces all rows of `articles` by the sample, or by nothing.
    pub(crate) fn reset(&self, sample: bool) -> anyhow::Result<()> {
        self.execute("truncate articles restart identity")?;
        if sample {
            self.replace_rows("articles", &sample::articles()?)?;
        }
        Ok(())
    }

    /// Runs SQL statements in one transaction.
    pub(crate) fn execute(&self, sql: &str) -> anyhow::Result<()> {
        let output = Command::new("psql")
            .args(["--quiet", "--no-psqlrc", "--single-transaction"])
            .args(["--set", "ON_ERROR_STOP=1", "--command", sql, &self.database])
            .output()
            .context("cannot run psql; install PostgreSQL's client")?;
        ensure!(
            output.status.success(),
            "psql failed: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }

    /// Replaces all rows of a table.
    pub(crate) fn replace_rows(&self, table: &str, rows: &[Json]) -> anyhow::Result<()> {
        let rows = serde_json::to_string(rows)?.replace('\'', "''");
        self.execute(&format!(
            "truncate {table} restart identity; \
             insert into {table} select * from jsonb_populate_recordset(null::{table}, '{rows}')"
        ))
    }

    /// Responds to a request like a project's gateway. Also returns the changed rows, for webhooks.
    pub(crate) async fn respond(
        &self,
        client: &Client,
        keys: &Keys,
        request: &Parts,
        body: Bytes,
    ) -> anyhow::Result<(Response, Vec<Change>)> {
        let query = request.uri.query().unwrap_or_default();
        let role = match gateway::role(&request.headers, query, keys) {
            Ok(role) => role,
            Err(refused) => return Ok((refused, Vec::new())),
        };
        let token = match role {
            Role::Anon => &keys.anon,
            Role::Service => &keys.service,
        };
        let path = request.uri.path();
        let path = path.strip_prefix(rest::PREFIX).unwrap_or_default();
        let mut url: Url = format!("{}/{path}", self.postgrest).parse()?;
        url.set_query(request.uri.query());
        let write = matches!(
            request.method,
            Method::POST | Method::PATCH | Method::DELETE
        );
        let old = if request.method == Method::PATCH || request.method == Method::DELETE {
            let old = client
                .get(url.clone())
                .header("apikey", &keys.service)
                .bearer_auth(&keys.service);
            rows(&old.send().await?.bytes().await?)
        } else {
            Vec::new()
        };
        let mut forwarded = client
            .request(request.method.clone(), url)
            .bearer_auth(token)
            .body(body);
        for (name, value) in &request.headers {
            let skipped = ["authorization", "host", "content-length", "prefer"];
            if !skipped.contains(&name.as_str()) || name == "prefer" && !write {
                forwarded = forwarded.header(name, value);
            }
        }
        if write {
            forwarded = forwarded.header("prefer", "return=representation");
        }
        let response = forwarded.send().await?;
        let status = response.status();
        let headers = response.headers().clone();
        let content = response.bytes().await?;
        let changes = if write && status.is_success() {
            changes(&request.method, path, old, rows(&content))?
        } else {
            Vec::new()
        };
        let headers = HEADERS.into_iter().filter_map(|name| {
            let value = headers.get(name)?.to_str().ok()?;
            Some((name, value.to_owned()))
        });
        let response = Response {
            status: status.as_u16(),
            headers: headers.collect(),
            body: content,
        };
        Ok((response, changes))
    }
}

fn rows(content: &[u8]) -> Vec<Json> {
    serde_json::from_slice(content).unwrap_or_default()
}

/// The changes of a write. An updated row is found by its id, or by its position if the id changed.
fn changes(
    method: &Method,
    table: &str,
    old: Vec<Json>,
    new: Vec<Json>,
) -> anyhow::Result<Vec<Change>> {
    let change = |operation: &str, record, old_record| Change {
        operation: operation.to_owned(),
        table: table.to_owned(),
        record,
        old_record,
    };
    Ok(match *method {
        Method::POST => new
            .into_iter()
            .map(|row| change("INSERT", Some(row), None))
            .collect(),
        Method::DELETE => old
            .into_iter()
            .map(|row| change("DELETE", None, Some(row)))
            .collect(),
        Method::PATCH => {
            ensure!(
                old.len() == new.len(),
                "{} rows were updated, but {} were found before",
                new.len(),
                old.len()
            );
            let update = |(at, row): (usize, Json)| {
                let same_id = old.iter().find(|old| old["id"] == row["id"]);
                let old = same_id.unwrap_or(&old[at]).clone();
                change("UPDATE", Some(row), Some(old))
            };
            new.into_iter().enumerate().map(update).collect()
        }
        _ => bail!("{method} is no write"),
    })
}
