//! The stored entries, and the last reconciliation.

use super::amounts::{bytes, count, duration, number, time_and_age};
use crate::snapshot::{Reconciliation, Snapshot, State};
use maud::{Markup, html};

/// The section of the cache.
pub fn section(snapshot: &Snapshot) -> Markup {
    html! {
        section aria-labelledby="cache" {
            h2 #cache { "Cache" }
            @match &snapshot.reconciliation {
                Some(reconciliation) => (facts(reconciliation, snapshot.now)),
                None if snapshot.parts.redis.state == State::Down => {
                    p.empty { "Unknown while Redis is away." }
                }
                None => p.empty {
                    "No reconciliation has ended yet. The first one counts the stored entries."
                },
            }
        }
    }
}

fn facts(reconciliation: &Reconciliation, now: u64) -> Markup {
    let Reconciliation {
        at,
        took_ms,
        entries,
        bytes: size,
        outdated,
        evicted,
    } = *reconciliation;
    let found = match outdated {
        0 => "every entry up to date".to_owned(),
        _ => count(
            outdated,
            "outdated entry, queued",
            "outdated entries, queued",
        ),
    };
    html! {
        dl.facts {
            div { dt { "Entries" } dd { (number(entries)) } }
            div { dt { "Size" } dd { (bytes(size)) } }
            div {
                dt { "Reconciled" }
                dd { (time_and_age(at, now)) ", in " (duration(took_ms)) }
            }
            div { dt { "It found" } dd { (found) } }
            @if evicted > 0 {
                @let removed = count(evicted, "unread entry", "unread entries");
                div { dt { "It removed" } dd { (removed) } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    #[test]
    fn the_entries_and_the_last_reconciliation_are_shown() {
        let html = section(&samples::healthy()).into_string();
        for text in [
            "1,284",
            "5.3 MB",
            "(4 min ago)",
            "in 320 ms",
            "every entry up to date",
        ] {
            assert!(html.contains(text), "{text} in {html}");
        }
    }

    #[test]
    fn a_reconciliation_says_what_it_found_and_removed() {
        let mut snapshot = samples::healthy();
        let reconciliation = snapshot.reconciliation.as_mut().unwrap();
        reconciliation.outdated = 1;
        reconciliation.evicted = 3;
        let html = section(&snapshot).into_string();
        assert!(html.contains("1 outdated entry, queued"), "{html}");
        assert!(html.contains("3 unread entries"), "{html}");
    }

    #[test]
    fn before_the_first_reconciliation_the_page_says_so() {
        let mut snapshot = samples::empty();
        assert!(
            section(&snapshot)
                .into_string()
                .contains("No reconciliation has ended yet")
        );
        snapshot.parts.redis.state = State::Down;
        assert!(
            section(&snapshot)
                .into_string()
                .contains("Unknown while Redis is away")
        );
    }
}
