//! The timeline: what was received, when it was acknowledged, and when the cache was fresh.

use super::amounts::{age, count, duration, shortened, time};
use super::headline::Level;
use super::icon;
use crate::snapshot::{Event, EventState, Snapshot, Source, State};
use maud::{Markup, html};

/// The events that are shown at once. The others are folded up.
const NEWEST: usize = 10;

/// The keys that a new event shows, and an older one.
const KEYS: usize = 3;
const OLDER_KEYS: usize = 1;

/// The characters that are shown of a key, of an error, and of an older event's error.
const KEY_LENGTH: usize = 100;
const ERROR_LENGTH: usize = 200;
const OLDER_ERROR_LENGTH: usize = 60;

/// The section of the timeline.
pub fn section(snapshot: &Snapshot) -> Markup {
    let events = &snapshot.events;
    let (newest, older) = events.split_at(events.len().min(NEWEST));
    let now = snapshot.now;
    html! {
        section.changes aria-labelledby="changes" {
            h2 #changes { "Changes" }
            @if events.is_empty() && snapshot.parts.redis.state == State::Down {
                p.empty { "Unknown while Redis is away." }
            } @else if events.is_empty() {
                p.empty {
                    "No webhook has come yet. Change a row in Supabase, and its way to the cache
                     shows here."
                }
            } @else {
                p.hint { "Webhooks and requests from this page, newest first." }
                ol #newest .events role="list" {
                    @for event in newest { (self::event(event, now)) }
                }
            }
            @if !older.is_empty() {
                details #older {
                    summary { (count(older.len() as u64, "older change", "older changes")) }
                    p.hint { "Received → acknowledged → fresh." }
                    ol.events.older role="list" {
                        @for event in older { (older_event(event, now)) }
                    }
                }
            }
        }
    }
}

fn event(event: &Event, now: u64) -> Markup {
    let (level, word) = match event.state {
        EventState::Queued => (Level::Busy, "Queued"),
        EventState::Fetching => (Level::Busy, "Being fetched"),
        EventState::Fresh => (Level::Good, "Fresh"),
        EventState::Failing => (Level::Bad, "Failing"),
    };
    let source = match event.source {
        Source::Webhook => "webhook",
        Source::Outbox => "webhook, by way of the outbox",
        Source::Status => "request from the status page",
    };
    html! {
        li id={ "change-" (event.id) } {
            p.keys { (keys(event, KEYS)) }
            p.state { (icon::of(level)) " " (word) }
            @if let Some(error) = &event.error {
                p.error { (shortened(error, ERROR_LENGTH)) }
            }
            p.steps {
                (link(event)) " " (source) ", received " (time(event.received_at, now)) " "
                "(" (age(event.received_at, now)) ") → acknowledged"
                @match event.acknowledged_ms {
                    Some(0) => " within 1 ms",
                    Some(ms) => { " after " (duration(ms)) }
                    None => "",
                }
                " → " (last_step(event, now))
            }
        }
    }
}

/// An event in two lines at most, and few bytes: there are up to 190 of them.
fn older_event(event: &Event, now: u64) -> Markup {
    html! {
        li id={ "change-" (event.id) } {
            p.keys { (keys(event, OLDER_KEYS)) }
            p.steps {
                (link(event)) " " (time(event.received_at, now)) " → "
                @if let Some(ms) = event.acknowledged_ms { (duration(ms)) " → " }
                (last_step(event, now))
            }
            @if let Some(error) = &event.error {
                p.error { (shortened(error, OLDER_ERROR_LENGTH)) }
            }
        }
    }
}

fn link(event: &Event) -> Markup {
    html! { a href={ "/status/events/" (event.id) } { "#" (event.id) } }
}

fn keys(event: &Event, limit: usize) -> Markup {
    let shown = event.keys.len().min(limit);
    let others = event.key_count.saturating_sub(shown as u64);
    html! {
        @for key in &event.keys[..shown] { code { (shortened(key, KEY_LENGTH)) } " " }
        @if shown == 0 {
            (count(others, "key", "keys"))
        } @else if others > 0 {
            "and " (count(others, "other", "others"))
        }
    }
}

