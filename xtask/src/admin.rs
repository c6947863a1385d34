//! `cargo xtask status` and `cargo xtask refresh`: the status page in a terminal.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use ::status::page::{amounts, headline};
use ::status::snapshot::{BreakerState, Event, EventState, Part, QueuedKey, Snapshot, State};
use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::up::Running;
use crate::workspace;

/// The variable of the environment with the admin token.
const TOKEN: &str = "AFTERWORD_ADMIN_TOKEN";

/// The time limit of a request.
const LIMIT: Duration = Duration::from_secs(10);

/// The time between two looks at an event.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// The number of events that `status` shows.
const MAX_EVENTS: usize = 15;

/// Which application.
#[derive(Args)]
pub struct Target {
    /// The application's base URL [default: that of the running `cargo xtask up`]
    ///
    /// Set its admin token in AFTERWORD_ADMIN_TOKEN.
    #[arg(long, env = "AFTERWORD_URL")]
    url: Option<String>,

    /// The state folder of the running `cargo xtask up` [default: .spin]
    #[arg(long, conflicts_with = "url")]
    state_dir: Option<PathBuf>,
}

/// The flags of `status`.
#[derive(Args)]
#[command(after_help = "Examples:
  cargo xtask status
  cargo xtask status 17                 what became of the webhook that got \"id\": 17
  AFTERWORD_ADMIN_TOKEN=… cargo xtask status --url https://articles.example.com")]
pub struct StatusFlags {
    /// The id of an acknowledgement
    event: Option<u64>,

    #[command(flatten)]
    target: Target,
}

/// The flags of `refresh`.
#[derive(Args)]
#[command(after_help = "Examples:
  cargo xtask refresh /articles/7       fetches the row, and waits until the cache has it
  cargo xtask refresh                   compares every entry with the table")]
pub struct RefreshFlags {
    /// The path of an article, or of the list [default: everything]
    key: Option<String>,

    #[command(flatten)]
    target: Target,
}

/// Prints the state of an application, or what became of an event.
///
/// # Errors
///
/// When the application does not respond, or refuses the token.
pub fn status(flags: StatusFlags) -> Result<ExitCode> {
    let api = Api::of(flags.target)?;
    let text = match flags.event {
        Some(id) => {
            let event: Event = api.get(&format!("/status/events/{id}"))?;
            let mut text = sentence(&event);
            text.push('\n');
            text
        }
        None => state(&api.get("/status")?, &api.url),
    };
    print!("{text}");
    Ok(ExitCode::SUCCESS)
}

/// Refreshes a key or everything, and waits until the cache is fresh. Fails if the refresh fails;
/// the worker goes on trying.
///
/// # Errors
///
/// As [`status()`].
pub fn refresh(flags: RefreshFlags) -> Result<ExitCode> {
    #[derive(Deserialize)]
    struct Queued {
        id: u64,
    }
    let api = Api::of(flags.target)?;
    let key = flags.key.unwrap_or_default();
    let Queued { id } = api.post("/status/refresh", &[("key", &key)])?;
    let mut last = None;
    loop {
        let event: Event = api.get(&format!("/status/events/{id}"))?;
        if last.replace(event.state) != Some(event.state) {
            println!("{}", sentence(&event));
        }
        match event.state {
            EventState::Fresh => return Ok(ExitCode::SUCCESS),
            EventState::Failing => return Ok(ExitCode::FAILURE),
            EventState::Queued | EventState::Fetching => std::thread::sleep(POLL_INTERVAL),
        }
    }
}

/// The API of an application's status page.
struct Api {
    agent: ureq::Agent,
    url: String,
    token: String,
}

impl Api {
    fn of(target: Target) -> Result<Self> {
        let token = std::env::var(TOKEN).ok().filter(|token| !token.is_empty());
        let (url, token) = match (target.url, token) {
            (Some(url), Some(token)) => (url.trim_end_matches('/').to_owned(), token),
            (Some(_), None) => bail!("set {TOKEN} to the application's `admin_token`"),
            (None, token) => {
                let dir = target.state_dir;
                let dir = dir.unwrap_or_else(|| workspace::root().join(".spin"));
                let running = Running::find(&dir)?;
                (running.url, token.unwrap_or(running.admin_token))
            }
        };
        ensure!(
            url.starts_with("http://") || url.starts_with("https://"),
            "--url must begin with http:// or https://"
        );
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(LIMIT));
        // A proxy of the environment is for other machines.
        let config = if url.starts_with("http://127.") {
            config.proxy(None)
        } else {
            config
        };
        let agent = config.build().into();
        Ok(Self { agent, url, token })
    }

    fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let request = self.agent.get(format!("{}{path}", self.url));
        let request = request.header("authorization", format!("Bearer {}", self.token));
        self.read(request.call())
    }

    fn post<T: DeserializeOwned>(&self, path: &str, form: &[(&str, &str)]) -> Result<T> {
        let request = self.agent.post(format!("{}{path}", self.url));
        let request = request.header("authorization", format!("Bearer {}", self.token));
        self.read(request.send_form(form.iter().copied()))
    }

    fn read<T: DeserializeOwned>(
        &self,
        response: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<T> {
        #[derive(Deserialize)]
        struct Problem {
            title: String,
            detail: String,
        }
        let mut response = response
            .with_context(|| format!("{} does not respond; is the application up?", self.url))?;
        let status = response.status();
        let body = response.body_mut().read_to_vec()?;
        if !status.is_success() {
            match serde_json::from_slice(&body) {
                Ok(Problem { title, detail }) => bail!("{title}: {detail}"),
                Err(_) => bail!("{} has status {status}; is it Afterword?", self.url),
            }
        }
        serde_json::from_slice(&body)
            .with_context(|| format!("{} sent no status; is it Afterword?", self.url))
    }
}

