//! The lag now, and a chart of the last hour.

use super::amounts::{duration, rough_duration};
use crate::snapshot::Lag;
use maud::{Markup, html};

/// The height of the chart, in units of its view box. A minute is one unit wide.
const HEIGHT: u64 = 1_000;

/// The least height of a minute in which there was a lag.
const LEAST: u64 = 40;

const MINUTE: u64 = 60_000;

/// The section of the lag; `None` while Redis is away.
pub fn section(lag: Option<&Lag>) -> Markup {
    html! {
        section aria-labelledby="lag" {
            h2 #lag { "Lag" }
            @if let Some(lag) = lag {
                p.figure { span.number { (duration(lag.now_ms)) } " now" }
                (chart(&lag.minutes_ms))
                p.hint { "The age of the oldest change that readers do not see yet." }
            } @else {
                p.empty { "Unknown while Redis is away." }
            }
        }
    }
}

/// One bar a minute, and its scale as text.
fn chart(minutes: &[u64]) -> Markup {
    let Some(&highest) = minutes.iter().max() else {
        return html! {};
    };
    let width = minutes.len();
    let minutes_ago = |index: usize| (width - 1 - index) as u64;
    let summary = match minutes.iter().rposition(|&ms| ms == highest) {
        Some(index) if highest > 0 => format!(
            "Highest in the last hour: {}, {}.",
            duration(highest),
            when(minutes_ago(index))
        ),
        _ => "There was no lag in the last hour.".to_owned(),
    };
    html! {
        figure {
            div.chart {
                svg role="img" preserveAspectRatio="none"
                    viewBox={ "0 0 " (width) " " (HEIGHT) }
                    aria-label={ "The largest lag of each minute as bars. " (summary) } {
                    @for (index, &ms) in minutes.iter().enumerate() {
                        @if ms > 0 {
                            (bar(index, ms, highest, &when(minutes_ago(index))))
                        }
                    }
                }
                // The scale repeats the text alternative.
                @if highest > 0 {
                    span.top aria-hidden="true" { (duration(highest)) }
                }
                span.start aria-hidden="true" { (rough_duration(width as u64 * MINUTE)) " ago" }
                span.end aria-hidden="true" { "now" }
            }
            figcaption { (summary) }
        }
    }
}

fn bar(index: usize, ms: u64, highest: u64, when: &str) -> Markup {
    // In 128 bits, since a lag may be any number.
    let share = u128::from(ms) * u128::from(HEIGHT) / u128::from(highest);
    let height = u64::try_from(share).unwrap_or(HEIGHT).clamp(LEAST, HEIGHT);
    html! {
        rect x={ (index) ".1" } y=(HEIGHT - height) width=".8" height=(height) {
            title { (duration(ms)) ", " (when) }
        }
    }
}

/// The minute that began this long ago.
fn when(minutes_ago: u64) -> String {
    match minutes_ago {
        0 => "in this minute".to_owned(),
        minutes => format!("{} ago", rough_duration(minutes * MINUTE)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chart_says_in_words_what_it_shows() {
        let mut minutes = vec![0; 60];
        minutes[45] = 12_000;
        minutes[50] = 500;
        let html = chart(&minutes).into_string();
        assert!(
            html.contains("Highest in the last hour: 12 s, 14 min ago."),
            "{html}"
        );
        assert_eq!(html.matches("<rect").count(), 2);
        // The small lag stays visible.
        assert!(html.contains(r#"y="959" width=".8" height="41""#), "{html}");
    }

    #[test]
    fn an_hour_without_lag_has_no_bars() {
        let html = chart(&[0; 60]).into_string();
        assert!(
            html.contains("There was no lag in the last hour."),
            "{html}"
        );
        assert!(!html.contains("<rect"), "{html}");
    }

    #[test]
    fn any_number_of_minutes_and_any_lag_can_be_drawn() {
        assert_eq!(chart(&[]).into_string(), "");
        let html = chart(&[u64::MAX, 1]).into_string();
        assert!(html.contains(r#"y="0" width=".8" height="1000""#), "{html}");
    }

    #[test]
    fn without_redis_the_lag_is_unknown() {
        assert!(
            section(None)
                .into_string()
                .contains("Unknown while Redis is away.")
        );
    }
}