fn last_step(event: &Event, now: u64) -> Markup {
    let since = now.saturating_sub(event.received_at);
    html! {
        @match (event.state, event.fresh_ms) {
            (EventState::Fresh, Some(ms)) => { "fresh after " strong { (duration(ms)) } }
            (EventState::Fresh, None) => "fresh",
            (EventState::Queued, _) => { "queued for " (duration(since)) }
            (EventState::Fetching, _) => { "not fresh for " (duration(since)) }
            (EventState::Failing, _) => { "failing for " (duration(since)) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    #[test]
    fn an_event_shows_its_way_to_the_cache() {
        let snapshot = samples::healthy();
        let html = event(&snapshot.events[0], snapshot.now).into_string();
        assert!(
            html.contains(r##"<a href="/status/events/412">#412</a> webhook"##),
            "{html}"
        );
        assert!(html.contains("acknowledged after 3 ms"), "{html}");
        assert!(
            html.contains("fresh after <strong>84 ms</strong>"),
            "{html}"
        );
        assert!(html.contains("<code>/articles/42</code>"), "{html}");
    }

    #[test]
    fn an_event_that_is_not_fresh_shows_how_long_it_has_waited() {
        let mut snapshot = samples::healthy();
        snapshot.events[0].state = EventState::Failing;
        snapshot.events[0].fresh_ms = None;
        snapshot.events[0].error = Some("503 of the origin".to_owned());
        let html = event(&snapshot.events[0], snapshot.now).into_string();
        assert!(html.contains("failing for 12 s"), "{html}");
        assert!(html.contains("503 of the origin"), "{html}");
    }

    #[test]
    fn an_acknowledgement_in_less_than_a_millisecond_took_some_time() {
        let mut snapshot = samples::healthy();
        snapshot.events[0].acknowledged_ms = Some(0);
        let html = event(&snapshot.events[0], snapshot.now).into_string();
        assert!(html.contains("acknowledged within 1 ms"), "{html}");
    }

    #[test]
    fn the_keys_that_do_not_fit_are_counted() {
        let mut snapshot = samples::healthy();
        let event = &mut snapshot.events[0];
        event.keys = (0..20).map(|id| format!("/articles/{id}")).collect();
        event.key_count = 5_000;
        let html = keys(event, KEYS).into_string();
        assert_eq!(html.matches("<code>").count(), 3, "{html}");
        assert!(html.ends_with("and 4,997 others"), "{html}");
        event.keys.clear();
        event.key_count = 0;
        assert_eq!(keys(event, KEYS).into_string(), "0 keys");
    }

    #[test]
    fn older_events_are_folded_up() {
        let mut snapshot = samples::healthy();
        snapshot.events.truncate(10);
        assert!(!section(&snapshot).into_string().contains("<details"));
        let event = snapshot.events[0].clone();
        snapshot.events.push(event);
        let html = section(&snapshot).into_string();
        assert!(html.contains("<summary>1 older change</summary>"), "{html}");
    }

    #[test]
    fn an_older_event_shows_its_way_in_one_line() {
        let mut snapshot = samples::healthy();
        let event = &mut snapshot.events[0];
        event.error = Some("x".repeat(1_000));
        let html = older_event(event, snapshot.now).into_string();
        assert!(
            html.contains("</time> → 3 ms → fresh after <strong>84 ms</strong>"),
            "{html}"
        );
        assert!(
            html.contains("<code>/articles/42</code> and 1 other<"),
            "{html}"
        );
        assert!(html.len() < 500, "{html}");
    }

    #[test]
    fn without_events_the_page_says_how_to_see_one() {
        let html = section(&samples::empty()).into_string();
        assert!(html.contains("Change a row in Supabase"), "{html}");
        let html = section(&samples::away()).into_string();
        assert!(html.contains("Unknown while Redis is away."), "{html}");
    }
}
