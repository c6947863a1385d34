//! The stand-in's options.

use std::{net::SocketAddr, path::PathBuf};

/// The options. `Options::default()` listens on a free port of 127.0.0.1, keeps the rows in memory
/// and loads the sample articles.
#[derive(Clone)]
pub struct Options {
    /// The address to bind. Port 0 is any free port.
    pub listen: SocketAddr,
    /// The SQLite file of the rows, created if missing. `None` keeps them in memory.
    pub database: Option<PathBuf>,
    /// The maximum number of rows in a response, Supabase's *Max rows*. Further rows are cut off
    /// silently.
    pub row_cap: u64,
    /// Whether to load 25 sample articles into an empty table.
    pub sample: bool,
    /// Whether the anonymous role's `select=*` fails (42501) because of an unreadable column, as
    /// with real PostgREST, instead of leaving the column out.
    pub strict_columns: bool,
    /// Whether to log each request and webhook to standard error.
    pub verbose: bool,
    /// The accepted keys.
    pub keys: Keys,
    /// The target of changes of `articles`.
    pub webhook: Option<Webhook>,
    /// A real PostgREST that has the rows, instead of SQLite. `database`, `row_cap` and
    /// `strict_columns` have no effect then.
    pub upstream: Option<Upstream>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            database: None,
            row_cap: 1_000,
            sample: true,
            strict_columns: false,
            verbose: false,
            keys: Keys::default(),
            webhook: None,
            upstream: None,
        }
    }
}

/// A project's API keys.
///
/// The default JWTs are those of every `supabase start`, signed (HS256) with the public development
/// secret. The `sb_…` keys are invented. None of them opens anything but a development server.
#[derive(Clone)]
pub struct Keys {
    /// The JWT of role `anon`.
    pub anon: String,
    /// The anonymous key in its newer form, `sb_publishable_…`, which is no JWT.
    pub publishable: String,
    /// The JWT of role `service_role`.
    pub service: String,
    /// The service key in its newer form, `sb_secret_…`, which is no JWT.
    pub secret: String,
}

impl Default for Keys {
    fn default() -> Self {
        // Payload: {"iss":"supabase-demo","role":"anon"|"service_role","exp":1983812996}.
        const HEADER: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9";
        const ANON: &str = "\
            eyJpc3MiOiJzdXBhYmFzZS1kZW1vIiwicm9sZSI6ImFub24iLCJleHAiOjE5ODM4MTI5OTZ9\
            .CRXP1A7WOeoJeXxjNni43kdQwgnWNReilDMblYTn_I0";
        const SERVICE: &str = "\
            eyJpc3MiOiJzdXBhYmFzZS1kZW1vIiwicm9sZSI6InNlcnZpY2Vfcm9sZSIsImV4cCI6MTk4MzgxMjk5Nn0\
            .EGIM96RAZx35lJzdJsyH-qQwv8Hdp7fsn3W0YpN81IU";
        Self {
            anon: format!("{HEADER}.{ANON}"),
            publishable: "sb_publishable_afterword-development".to_owned(),
            service: format!("{HEADER}.{SERVICE}"),
            secret: "sb_secret_afterword-development".to_owned(),
        }
    }
}

/// A real PostgREST and its database, which has the table `articles`.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// The base URL of PostgREST, without a trailing slash.
    pub postgrest: String,
    /// The URL of the database for `psql`, as a superuser.
    pub database: String,
}

/// A database webhook, as configured in Supabase's dashboard.
#[derive(Clone)]
pub struct Webhook {
    /// The URL to post to, `http://…`.
    pub url: String,
    /// Names and values of headers in addition to pg_net's own.
    pub headers: Vec<(String, String)>,
}

impl Webhook {
    /// A webhook with `Authorization: Bearer <secret>`.
    pub fn bearer(url: impl Into<String>, secret: &str) -> Self {
        Self {
            url: url.into(),
            headers: vec![("Authorization".to_owned(), format!("Bearer {secret}"))],
        }
    }
}
