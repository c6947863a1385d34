//! The circuit breaker, and the parts that the application needs.

use super::amounts::{shortened, time_and_age, wait};
use super::headline::Level;
use super::icon;
use crate::snapshot::{BreakerState, Part, Snapshot, State};
use maud::{Markup, html};

/// The characters that are shown of an error and of a detail.
const TEXT_LENGTH: usize = 300;

/// The section of the circuit breaker.
pub fn breaker(snapshot: &Snapshot) -> Markup {
    let now = snapshot.now;
    html! {
        section aria-labelledby="breaker" {
            h2 #breaker { "Circuit breaker" }
            @if let Some(breaker) = &snapshot.breaker {
                @let (level, word, meaning) = match breaker.state {
                    BreakerState::Closed => {
                        (Level::Good, "Closed", "Every request is sent to Supabase.")
                    }
                    BreakerState::Open => {
                        (Level::Bad, "Open", "No request is sent to Supabase, except for a probe.")
                    }
                    BreakerState::HalfOpen => {
                        (Level::Busy, "Half-open", "Supabase gets more requests step by step.")
                    }
                };
                p.state { (icon::of(level)) " " strong { (word) } }
                p.hint { (meaning) }
                @if breaker.state != BreakerState::Closed {
                    dl.facts {
                        @if let Some(since) = breaker.since {
                            div { dt { "Tripped" } dd { (time_and_age(since, now)) } }
                        }
                        @if let Some(error) = &breaker.error {
                            div { dt { "Because of" } dd.error { (shortened(error, TEXT_LENGTH)) } }
                        }
                        @if let Some(at) = breaker.next_probe_at {
                            div { dt { "Next probe" } dd { (wait(at.saturating_sub(now))) } }
                        }
                    }
                }
            } @else {
                p.empty { "Unknown while Redis is away." }
            }
        }
    }
}

/// The section of the parts.
pub fn section(snapshot: &Snapshot) -> Markup {
    let parts = &snapshot.parts;
    // The words for a part that works, and for one that does not.
    let parts = [
        ("Redis", &parts.redis, "up", "away"),
        ("Key-value store", &parts.store, "up", "failing"),
        ("Supabase", &parts.supabase, "responding", "failing"),
        ("Worker", &parts.worker, "alive", "gone"),
        ("Keyspace events", &parts.keyspace_events, "on", "off"),
        ("Outbox", &parts.outbox, "empty", "not empty"),
    ];
    html! {
        section aria-labelledby="parts" {
            h2 #parts { "Parts" }
            ul.parts role="list" {
                @for (name, part, up, down) in parts {
                    (self::part(name, part, up, down, snapshot.now))
                }
            }
        }
    }
}

fn part(name: &str, part: &Part, up: &str, down: &str, now: u64) -> Markup {
    let (level, word) = match part.state {
        State::Up => (Level::Good, up),
        State::Down => (Level::Bad, down),
        State::Unknown => (Level::Unknown, "unknown"),
        State::Absent => (Level::Unknown, "not on this host"),
    };
    html! {
        li {
            p { (icon::of(level)) " " strong { (name) } " " span.word { (word) } }
            @if !part.detail.is_empty() || part.since.is_some() {
                p.hint {
                    (shortened(&part.detail, TEXT_LENGTH))
                    @if let Some(since) = part.since { " Since " (time_and_age(since, now)) "." }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    #[test]
    fn a_closed_breaker_needs_few_words() {
        let html = breaker(&samples::healthy()).into_string();
        assert!(html.contains("<strong>Closed</strong>"), "{html}");
        assert!(!html.contains("Next probe"), "{html}");
    }

    #[test]
    fn an_open_breaker_says_since_when_why_and_until_when() {
        let html = breaker(&samples::failing()).into_string();
        for text in ["<strong>Open</strong>", "(2 min ago)", "HTTP 503", "in 4 s"] {
            assert!(html.contains(text), "{text} in {html}");
        }
    }

    #[test]
    fn a_state_is_said_in_words() {
        let html = section(&samples::everything_wrong()).into_string();
        for word in ["away", "failing", "gone", "off", "not empty"] {
            assert!(
                html.contains(&format!(r#"<span class="word">{word}</span>"#)),
                "{word}"
            );
        }
    }
}
