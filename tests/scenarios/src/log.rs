//! The application's log: every line of every process is checked against docs/logs.md, and the
//! scenario fails if one is wrong.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use afterword_stack::{App, Process, eventually};
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value};

use crate::afterword::{Afterword, PATIENCE};
use crate::environment::host;
use crate::manifest;

const PAGE: &str = include_str!("../../../docs/logs.md");

/// The members of every line.
const IN_EVERY_LINE: [&str; 5] = ["time", "level", "component", "event", "message"];

/// What docs/logs.md says.
struct Documented {
    /// The JSON type of each member.
    members: BTreeMap<&'static str, &'static str>,
    components: Vec<&'static str>,
    /// The level of each event, and the components that log it.
    events: BTreeMap<&'static str, (&'static str, &'static str)>,
}

static DOCUMENTED: LazyLock<Documented> = LazyLock::new(|| {
    let members: Vec<_> = rows("Members").collect();
    let components = members.iter().find(|row| row[0] == "`component`");
    Documented {
        components: names(components.expect("the member is documented")[2]).collect(),
        members: members
            .iter()
            .flat_map(|row| names(row[0]).map(|name| (name, row[1])))
            .collect(),
        events: rows("Events")
            .flat_map(|row| names(row[0]).map(move |name| (name, (row[1], row[2]))))
            .collect(),
    }
});

/// The cells of each row of a section's table.
fn rows(section: &str) -> impl Iterator<Item = Vec<&'static str>> {
    let start = format!("\n## {section}\n");
    let (_, section) = PAGE.split_once(&start).expect("the section exists");
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect())
}

