//! Conditional requests (RFC 9110, section 13): `If-None-Match`, or else `If-Modified-Since`.
//! `If-Match` and `If-Unmodified-Since` are not for caches (RFC 9111, section 4.3.2).

use crate::list_header::members;
use afterword::entry::EntityTag;
use httpdate::HttpDate;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Whether 304 is the response: the client has the representation with this tag and this
/// modification time (in seconds since 1970). Each header is a list of its lines.
pub fn not_modified(
    if_none_match: &[Vec<u8>],
    if_modified_since: &[Vec<u8>],
    tag: &EntityTag,
    last_modified: Option<u64>,
) -> bool {
    if !if_none_match.is_empty() {
        return matches(if_none_match, tag);
    }
    // An invalid or repeated date is ignored.
    let [since] = if_modified_since else {
        return false;
    };
    last_modified
        .zip(seconds(since))
        .is_some_and(|(last_modified, since)| last_modified <= since)
}

/// RFC 9110, section 13.1.2: `*`, or a list that contains the tag by weak comparison.
fn matches(if_none_match: &[Vec<u8>], tag: &EntityTag) -> bool {
    let opaque = |member: &[u8]| member.strip_prefix(b"W/").unwrap_or(member) == tag.as_bytes();
    matches!(if_none_match, [any] if any.trim_ascii() == b"*") || members(if_none_match).any(opaque)
}

/// Parses any of HTTP's three date formats (RFC 9110, section 5.6.7) to seconds since 1970.
fn seconds(date: &[u8]) -> Option<u64> {
    let date = httpdate::parse_http_date(str::from_utf8(date).ok()?).ok()?;
    Some(date.duration_since(UNIX_EPOCH).ok()?.as_secs())
}

/// The value of `Last-Modified`, from a time in seconds since 1970. `None` if it is after `now`: a
/// modification time must not be later than the response's date (RFC 9110, section 8.8.2.1).
pub fn last_modified(seconds: u64, now: u64) -> Option<HttpDate> {
    let time: SystemTime = UNIX_EPOCH.checked_add(Duration::from_secs(seconds))?;
    (seconds <= now).then(|| time.into())
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
    fn a_tag_matches_alone_in_a_list_and_weakly() {
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
    fn a_date_counts_only_without_a_tag_and_if_it_is_valid() {
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
            assert!(!since(&[date, date], Some(0)), "a repeated date is ignored");
            let none = not_modified(&lines(&[TAG]), &lines(&[date]), &tag(), Some(0));
            assert!(
                !none,
                "a tag that does not match overrides a date that does"
            );
        }
        for date in ["", "0", "1994", "Sun, 06 Nov 1994 08:49:37 CET", "\u{ff}"] {
            assert!(!since(&[date], Some(0)), "{date}");
        }
    }

    #[test]
    fn a_time_is_formatted_as_an_http_date_unless_it_is_in_the_future() {
        assert_eq!(
            last_modified(784_111_777, 784_111_777).map(|date| date.to_string()),
            Some("Sun, 06 Nov 1994 08:49:37 GMT".to_owned())
        );
        assert_eq!(last_modified(784_111_778, 784_111_777), None);
        assert_eq!(last_modified(u64::MAX, 784_111_777), None);
    }
}
