//! Amounts as people read them: durations, ages, times, bytes and counts.

use jiff::Timestamp;
use maud::{Markup, html};

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// A duration with its two largest units: `84 ms`, `1.2 s`, `12 s`, `3 min 20 s`, `2 h`, `3 d 4 h`.
pub fn duration(ms: u64) -> String {
    let two = |large: u64, unit: &str, small: u64, small_unit: &str| {
        let (whole, rest) = (ms / large, ms % large / small);
        match rest {
            0 => format!("{whole} {unit}"),
            _ => format!("{whole} {unit} {rest} {small_unit}"),
        }
    };
    match ms {
        0 => "0 s".to_owned(),
        1..SECOND => format!("{ms} ms"),
        // Cut off rather than rounded, so that 9,999 ms do not become 10.0 s.
        SECOND..10_000 => format!("{}.{} s", ms / SECOND, ms % SECOND / 100),
        10_000..MINUTE => format!("{} s", ms / SECOND),
        MINUTE..HOUR => two(MINUTE, "min", SECOND, "s"),
        HOUR..DAY => two(HOUR, "h", MINUTE, "min"),
        _ => two(DAY, "d", HOUR, "h"),
    }
}

/// A duration with its largest unit: `12 s`, `3 min`, `2 h`, `5 d`.
pub fn rough_duration(ms: u64) -> String {
    match ms {
        0..MINUTE => format!("{} s", ms / SECOND),
        MINUTE..HOUR => format!("{} min", ms / MINUTE),
        HOUR..DAY => format!("{} h", ms / HOUR),
        _ => format!("{} d", ms / DAY),
    }
}

/// How long ago that was: `just now`, `12 s ago`, `3 min ago`.
pub fn age(at: u64, now: u64) -> String {
    match now.saturating_sub(at) {
        0..SECOND => "just now".to_owned(),
        ms => format!("{} ago", rough_duration(ms)),
    }
}

/// How soon that is: `now`, `in 4 s`.
pub fn wait(ms: u64) -> String {
    match ms {
        0 => "now".to_owned(),
        // Rounded up: half a second is not `in 0 s`.
        _ => format!("in {}", rough_duration(ms.next_multiple_of(SECOND))),
    }
}

/// A time of this day, `14:03:22`, or of another one, `25 Nov 14:03`. All times are in UTC.
pub fn time(at: u64, now: u64) -> Markup {
    let format = match at / DAY == now / DAY {
        true => "%H:%M:%S",
        false => "%-d %b %H:%M",
    };
    element(at, format)
}

/// A time with its day: `25 Nov 2026, 14:03:22 UTC`.
pub fn full_time(at: u64) -> Markup {
    element(at, "%-d %b %Y, %H:%M:%S UTC")
}

fn element(at: u64, format: &str) -> Markup {
    let timestamp = i64::try_from(at)
        .ok()
        .and_then(|ms| Timestamp::from_millisecond(ms).ok());
    match timestamp {
        Some(timestamp) => {
            html! { time datetime=(timestamp) { (timestamp.strftime(format)) } }
        }
        // Beyond the year 9999.
        None => html! { "at an unknown time" },
    }
}

/// `14:03:22 (12 s ago)`
pub fn time_and_age(at: u64, now: u64) -> Markup {
    html! { (time(at, now)) " (" (age(at, now)) ")" }
}

/// Bytes in decimal units: `999 bytes`, `1.2 MB`, `34 MB`.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if bytes < 1_000 {
        return count(bytes, "byte", "bytes");
    }
    let (mut divisor, mut unit) = (1_000, 0);
    while bytes / divisor >= 1_000 {
        divisor *= 1_000;
        unit += 1;
    }
    let whole = bytes / divisor;
    match whole {
        0..10 => format!(
            "{whole}.{} {}",
            bytes % divisor / (divisor / 10),
            UNITS[unit]
        ),
        _ => format!("{whole} {}", UNITS[unit]),
    }
}

/// A number with a comma before each three digits: `1,234`.
pub fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number of things: `1 key`, `3 keys`.
pub fn count(amount: u64, singular: &str, plural: &str) -> String {
    let noun = if amount == 1 { singular } else { plural };
    format!("{} {noun}", number(amount))
}

/// The first `limit` characters of a text that may be of any length.
pub fn shortened(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_its_two_largest_units() {
        for (ms, text) in [
            (0, "0 s"),
            (1, "1 ms"),
            (999, "999 ms"),
            (1_000, "1.0 s"),
            (9_999, "9.9 s"),
            (12_345, "12 s"),
            (200_000, "3 min 20 s"),
            (2 * HOUR, "2 h"),
            (3 * DAY + 4 * HOUR + MINUTE, "3 d 4 h"),
        ] {
            assert_eq!(duration(ms), text);
        }
        assert!(duration(u64::MAX).ends_with(" h"));
    }

    #[test]
    fn an_age_of_the_future_is_just_now() {
        assert_eq!(age(5_000, 1_000), "just now");
        assert_eq!(age(5_000, 17_900), "12 s ago");
        assert_eq!(age(0, 150_000), "2 min ago");
    }

    #[test]
    fn half_a_second_is_not_now() {
        assert_eq!(wait(0), "now");
        assert_eq!(wait(400), "in 1 s");
        assert_eq!(wait(4_000), "in 4 s");
        assert_eq!(wait(59_001), "in 1 min");
    }

    #[test]
    fn a_time_of_another_day_has_its_date() {
        let at = 1_795_615_402_123; // 2026-11-25T14:03:22.123Z
        let text = |markup: Markup| markup.into_string();
        assert_eq!(
            text(time(at, at + MINUTE)),
            r#"<time datetime="2026-11-25T14:03:22.123Z">14:03:22</time>"#
        );
        assert!(text(time(at, at + DAY)).contains(">25 Nov 14:03<"));
        assert!(text(full_time(at)).contains(">25 Nov 2026, 14:03:22 UTC<"));
    }

    #[test]
    fn a_time_that_no_calendar_has_does_no_harm() {
        for at in [u64::MAX, i64::MAX as u64, 253_402_300_800_000] {
            let _ = time(at, 0);
            assert_eq!(full_time(at).into_string(), "at an unknown time");
        }
    }

    #[test]
    fn bytes_have_decimal_units() {
        for (amount, text) in [
            (0, "0 bytes"),
            (1, "1 byte"),
            (999, "999 bytes"),
            (1_000, "1.0 kB"),
            (1_290_000, "1.2 MB"),
            (34_000_000_000, "34 GB"),
            (u64::MAX, "18 EB"),
        ] {
            assert_eq!(bytes(amount), text);
        }
    }

    #[test]
    fn counts_agree_with_their_nouns() {
        assert_eq!(count(0, "key", "keys"), "0 keys");
        assert_eq!(count(1, "entry", "entries"), "1 entry");
        assert_eq!(count(1_234_567, "entry", "entries"), "1,234,567 entries");
        assert_eq!(number(123), "123");
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(shortened("äöü", 2), "äö…");
        assert_eq!(shortened("äöü", 3), "äöü");
    }
}
