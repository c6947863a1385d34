//! How the application of a scenario is started.

use std::path::{Path, PathBuf};

use crate::environment::manifest;
use crate::manifest::{Manifest, Trigger, Wasi};

/// The secret of `POST /refresh`.
pub const REFRESH_SECRET: &str = "the-secret-of-the-worker";

/// The differences from a plain application in front of the 25 sample articles.
pub struct Setup {
    pub(crate) supabase: afterword_supabase::Options,
    pub(crate) variables: Vec<(String, String)>,
    pub(crate) worker: bool,
    pub(crate) dials: bool,
    pub(crate) measure: bool,
    pub(crate) webhook: bool,
    pub(crate) redis_args: Vec<String>,
    pub(crate) redis_user: Option<&'static str>,
    pub(crate) shared_store: bool,
    pub(crate) store_url: Option<String>,
    pub(crate) authorities: Option<PathBuf>,
    pub(crate) manifest: Manifest,
    pub(crate) one_process: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            supabase: afterword_supabase::Options::default(),
            variables: Vec::new(),
            worker: true,
            dials: false,
            measure: false,
            webhook: true,
            redis_args: Vec::new(),
            redis_user: None,
            shared_store: false,
            store_url: None,
            authorities: None,
            manifest: manifest(),
            one_process: false,
        }
    }
}

impl Setup {
    /// Sets an application variable.
    pub fn variable(mut self, name: &str, value: impl Into<String>) -> Self {
        self.variables.push((name.to_owned(), value.into()));
        self
    }

    /// The maximum number of rows in a response of the origin.
    pub fn row_cap(mut self, rows: u64) -> Self {
        self.supabase.row_cap = rows;
        self
    }

    /// Starts with an empty table.
    pub fn no_articles(mut self) -> Self {
        self.supabase.sample = false;
        self
    }

    /// Starts no worker; `Afterword::start_worker` does later.
    pub fn no_worker(mut self) -> Self {
        self.worker = false;
        self
    }

    /// The origin sends no webhooks.
    pub fn no_webhooks(mut self) -> Self {
        self.webhook = false;
        self
    }

    /// Starts `spin.http.toml` in one process, whose components call each other by service
    /// chaining. No scheduler calls it.
    pub fn http_manifest(mut self) -> Self {
        self.manifest.trigger = Trigger::Http;
        self.one_process = true;
        self.no_worker()
    }

    /// The components are those of this build, whichever one `cargo xtask test` chose.
    pub fn wasi(mut self, wasi: Wasi) -> Self {
        self.manifest.wasi = wasi;
        self
    }

    /// Both processes have fault dials. For scenarios that check `host_has_dials` first.
    pub fn dials(mut self) -> Self {
        self.dials = true;
        self
    }

    /// Both processes log what each instance has cost. For scenarios that check `host_measures`
    /// first.
    pub fn measure(mut self) -> Self {
        self.measure = true;
        self
    }

    /// The key-value store is in a separate Redis that replicas share, instead of a file.
    pub fn shared_store(mut self) -> Self {
        self.shared_store = true;
        self
    }

    /// The key-value store is in the Redis at this URL.
    pub fn store_url(mut self, url: String) -> Self {
        self.store_url = Some(url);
        self
    }

    /// The application trusts the certificate authorities in this PEM file, instead of the system's.
    pub fn authorities(mut self, file: &Path) -> Self {
        self.authorities = Some(file.to_owned());
        self
    }

    /// Starts Redis with further arguments, such as `["--notify-keyspace-events", "KEA"]`.
    pub fn redis_args(mut self, args: &[&str]) -> Self {
        self.redis_args
            .extend(args.iter().map(|&arg| arg.to_owned()));
        self
    }

    /// The application's Redis user may do everything except what `rights` take away, such as
    /// `["-config"]`. The scenario itself keeps all rights.
    pub fn redis_user(mut self, rights: &[&str]) -> Self {
        self.redis_user = Some("limited:secret");
        self.redis_args(&["--user", "limited", "on", ">secret", "~*", "&*", "+@all"])
            .redis_args(rights)
    }

    /// The application's Redis user is `name:password`, with these ACL rules alone.
    pub fn redis_acl(mut self, user: &'static str, rules: &[&str]) -> Self {
        self.redis_user = Some(user);
        let (name, password) = user.split_once(':').unwrap_or((user, ""));
        let password = format!(">{password}");
        self.redis_args(&["--user", name, "on", &password])
            .redis_args(rules)
    }
}

/// The columns that the anonymous role may read. Real PostgREST refuses `select=*` because of
/// another column; the stand-in leaves that column out.
const READABLE: &str = "select=id,slug,title,body,published,created_at,updated_at";

/// The query with named columns instead of `select=*`.
pub(crate) fn name_columns(query: &str) -> String {
    let others: Vec<&str> = query
        .trim_start_matches('?')
        .split('&')
        .filter(|part| !part.is_empty() && *part != "select=*")
        .collect();
    if others.iter().any(|part| part.starts_with("select=")) {
        return others.join("&");
    }
    std::iter::once(READABLE)
        .chain(others)
        .collect::<Vec<_>>()
        .join("&")
}

/// The variables, with named columns in the queries.
pub(crate) fn readable_columns(mut variables: Vec<(String, String)>) -> Vec<(String, String)> {
    for (name, default) in [("list_query", "order=id.asc"), ("item_query", "")] {
        if !variables.iter().any(|(other, _)| other == name) {
            variables.push((name.to_owned(), default.to_owned()));
        }
    }
    for (name, value) in &mut variables {
        if name.ends_with("_query") {
            *value = name_columns(value);
        }
    }
    variables
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn named_columns_replace_all_columns_only() {
        assert_eq!(name_columns(""), READABLE);
        assert_eq!(
            name_columns("?select=*&limit=2"),
            format!("{READABLE}&limit=2")
        );
        assert_eq!(name_columns("select=id&order=id"), "select=id&order=id");
    }
}
