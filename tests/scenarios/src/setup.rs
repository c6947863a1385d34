//! How an application is to run for a scenario.

use std::path::PathBuf;
use std::sync::OnceLock;

use afterword_stack::{Host, Redis};

use crate::Afterword;

/// The webhook secret of every scenario.
pub const SECRET: &str = "the-scenarios-secret";

/// What differs from a plain application in front of the twenty-five sample articles.
pub struct Setup {
    pub(crate) supabase: afterword_supabase::Options,
    pub(crate) variables: Vec<(String, String)>,
    pub(crate) worker: bool,
    pub(crate) dials: bool,
    pub(crate) webhook: bool,
    pub(crate) redis_args: Vec<String>,
    pub(crate) redis_user: Option<&'static str>,
    pub(crate) shared_store: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            supabase: afterword_supabase::Options::default(),
            variables: Vec::new(),
            worker: true,
            dials: false,
            webhook: true,
            redis_args: Vec::new(),
            redis_user: None,
            shared_store: false,
        }
    }
}

impl Setup {
    /// Sets an application variable.
    pub fn variable(mut self, name: &str, value: impl Into<String>) -> Self {
        self.variables.push((name.to_owned(), value.into()));
        self
    }

    /// The most rows that the origin gives in an answer.
    pub fn row_cap(mut self, rows: u64) -> Self {
        self.supabase.row_cap = rows;
        self
    }

    /// An empty table.
    pub fn no_articles(mut self) -> Self {
        self.supabase.sample = false;
        self
    }

    /// Starts no worker; [`Afterword::start_worker`] does later.
    pub fn no_worker(mut self) -> Self {
        self.worker = false;
        self
    }

    /// The origin sends no webhooks.
    pub fn no_webhooks(mut self) -> Self {
        self.webhook = false;
        self
    }

    /// Both processes have fault dials. For scenarios that [`host_has_dials`] lets run.
    pub fn dials(mut self) -> Self {
        self.dials = true;
        self
    }

    /// The key-value store is in a Redis of its own, which replicas share, and not in a file.
    pub fn shared_store(mut self) -> Self {
        self.shared_store = true;
        self
    }

    /// Starts Redis with further arguments, such as `["--notify-keyspace-events", "KEA"]`.
    pub fn redis_args(mut self, args: &[&str]) -> Self {
        self.redis_args
            .extend(args.iter().map(|&arg| arg.to_owned()));
        self
    }

    /// The application's user at Redis, which may do everything but what `rights` take away, such as `["-config"]`. The scenario
    /// itself goes on as a user who may do everything.
    pub fn redis_user(mut self, rights: &[&str]) -> Self {
        self.redis_user = Some("limited:secret");
        self.redis_args(&["--user", "limited", "on", ">secret", "~*", "&*", "+@all"])
            .redis_args(rights)
    }

    /// The application's user at Redis, `name:password` with these ACL rules alone.
    pub fn redis_acl(mut self, user: &'static str, rules: &[&str]) -> Self {
        self.redis_user = Some(user);
        let (name, password) = user.split_once(':').unwrap_or((user, ""));
        let password = format!(">{password}");
        self.redis_args(&["--user", name, "on", &password])
            .redis_args(rules)
    }

    /// Starts it all; returns when requests are answered and the worker listens.
    ///
    /// # Panics
    /// When something does not start, with what it said.
    pub async fn start(self) -> Afterword {
        Afterword::start(self)
            .await
            .unwrap_or_else(|error| panic!("{error:#}"))
    }
}

/// The host that `cargo xtask test` chose.
pub(crate) fn host() -> Host {
    let program = |name| {
        PathBuf::from(
            std::env::var_os(name)
                .unwrap_or_else(|| panic!("{name} is not set; run `cargo xtask test`")),
        )
    };
    match std::env::var("AFTERWORD_TEST_HOST").as_deref() {
        Ok("spin") => Host::Spin(program("AFTERWORD_SPIN_PROGRAM")),
        _ => Host::Embedded(program("AFTERWORD_HOST_PROGRAM")),
    }
}

/// Whether the scenario's faults can be made: by the embedded host they can, while Spin has no dials. Says so where not.
pub fn host_has_dials() -> bool {
    let embedded = matches!(host(), Host::Embedded(_));
    if !embedded {
        eprintln!(
            "left out: this scenario turns the embedded host's fault dials, which Spin does not have"
        );
    }
    embedded
}

/// The Redis server's program.
///
/// # Panics
/// When there is none.
pub fn redis_program() -> PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM
        .get_or_init(|| Redis::find().expect("redis-server is on the PATH; run `cargo xtask test`"))
        .clone()
}
