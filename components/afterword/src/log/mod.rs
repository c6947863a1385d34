//! Structured logs: one JSON object a line. `docs/logs.md` describes its members.
//!
//! An instance names its component once. After that, it logs [events](mod@event):
//!
//! ```no_run
//! use afterword::log::{self, event};
//! # use std::time::Duration;
//! # async fn example(key: &afterword::key::Key) -> afterword::variables::Result<()> {
//! log::init("articles").await?;
//! log::event(event::ENTRY_WRITTEN, format!("updated cache: {key}"))
//!     .key(key)
//!     .ms(Duration::from_millis(43))
//!     .emit();
//! # Ok(())
//! # }
//! ```
//!
//! A message is a sentence for people, without the error. It must not contain a secret, a URL that
//! may contain a password, or a row's content.

pub mod event;
mod sampling;

pub use event::{Event, Level};
pub use sampling::Rate;

use crate::host;
use crate::variables::{self, invalid, optional};
use sampling::{Admission, Limit};
use serde::ser::{Serialize, SerializeMap, Serializer};
use std::cell::{Cell, RefCell};
use std::fmt::{self, Write as _};
use std::io::{self, Write as _};
use std::time::{Duration, Instant, UNIX_EPOCH};

/// The maximum number of characters of an error. The texts of Redis have no limit.
const MAX_ERROR: usize = 500;

/// Sets the name of this instance's component, as in the manifest, and reads the format of the log
/// (variable `log_format`). An instance reads it once.
pub async fn init(component: &'static str) -> variables::Result<()> {
    COMPONENT.set(component);
    if FORMAT.get().is_none() {
        let format = Format::parse(&optional("log_format").await?);
        FORMAT.set(Some(format.map_err(|why| invalid("log_format", why))?));
    }
    Ok(())
}

thread_local! {
    static COMPONENT: Cell<&'static str> = const { Cell::new("") };
    static FORMAT: Cell<Option<Format>> = const { Cell::new(None) };
}

/// A line about an event, to be completed and then [emitted](Line::emit).
pub fn event(event: Event, message: impl Into<String>) -> Line {
    Line {
        time: host::now(),
        event,
        message: clean(message.into().chars()),
        keys: None,
        error: None,
        numbers: Vec::new(),
        limit: None,
    }
}

/// Logs a line that is left out if this instance logs many about the same event in a second. Only a
/// line that is logged is built.
pub fn sampled(event: Event, build: impl FnOnce() -> Line + 'static) {
    admit(event.name, Rate::SAMPLE, Box::new(build));
}

/// The line about a variable that is missing or invalid.
pub fn not_configured(error: &variables::Error) -> Line {
    event(event::NOT_CONFIGURED, error.to_string())
}