/// One line about an event.
fn sentence(event: &Event) -> String {
    let keys = keys(event);
    let id = event.id;
    match event.state {
        EventState::Queued => format!("{id}: {keys}: queued"),
        EventState::Fetching => format!("{id}: {keys}: being fetched"),
        EventState::Fresh => {
            let took = amounts::duration(event.fresh_ms.unwrap_or_default());
            format!("{id}: {keys}: fresh after {took}")
        }
        EventState::Failing => {
            let error = event.error.as_deref().unwrap_or_default();
            format!("{id}: {keys}: failing, and will be tried again: {error}")
        }
    }
}

fn keys(event: &Event) -> String {
    /// The maximum number of keys in a line.
    const MAX: usize = 3;
    let shown = &event.keys[..event.keys.len().min(MAX)];
    let rest = event.key_count.saturating_sub(shown.len() as u64);
    let more = if rest > 0 {
        format!(" and {rest} more")
    } else {
        String::new()
    };
    format!("{}{more}", shown.join(", "))
}

/// The whole state.
fn state(snapshot: &Snapshot, url: &str) -> String {
    let mut text = String::new();
    let now = snapshot.now;
    let headline = headline::of(snapshot);
    for sentence in [&headline.sentence].into_iter().chain(&headline.also) {
        let _ = writeln!(text, "{sentence}");
    }
    let _ = writeln!(text);
    let mut row = |name: &str, value: &str| {
        let _ = writeln!(text, "{name:<16} {value}");
    };
    let parts = &snapshot.parts;
    for (name, part) in [
        ("Redis", &parts.redis),
        ("store", &parts.store),
        ("Supabase", &parts.supabase),
        ("worker", &parts.worker),
        ("keyspace events", &parts.keyspace_events),
        ("outbox", &parts.outbox),
    ] {
        row(name, &part_line(part, now));
    }
    if let Some(breaker) = &snapshot.breaker {
        let state = match breaker.state {
            BreakerState::Closed => "closed",
            BreakerState::Open => "open",
            BreakerState::HalfOpen => "half-open",
        };
        row("circuit breaker", state);
    }
    if let Some(lag) = &snapshot.lag {
        row("lag", &amounts::duration(lag.now_ms));
    }
    if let Some(queue) = &snapshot.queue {
        let total = amounts::count(queue.total, "key", "keys");
        let value = format!(
            "{total}: {} due, {} claimed, {} waiting, {} backing off",
            queue.due, queue.claimed, queue.waiting, queue.backing_off
        );
        row("queue", if queue.total == 0 { "empty" } else { &value });
    }
    if let Some(found) = &snapshot.reconciliation {
        let value = format!(
            "{} of {}, compared {}: {} outdated, {} removed",
            amounts::count(found.entries, "entry", "entries"),
            amounts::bytes(found.bytes),
            amounts::age(found.at, now),
            found.outdated,
            found.evicted
        );
        row("cache", &value);
    }
    let queued = snapshot.queue.iter().flat_map(|queue| &queue.keys);
    let failing: Vec<&QueuedKey> = queued.filter(|key| key.error.is_some()).collect();
    if !failing.is_empty() {
        let _ = writeln!(text, "\nfailing keys");
    }
    for key in failing {
        let _ = writeln!(
            text,
            "  {}: {} in {}, next {}: {}",
            key.key,
            amounts::count(key.attempts, "attempt", "attempts"),
            amounts::rough_duration(key.queued_ms),
            amounts::wait(key.next_ms),
            key.error.as_deref().unwrap_or_default()
        );
    }
    if !snapshot.events.is_empty() {
        let _ = writeln!(text, "\nwebhooks and requests, newest first");
    }
    for event in snapshot.events.iter().take(MAX_EVENTS) {
        let received = amounts::age(event.received_at, now);
        let _ = writeln!(text, "  {received:>10}  {}", sentence(event));
    }
    let _ = writeln!(text, "\nMore: {url}/status");
    text
}

fn part_line(part: &Part, now: u64) -> String {
    let state = match part.state {
        State::Up => "up",
        State::Down => "down",
        State::Unknown => "unknown",
        State::Absent => "absent",
    };
    let since = part.since.map(|since| {
        let duration = amounts::rough_duration(now.saturating_sub(since));
        format!(" for {duration}")
    });
    format!("{state}{}. {}", since.unwrap_or_default(), part.detail)
}