/// The names in backticks.
fn names(cell: &'static str) -> impl Iterator<Item = &'static str> {
    cell.split('`').skip(1).step_by(2)
}

/// What the processes of a scenario have printed.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Printed>>);

#[derive(Default)]
struct Printed {
    lines: Vec<String>,
    /// The lines that are not as documented, with the reasons.
    wrong: Vec<String>,
}

impl Log {
    /// Starts a process of the application, and checks what its components log.
    pub(crate) fn spawn(&self, name: &str, app: &App) -> Result<Process> {
        // A former version of the application may log in another way.
        let current = app.manifest.parent() == Some(&manifest::folder()?);
        let is_json = app
            .variables
            .get("log_format")
            .is_none_or(|it| it == "json");
        let log = self.clone();
        Process::spawn_with(name, host().command(app)?, move |_, line| {
            let checked = match current && is_json {
                true => parse(line).map(drop),
                false => Ok(()),
            };
            let mut printed = log.printed();
            printed.lines.push(line.to_owned());
            if let Err(why) = checked {
                printed.wrong.push(format!("{why:#}: {line}"));
            }
        })
    }

    fn printed(&self) -> MutexGuard<'_, Printed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asserts that the log is as documented.
    ///
    /// # Panics
    /// It is not.
    pub(crate) fn check(&self) {
        let wrong = &self.printed().wrong;
        assert!(wrong.is_empty(), "not as in docs/logs.md: {wrong:#?}");
    }
}

/// Parses a line of a component's log; `None` for a line of the host's own.
///
/// # Errors
/// The line is not as documented.
fn parse(line: &str) -> Result<Option<Map<String, Value>>> {
    let components = &DOCUMENTED.components;
    // The embedded host names the component. Spin does not.
    let named = line
        .split_once(": ")
        .filter(|(name, _)| components.contains(name));
    let text = match named {
        Some((_, text)) => text,
        None if line.starts_with('{') => line,
        None if line.contains("panicked at") => bail!("a component panicked"),
        None => return Ok(None),
    };
    let members: Map<String, Value> = serde_json::from_str(text)?;
    check(&members)?;
    if let Some((name, _)) = named {
        ensure!(members["component"] == *name, "`component`");
    }
    Ok(Some(members))
}

fn check(members: &Map<String, Value>) -> Result<()> {
    for name in IN_EVERY_LINE {
        ensure!(members.contains_key(name), "without `{name}`");
    }
    for (name, value) in members {
        let expected = DOCUMENTED.members.get(name.as_str());
        let expected = *expected.with_context(|| format!("`{name}` is not documented"))?;
        let found = match value {
            Value::String(_) => "string",
            Value::Number(number) if number.is_u64() => "number",
            Value::Array(_) => "array",
            _ => "of another type",
        };
        ensure!(found == expected, "`{name}` is {found}");
    }
    let text = |name: &str| members[name].as_str().unwrap_or_default();
    let time = text("time");
    ensure!(
        time.len() == "2026-09-01T14:03:43.123Z".len() && humantime::parse_rfc3339(time).is_ok(),
        "`time`"
    );
    let event = DOCUMENTED.events.get(text("event"));
    let (level, components) = *event.context("the event is not documented")?;
    ensure!(level == text("level"), "`level`");
    let component = text("component");
    ensure!(
        components == "all"
            || names(components).any(|name| name == component)
            || components == "worker" && component.starts_with("refresh"),
        "{component} does not log this event"
    );
    let several = members.contains_key("keys");
    ensure!(
        several == members.contains_key("key_count") && !(several && members.contains_key("key")),
        "`key`, `keys` or `key_count`"
    );
    Ok(())
}

/// A line as people read it: what a component logs without its quotation marks.
fn readable(line: &str) -> String {
    let Ok(Some(members)) = parse(line) else {
        return line.to_owned();
    };
    let text = |name: &str| members.get(name).and_then(Value::as_str);
    let mut readable = format!(
        "{}: {}",
        text("component").unwrap_or_default(),
        text("message").unwrap_or_default()
    );
    if let Some(error) = text("error") {
        readable = format!("{readable}: {error}");
    }
    readable
}

/// The log of a process, as people read it.
fn of(process: &Process) -> String {
    let lines = process.output();
    lines.lines().map(|line| readable(line) + "\n").collect()
}

/// Waits for a line of a process's log that contains `text`, and returns it.
async fn wait_for(process: &Process, text: &str) -> String {
    let what = format!("waiting for {text:?} in the log of {}", process.name());
    let line = eventually(PATIENCE, &what, async || {
        let log = of(process);
        let line = log.lines().find(|line| line.contains(text));
        line.map(str::to_owned).context("there is none")
    });
    let line = process.alive_until(line).await;
    line.unwrap_or_else(|error| panic!("{error:#}"))
}

impl Afterword {
    /// The log of the HTTP side and of the workers, as people read it.
    pub fn log(&self) -> String {
        std::iter::once(self.http())
            .chain(self.workers())
            .map(of)
            .collect()
    }

    /// What the components have logged, also those of processes that have ended.
    pub fn logged(&self) -> Vec<Map<String, Value>> {
        let printed = self.logs.printed();
        let lines = printed.lines.iter();
        lines
            .filter_map(|line| parse(line).ok().flatten())
            .collect()
    }

    /// What the components have logged about an event.
    pub fn logged_about(&self, event: &str) -> Vec<Map<String, Value>> {
        let mut lines = self.logged();
        lines.retain(|line| line["event"] == event);
        lines
    }

    /// All lines that the processes of the application have printed, also those that have ended.
    pub fn printed(&self) -> Vec<String> {
        self.logs.printed().lines.clone()
    }

    /// Waits for a line of the HTTP side's log that contains `text`, and returns it.
    ///
    /// # Panics
    /// There is none.
    pub async fn wait_for_http_log(&self, text: &str) -> String {
        wait_for(self.http(), text).await
    }

    /// Waits for a line of the first worker's log that contains `text`, and returns it.
    ///
    /// # Panics
    /// There is none.
    pub async fn wait_for_worker_log(&self, text: &str) -> String {
        wait_for(self.worker(), text).await
    }

    /// How often the log contains `text`.
    pub fn count_in_log(&self, text: &str) -> usize {
        self.log().matches(text).count()
    }

    /// Asserts that no process has printed any of these texts.
    ///
    /// # Panics
    /// One has.
    pub fn assert_not_in_log(&self, texts: &[&str]) {
        for line in self.printed() {
            let readable = readable(&line);
            for text in texts {
                let found = line.contains(text) || readable.contains(text);
                assert!(!found, "{text:?} is in the log: {line}");
            }
        }
    }
}