/// A line of the log.
#[must_use = "call `emit`"]
pub struct Line {
    /// In milliseconds since 1970.
    time: u64,
    event: Event,
    message: String,
    keys: Option<Keys>,
    error: Option<String>,
    numbers: Vec<(&'static str, u64)>,
    limit: Option<(Rate, &'static str)>,
}

impl Line {
    /// The key, or the name of the task, that the event is about.
    pub fn key(self, key: impl fmt::Display) -> Self {
        self.keys(Keys::of([key]))
    }

    /// The keys that the event is about.
    pub fn keys(mut self, keys: Keys) -> Self {
        self.keys = Some(keys);
        self
    }

    /// Why it failed.
    pub fn error(mut self, error: impl fmt::Display) -> Self {
        self.error = Some(clean(error.to_string().chars().take(MAX_ERROR)));
        self
    }

    /// How long it took.
    pub fn ms(self, duration: Duration) -> Self {
        let milliseconds = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        self.number("ms", milliseconds)
    }

    /// A number with a name of its own.
    pub fn number(mut self, name: &'static str, number: impl TryInto<u64>) -> Self {
        if let Ok(number) = number.try_into() {
            self.numbers.push((name, number));
        }
        self
    }

    /// Leaves the line out if this instance logs many about the same event in a second.
    pub fn sampled(self) -> Self {
        let reason = self.event.name;
        self.at_most(Rate::SAMPLE, reason)
    }

    /// Leaves the line out if this instance logs more lines with the same reason than `rate`
    /// allows. The next one that is logged says how many were left out.
    pub fn at_most(self, rate: Rate, reason: &'static str) -> Self {
        let limit = Some((rate, reason));
        Self { limit, ..self }
    }

    /// Logs it: `info` to standard output, `warn` and `error` to standard error.
    pub fn emit(self) {
        let Some((rate, reason)) = self.limit else {
            return self.print(0);
        };
        admit(reason, rate, Box::new(move || self));
    }

    fn print(mut self, suppressed: u32) {
        if suppressed > 0 {
            self = self.number("suppressed", suppressed);
        }
        let line = format!("{self}\n");
        // In one call, so that the lines of several instances do not mix. A log that is closed or
        // full must not stop the application.
        let _ = match self.event.level {
            Level::Info => io::stdout().write_all(line.as_bytes()),
            Level::Warn | Level::Error => io::stderr().write_all(line.as_bytes()),
        };
    }

    fn render(&self, component: &str, format: Format) -> String {
        match format {
            Format::Json => {
                let line = Object {
                    line: self,
                    component,
                };
                // Strings and numbers can always be serialized.
                serde_json::to_string(&line).unwrap_or_default()
            }
            Format::Text => self.text(component, &Style::PLAIN),
            Format::Ansi => self.text(component, &Style::COLOURS),
        }
    }

    fn text(&self, component: &str, style: &Style) -> String {
        let (time, level) = (rfc3339(self.time), self.event.level);
        let mut line = format!(
            "{}{}{} {}{:<5}{} {}{component:<12}{} {}",
            style.time,
            // The time of day, without `Z`.
            &time[11..23],
            style.end,
            style.level(level),
            level.name(),
            style.end,
            style.component,
            style.end,
            self.message
        );
        if let Some(error) = &self.error {
            let _ = write!(line, ": {error}");
        }
        for (name, number) in &self.numbers {
            let _ = match *name {
                "ms" => write!(line, " ({number} ms)"),
                "suppressed" => write!(line, " ({number} more before it)"),
                // The message contains the others.
                _ => Ok(()),
            };
        }
        line
    }
}

impl fmt::Display for Line {
    /// In this instance's format, without a line break.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let format = FORMAT.get().unwrap_or(Format::Json);
        f.write_str(&self.render(COMPONENT.get(), format))
    }
}

/// A line that is built when it is logged.
type Build = Box<dyn FnOnce() -> Line>;

/// Logs the line, unless `rate` leaves it out.
fn admit(reason: &'static str, rate: Rate, build: Build) {
    let admission = with_limit(reason, |limit, now| limit.admit(rate, now, (now, build)));
    match admission {
        Admission::Logged((_, build), suppressed) => build().print(suppressed),
        Admission::FirstLeftOut(ends_in) if rate.ends_with_last => {
            host::after_response(async move {
                host::sleep(ends_in).await;
                if let Some(((emitted_at, build), suppressed)) = with_limit(reason, Limit::end) {
                    let ago = u64::try_from(emitted_at.elapsed().as_millis()).unwrap_or(u64::MAX);
                    let mut line = build();
                    line.time = line.time.min(host::now().saturating_sub(ago));
                    line.print(suppressed);
                }
            })
        }
        Admission::FirstLeftOut(_) | Admission::LeftOut => {}
    }
}

/// The lines with one reason, each with the time at which it was emitted.
type Lines = Limit<(Instant, Build)>;

/// Calls `call` with the lines of this instance that have this reason, and the time.
fn with_limit<T>(reason: &'static str, call: impl FnOnce(&mut Lines, Instant) -> T) -> T {
    thread_local! {
        // The reasons are a part of the program, so their number is limited.
        static LIMITS: RefCell<Vec<(&'static str, Lines)>> = const {
            RefCell::new(Vec::new())
        };
    }
    let now = Instant::now();
    LIMITS.with_borrow_mut(|limits| {
        let known = limits.iter().position(|(other, _)| *other == reason);
        let at = known.unwrap_or_else(|| {
            limits.push((reason, Limit::new(now)));
            limits.len() - 1
        });
        call(&mut limits[at].1, now)
    })
}

/// The JSON object of a line.
struct Object<'a> {
    line: &'a Line,
    component: &'a str,
}

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let line = self.line;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("time", &rfc3339(line.time))?;
        map.serialize_entry("level", line.event.level.name())?;
        map.serialize_entry("component", self.component)?;
        map.serialize_entry("event", line.event.name)?;
        map.serialize_entry("message", &line.message)?;
        if let Some(error) = &line.error {
            map.serialize_entry("error", error)?;
        }
        match &line.keys {
            Some(Keys { shown, count: 1 }) => map.serialize_entry("key", &shown[0])?,
            Some(Keys { shown, count }) => {
                map.serialize_entry("keys", shown)?;
                map.serialize_entry("key_count", count)?;
            }
            None => {}
        }
        for (name, number) in &line.numbers {
            map.serialize_entry(name, number)?;
        }
        map.end()
    }
}

