//! The work queue: its counts, and the keys that have been queued longest.

use super::amounts::{count, number, rough_duration, shortened, wait};
use crate::snapshot::{KeyState, Queue, QueuedKey, Snapshot};
use maud::{Markup, html};
use std::hash::{DefaultHasher, Hash, Hasher};

/// The keys that are shown at once. The others are folded up.
const FIRST: usize = 10;

/// The characters that are shown of an error.
const ERROR_LENGTH: usize = 300;

/// The section of the work queue.
pub fn section(snapshot: &Snapshot, may_act: bool) -> Markup {
    html! {
        section.queue aria-labelledby="queue" {
            h2 #queue { "Queue" }
            @match &snapshot.queue {
                None => p.empty { "Unknown while Redis is away." },
                Some(queue) if queue.total == 0 => {
                    p.empty { "Empty: no key waits for a refresh." }
                }
                Some(queue) => {
                    (counts(queue))
                    @if may_act {
                        // One form for every button: a key is its button's value.
                        form #retry method="post" action="/status/retry" { (keys(queue, may_act)) }
                    } @else {
                        (keys(queue, may_act))
                    }
                }
            }
        }
    }
}

fn counts(queue: &Queue) -> Markup {
    let counts = [
        (queue.due, "due"),
        (queue.claimed, "being fetched"),
        (queue.waiting, "waiting"),
        (queue.backing_off, "backing off"),
    ];
    html! {
        dl.counts {
            @for (number, state) in counts {
                div { dt { (state) } dd { (self::number(number)) } }
            }
        }
        @if queue.suspects > 0 {
            p.hint {
                (count(queue.suspects, "key is suspect: its", "keys are suspect: their"))
                " request fails while others succeed."
            }
        }
    }
}

fn keys(queue: &Queue, may_act: bool) -> Markup {
    let (first, others) = queue.keys.split_at(queue.keys.len().min(FIRST));
    html! {
        @if may_act && queue.backing_off > 0 {
            p { button #retry-all { "Retry all that back off" } }
        }
        (table("queued", "The keys that have been queued longest", first, may_act))
        @if !others.is_empty() {
            details #more-keys {
                summary { (count(others.len() as u64, "more key", "more keys")) }
                (table("others", "More queued keys", others, may_act))
            }
        }
        @if queue.total > queue.keys.len() as u64 {
            p.hint { (number(queue.keys.len() as u64)) " of " (number(queue.total)) " are shown." }
        }
    }
}

fn table(id: &str, caption: &str, keys: &[QueuedKey], may_act: bool) -> Markup {
    html! {
        table id=(id) .keys {
            caption { (caption) }
            thead {
                tr {
                    th scope="col" { "Key" }
                    th scope="col" { "State" }
                    th.number scope="col" { "Queued for" }
                    th.number scope="col" { "Attempts" }
                    th.number scope="col" { "Next" }
                    @if may_act {
                        th scope="col" { span.for-screen-readers { "Retry" } }
                    }
                }
            }
            tbody { @for key in keys { (row(key, may_act)) } }
        }
    }
}

fn row(key: &QueuedKey, may_act: bool) -> Markup {
    let state = match key.state {
        KeyState::Due => "due",
        KeyState::Claimed => "being fetched",
        KeyState::Waiting => "waiting",
        KeyState::BackingOff => "backing off",
    };
    let id = id(&key.key);
    html! {
        tr id={ "r" (id) } {
            td {
                code id={ "k" (id) } { (key.key) }
                @if let Some(error) = &key.error {
                    p.error { (shortened(error, ERROR_LENGTH)) }
                }
            }
            td {
                (state)
                @if key.suspect { ", suspect" }
            }
            td.number { (rough_duration(key.queued_ms)) }
            td.number { (number(key.attempts)) }
            td.number { (wait(key.next_ms)) }
            @if may_act {
                td {
                    @if key.state == KeyState::BackingOff {
                        button id={ "b" (id) } name="key" value=(key.key)
                            aria-labelledby={ "b" (id) " k" (id) } { "Retry" }
                    }
                }
            }
        }
    }
}

/// The ids of a key's elements contain this. By them, the script keeps the focus on the button of
/// the same key while the rows move.
fn id(key: &str) -> String {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    format!("{:x}", hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    #[test]
    fn a_key_that_backs_off_has_a_button() {
        let html = section(&samples::failing(), true).into_string();
        assert!(
            html.contains(r#"method="post" action="/status/retry">"#),
            "{html}"
        );
        assert!(html.contains(r#"name="key" value="/articles/7""#), "{html}");
        assert!(html.contains(">Retry all that back off</button>"), "{html}");
        // The key that is due has none.
        assert!(!html.contains(r#"value="/articles""#), "{html}");
    }

    #[test]
    fn a_reader_who_may_not_act_sees_no_button() {
        let html = section(&samples::failing(), false).into_string();
        assert!(html.contains("/articles/7"), "{html}");
        assert!(
            !html.contains("<button") && !html.contains("<form"),
            "{html}"
        );
    }

    #[test]
    fn a_row_shows_the_attempts_the_wait_and_the_error() {
        let snapshot = samples::failing();
        let queue = snapshot.queue.as_ref().unwrap();
        let key = queue
            .keys
            .iter()
            .find(|key| key.key == "/articles/7")
            .unwrap();
        let html = row(key, true).into_string();
        for text in [
            "backing off, suspect",
            ">3 min<",
            ">8<",
            ">in 42 s<",
            "HTTP 500",
        ] {
            assert!(html.contains(text), "{text} in {html}");
        }
    }

    #[test]
    fn each_state_is_counted() {
        let snapshot = samples::failing();
        let html = counts(snapshot.queue.as_ref().unwrap()).into_string();
        assert!(html.contains("<dt>backing off</dt><dd>2</dd>"), "{html}");
        assert!(html.contains("1 key is suspect"), "{html}");
    }

    #[test]
    fn an_empty_queue_and_an_unknown_one_say_so() {
        let mut snapshot = samples::healthy();
        assert!(
            section(&snapshot, true)
                .into_string()
                .contains("no key waits")
        );
        snapshot.queue = None;
        assert!(
            section(&snapshot, true)
                .into_string()
                .contains("Unknown while Redis is away")
        );
    }

    #[test]
    fn keys_have_ids_of_their_own() {
        assert_ne!(id("/articles/1"), id("/articles/2"));
        assert!(!id("/articles/ä \"<").contains(|c: char| !c.is_ascii_hexdigit()));
    }
}
