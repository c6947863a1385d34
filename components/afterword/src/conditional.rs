//! Conditional requests (RFC 9110, section 13), as far as they are for a cache (RFC 9111, section 4.3.2): `If-None-Match`, and
//! `If-Modified-Since` where that is absent. `If-Match` and `If-Unmodified-Since` are not.

use crate::entry::EntityTag;
use crate::fields::members;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Whether the client has the representation with this tag and this time of modification (in seconds since 1970, if it has one)
/// already, so that 304 will do. The fields are given line by line.
pub fn not_modified(
    if_none_match: &[Vec<u8>],
    if_modified_since: &[Vec<u8>],
    tag: &EntityTag,
    last_modified: Option<u64>,
) -> bool {
    if !if_none_match.is_empty() {
        return matches(if_none_match, tag);
    }
    // One that is no date, or that came twice, does not count.
    let [since] = if_modified_since else {
        return false;
    };
    last_modified
        .zip(seconds(since))
        .is_some_and(|(last_modified, since)| last_modified <= since)
}

/// RFC 9110, section 13.1.2: `*`, or a list of tags of which one is this by the weak comparison.
fn matches(if_none_match: &[Vec<u8>], tag: &EntityTag) -> bool {
    let opaque = |member: &[u8]| member.strip_prefix(b"W/").unwrap_or(member) == tag.as_bytes();
    matches!(if_none_match, [any] if any.trim_ascii() == b"*") || members(if_none_match).any(opaque)
}

/// A date in any of HTTP's three formats (RFC 9110, section 5.6.7), in seconds since 1970.
fn seconds(date: &[u8]) -> Option<u64> {
    let date = httpdate::parse_http_date(str::from_utf8(date).ok()?).ok()?;
    Some(date.duration_since(UNIX_EPOCH).ok()?.as_secs())
}

/// A time in seconds since 1970, not after `now`, as HTTP writes it. `None` if it is after: a time of modification is not to be later
/// than the answer's own date (RFC 9110, section 8.8.2.1).
pub fn date(seconds: u64, now: u64) -> Option<String> {
    let time: SystemTime = UNIX_EPOCH.checked_add(Duration::from_secs(seconds))?;
    (seconds <= now).then(|| httpdate::fmt_http_date(time))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAG: &str = "\"b404263fd62702f818209ed100c55a91\"";

    fn tag() -> EntityTag {
        let tag = EntityTag::of(b"{}");
        assert_eq!(tag.as_bytes(), b"\"44136fa355b3678a1146ad16f7e8649e\"");
        tag
    }

    fn lines(lines: &[&str]) -> Vec<Vec<u8>> {
        lines.iter().map(|line| line.as_bytes().to_vec()).collect()
    }

    fn matching(if_none_match: &[&str]) -> bool {
        not_modified(&lines(if_none_match), &[], &tag(), Some(0))
    }

    #[test]
    fn a_tag_matches_alone_in_a_list_and_weak() {
        let own = "\"44136fa355b3678a1146ad16f7e8649e\"";
        for field in [
            own.to_owned(),
            format!("W/{own}"),
            format!("{TAG}, {own}"),
            format!("{own},{TAG}"),
            format!("\"a,b\" ,\t{own}"),
            format!(",, {own} ,"),
        ] {
            assert!(matching(&[&field]), "{field}");
        }
        assert!(matching(&[TAG, own]), "in a line of its own");
        assert!(matching(&["*"]) && matching(&[" * "]));
    }

    #[test]
    fn another_tag_does_not_match() {
        for field in [
            TAG,
            "",
            "44136fa355b3678a1146ad16f7e8649e",
            "w/\"44136fa355b3678a1146ad16f7e8649e\"",
            "\"44136fa355b3678a1146ad16f7e8649e",
            "\"44136fa355b3678a1146ad16f7e8649ee\"",
            "\"44136FA355B3678A1146AD16F7E8649E\"",
            "*, *",
            "\"*\"",
            "\"x, \"44136fa355b3678a1146ad16f7e8649e\"",
        ] {
            assert!(!matching(&[field]), "{field}");
        }
    }

    #[test]
    fn a_date_counts_only_without_a_tag_and_only_if_it_is_one() {
        let since =
            |dates: &[&str], last_modified| not_modified(&[], &lines(dates), &tag(), last_modified);
        // Each of them is 784111777.
        for date in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            assert!(since(&[date], Some(784_111_777)), "{date}");
            assert!(since(&[date], Some(0)), "{date}");
            assert!(!since(&[date], Some(784_111_778)), "{date}");
            assert!(!since(&[date], None), "{date}");
            assert!(!since(&[date, date], Some(0)), "twice is no date");
            let none = not_modified(&lines(&[TAG]), &lines(&[date]), &tag(), Some(0));
            assert!(
                !none,
                "a tag that does not match outweighs a date that does"
            );
        }
        for date in ["", "0", "1994", "Sun, 06 Nov 1994 08:49:37 CET", "\u{ff}"] {
            assert!(!since(&[date], Some(0)), "{date}");
        }
    }

    #[test]
    fn a_time_is_written_as_http_does_unless_it_is_to_come() {
        assert_eq!(
            date(784_111_777, 784_111_777).as_deref(),
            Some("Sun, 06 Nov 1994 08:49:37 GMT")
        );
        assert_eq!(date(784_111_778, 784_111_777), None);
        assert_eq!(date(u64::MAX, 784_111_777), None);
    }
}