/// The keys, or the names of the tasks, that a line is about: the first few, and their number.
pub struct Keys {
    shown: Vec<String>,
    count: usize,
}

impl Keys {
    /// How many are shown.
    const MAX: usize = 3;

    /// The first few of these, and their number.
    pub fn of<T: fmt::Display>(keys: impl IntoIterator<Item = T>) -> Self {
        let mut all = keys.into_iter();
        let first = all.by_ref().take(Self::MAX);
        let shown: Vec<String> = first.map(|key| key.to_string()).collect();
        Self {
            count: shown.len() + all.count(),
            shown,
        }
    }
}

impl fmt::Display for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown.join(", "))?;
        match self.count - self.shown.len() {
            0 => Ok(()),
            others => write!(f, " and {others} more"),
        }
    }
}

/// The formats of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Json,
    Text,
    Ansi,
}

impl Format {
    fn parse(value: &str) -> Result<Self, &'static str> {
        match value.trim() {
            "json" => Ok(Self::Json),
            "text" => Ok(Self::Text),
            "ansi" => Ok(Self::Ansi),
            _ => Err("it must be `json`, `text`, or `ansi` (text in colours)"),
        }
    }
}

/// The colours of a text line, as escape sequences of a terminal (ECMA-48, SGR).
struct Style {
    time: &'static str,
    info: &'static str,
    warn: &'static str,
    error: &'static str,
    component: &'static str,
    end: &'static str,
}

impl Style {
    const PLAIN: Self = Self {
        time: "",
        info: "",
        warn: "",
        error: "",
        component: "",
        end: "",
    };

    /// Faint, green, yellow, red, cyan.
    const COLOURS: Self = Self {
        time: "\x1b[2m",
        info: "\x1b[32m",
        warn: "\x1b[33m",
        error: "\x1b[31m",
        component: "\x1b[36m",
        end: "\x1b[0m",
    };

    fn level(&self, level: Level) -> &'static str {
        match level {
            Level::Info => self.info,
            Level::Warn => self.warn,
            Level::Error => self.error,
        }
    }
}

/// UTC, such as `2026-09-01T14:03:43.123Z`.
fn rfc3339(milliseconds: u64) -> String {
    let time = UNIX_EPOCH + Duration::from_millis(milliseconds);
    humantime::format_rfc3339_millis(time).to_string()
}

