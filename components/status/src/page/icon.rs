//! The four symbols. A word always stands beside a symbol, so screen readers skip it.

use super::headline::Level;
use maud::{Markup, PreEscaped, html};

/// The shapes, once in a document: a check mark, a clock, an exclamation mark and a dash.
pub fn symbols() -> Markup {
    let shape =
        |level: Level| html! { symbol id=(id(level)) viewBox="0 0 16 16" { (path(level)) } };
    html! {
        svg.symbols width="0" height="0" aria-hidden="true" focusable="false" {
            @for level in [Level::Good, Level::Busy, Level::Bad, Level::Unknown] { (shape(level)) }
        }
    }
}

/// The symbol of this level.
pub fn of(level: Level) -> Markup {
    html! { svg.icon.(level.class()) aria-hidden="true" { use href={ "#" (id(level)) } {} } }
}

/// The page's icon, as a `data:` URL, in a colour that suits light and dark tabs.
pub fn favicon(level: Option<Level>) -> String {
    let (level, colour) = match level {
        Some(Level::Bad) => (Level::Bad, "d3453a"),
        Some(Level::Busy) => (Level::Busy, "4a7fdc"),
        Some(Level::Good) => (Level::Good, "2b9a5b"),
        Some(Level::Unknown) | None => (Level::Unknown, "7a828c"),
    };
    let svg = html! {
        svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16" color={ "#" (colour) } {
            (path(level))
        }
    };
    let mut url = String::from("data:image/svg+xml,");
    for character in svg.into_string().chars() {
        match character {
            '#' => url.push_str("%23"),
            '"' => url.push('\''),
            _ => url.push(character),
        }
    }
    url
}

fn id(level: Level) -> &'static str {
    match level {
        Level::Good => "good",
        Level::Busy => "busy",
        Level::Bad => "bad",
        Level::Unknown => "unknown",
    }
}

fn path(level: Level) -> Markup {
    let mark = match level {
        Level::Good => "M4.6 8.3l2.3 2.3 4.5-4.8",
        Level::Busy => "M8 4.4V8l2.4 1.5",
        Level::Bad => "M8 4v5M8 11.4v.6",
        Level::Unknown => "M5 8h6",
    };
    html! {
        circle cx="8" cy="8" r="7.5" fill="currentColor" {}
        path d=(PreEscaped(mark)) fill="none" stroke="#fff" stroke-width="1.6"
            stroke-linecap="round" stroke-linejoin="round" {}
    }
}
