//! How the stand-in is set up.

use std::{net::SocketAddr, path::PathBuf};

/// Where to listen, what to hold and how to answer. `Options::default()` listens on a free port of 127.0.0.1, keeps its
/// rows in memory and loads the sample articles.
#[derive(Clone)]
pub struct Options {
    /// The address to bind; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The SQLite file that holds the rows, made if it is not there; `None` keeps them in memory.
    pub database: Option<PathBuf>,
    /// The most rows that one answer holds, Supabase's *Max rows*: what is over it is cut without a word.
    pub row_cap: u64,
    /// Whether twenty-five sample articles are loaded when the table is empty.
    pub sample: bool,
    /// Whether `select=*` by the anonymous role fails (42501) over a column that it may not read, as it does with real
    /// PostgREST, instead of leaving the column out.
    pub strict_columns: bool,
    /// Whether each request and each webhook is told in one line on standard error.
    pub verbose: bool,
    /// The keys that are accepted.
    pub keys: Keys,
    /// Where changes of `articles` are sent.
    pub webhook: Option<Webhook>,
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
        }
    }
}

/// A project's API keys. The default JWTs are the ones that every `supabase start` answers to, signed (HS256) with the
/// public development secret; the `sb_…` keys are made up. None of them opens anything but a development server.
#[derive(Clone)]
pub struct Keys {
    /// The JWT of role `anon`.
    pub anon: String,
    /// The newer form of the anonymous key, `sb_publishable_…`, which is not a JWT.
    pub publishable: String,
    /// The JWT of role `service_role`.
    pub service: String,
    /// The newer form of the service key, `sb_secret_…`, which is not a JWT.
    pub secret: String,
}

impl Default for Keys {
    fn default() -> Self {
        // The payloads say {"iss":"supabase-demo","role":"anon"|"service_role","exp":1983812996}.
        const HEADER: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9";
        const ANON: &str = "eyJpc3MiOiJzdXBhYmFzZS1kZW1vIiwicm9sZSI6ImFub24iLCJleHAiOjE5ODM4MTI5OTZ9.CRXP1A7WOeoJeXxjNni43kdQwgnWNReilDMblYTn_I0";
        const SERVICE: &str = "eyJpc3MiOiJzdXBhYmFzZS1kZW1vIiwicm9sZSI6InNlcnZpY2Vfcm9sZSIsImV4cCI6MTk4MzgxMjk5Nn0.EGIM96RAZx35lJzdJsyH-qQwv8Hdp7fsn3W0YpN81IU";
        Self {
            anon: format!("{HEADER}.{ANON}"),
            publishable: "sb_publishable_afterword-development".to_owned(),
            service: format!("{HEADER}.{SERVICE}"),
            secret: "sb_secret_afterword-development".to_owned(),
        }
    }
}

/// A database webhook: where it goes and with which headers, as set in Supabase's dashboard.
#[derive(Clone)]
pub struct Webhook {
    /// The address to post to, `http://…`.
    pub url: String,
    /// Headers beside pg_net's own, as name and value.
    pub headers: Vec<(String, String)>,
}

impl Webhook {
    /// A webhook that sends `Authorization: Bearer <secret>`.
    pub fn bearer(url: impl Into<String>, secret: &str) -> Self {
        Self {
            url: url.into(),
            headers: vec![("Authorization".to_owned(), format!("Bearer {secret}"))],
        }
    }
}