/// The text without control characters, which could forge a line or command a terminal.
fn clean(text: impl Iterator<Item = char>) -> String {
    text.filter(|character| !character.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line at 2025-11-25T14:03:43.123Z.
    fn line(event: Event, message: &str) -> Line {
        Line {
            time: 1_764_079_423_123,
            ..super::event(event, message)
        }
    }

    fn json(line: &Line) -> String {
        line.render("refresh", Format::Json)
    }

    #[test]
    fn a_line_is_a_json_object() {
        assert_eq!(
            json(&line(event::BREAKER_CLOSED, "closed")),
            r#"{"time":"2025-11-25T14:03:43.123Z","level":"info","component":"refresh","event":"breaker-closed","message":"closed"}"#
        );
        let written = line(event::ENTRY_WRITTEN, "updated cache: /articles/7")
            .key("/articles/7")
            .ms(Duration::from_millis(43));
        assert!(
            json(&written).ends_with(r#""key":"/articles/7","ms":43}"#),
            "{}",
            json(&written)
        );
    }

    #[test]
    fn no_text_can_forge_a_line_or_command_a_terminal() {
        let forged =
            line(event::FETCH_FAILED, "a\n{\"b\":1}\u{1b}[2J").error("\"quoted\"\r\n\u{9b}2J\0");
        let json = json(&forged);
        assert!(
            json.ends_with(r#""message":"a{\"b\":1}[2J","error":"\"quoted\"2J"}"#),
            "{json}"
        );
        let text = forged.render("articles", Format::Text);
        assert!(text.ends_with(r#" a{"b":1}[2J: "quoted"2J"#), "{text}");
    }

    #[test]
    fn an_error_is_cut() {
        let line = line(event::WORKER_FAILED, "failed").error("ä".repeat(1_000));
        assert_eq!(json(&line).matches('ä').count(), MAX_ERROR);
    }

    #[test]
    fn three_of_many_keys_are_shown() {
        let keys = |count: usize| Keys::of((1..=count).map(|id| format!("/articles/{id}")));
        let names = |count| keys(count).to_string();
        assert_eq!(names(1), "/articles/1");
        assert_eq!(names(3), "/articles/1, /articles/2, /articles/3");
        assert_eq!(names(5), "/articles/1, /articles/2, /articles/3 and 2 more");
        let members = |count| {
            let json = json(&line(event::KEY_BACKS_OFF, "").keys(keys(count)));
            json.split_once(r#""message":"","#)
                .map(|(_, rest)| rest.to_owned())
        };
        assert_eq!(members(1).unwrap(), r#""key":"/articles/1"}"#);
        assert_eq!(
            members(5).unwrap(),
            r#""keys":["/articles/1","/articles/2","/articles/3"],"key_count":5}"#
        );
    }

    #[test]
    fn text_is_aligned_and_colours_do_not_change_it() {
        let refused = line(event::STUCK, "stuck: could not refresh /articles/7")
            .error("the origin answered 401")
            .number("status", 401_u16)
            .number("suppressed", 12_u32)
            .ms(Duration::from_secs(61));
        let plain = "14:03:43.123 error refresh      stuck: could not refresh /articles/7: the \
                     origin answered 401 (12 more before it) (61000 ms)";
        assert_eq!(refused.render("refresh", Format::Text), plain);
        let coloured = refused.render("refresh", Format::Ansi);
        let colours = ["\x1b[2m", "\x1b[31m", "\x1b[36m", "\x1b[0m"];
        let stripped = colours.iter().fold(coloured.clone(), |text, colour| {
            assert!(text.contains(colour), "{text:?}");
            text.replace(colour, "")
        });
        assert_eq!(stripped, plain);
        let written = line(event::ENTRY_WRITTEN, "updated cache");
        assert_eq!(
            written.render("refresh-http", Format::Text),
            "14:03:43.123 info  refresh-http updated cache"
        );
    }

    #[test]
    fn another_format_is_an_error() {
        for (value, format) in [
            ("json", Format::Json),
            (" text ", Format::Text),
            ("ansi", Format::Ansi),
        ] {
            assert_eq!(Format::parse(value), Ok(format));
        }
        for value in ["", "JSON", "xml"] {
            assert!(Format::parse(value).is_err(), "{value}");
        }
    }

    #[test]
    fn each_reason_has_a_limit_of_its_own() {
        let rate = Rate {
            lines: 1,
            interval: Duration::from_secs(3_600),
            ends_with_last: false,
        };
        let is_logged = |reason| {
            let build: Build = Box::new(|| line(event::WEBHOOK_REFUSED, ""));
            let admission = with_limit(reason, |limit, now| limit.admit(rate, now, (now, build)));
            matches!(admission, Admission::Logged(..))
        };
        assert_eq!(
            ["one", "one", "another"].map(is_logged),
            [true, false, true]
        );
    }
}
