//! Proactive negotiation (RFC 9110, section 12): chooses a content coding, and checks that the
//! client accepts JSON.

use crate::list_header::{members, parts};
use afterword::entry::Coding;

/// A quality value in thousandths (RFC 9110, section 12.4.2); 0 means *not acceptable*.
type Quality = u16;

const MAX_QUALITY: Quality = 1_000;

/// The coding with the highest quality in this `Accept-Encoding`, of those that are stored. Of
/// equals, brotli comes before gzip, and gzip before identity. `None` if the client accepts no
/// stored coding.
pub fn coding(accept_encoding: &[Vec<u8>], is_stored: impl Fn(Coding) -> bool) -> Option<Coding> {
    // Without the header, any coding is acceptable (RFC 9110, section 12.5.3), but most clients
    // that do not send it cannot decode any.
    if accept_encoding.is_empty() {
        return Some(Coding::Identity);
    }
    let [mut identity, mut gzip, mut brotli, mut any] = [None; 4];
    for (name, quality) in members(accept_encoding).map(weighted) {
        let first = match name {
            b"*" => &mut any,
            _ if name.eq_ignore_ascii_case(b"br") => &mut brotli,
            _ if name.eq_ignore_ascii_case(b"gzip") => &mut gzip,
            _ if name.eq_ignore_ascii_case(b"x-gzip") => &mut gzip,
            _ if name.eq_ignore_ascii_case(b"identity") => &mut identity,
            _ => continue,
        };
        // A member with an invalid quality is ignored.
        *first = first.or(quality);
    }
    [
        // Acceptable unless excluded, but any named coding is preferred.
        (Coding::Identity, identity.or(any).unwrap_or(1)),
        (Coding::Gzip, gzip.or(any).unwrap_or(0)),
        (Coding::Brotli, brotli.or(any).unwrap_or(0)),
    ]
    .into_iter()
    .filter(|(coding, quality)| *quality > 0 && is_stored(*coding))
    .max_by_key(|(_, quality)| *quality)
    .map(|(coding, _)| coding)
}

/// Whether a client with this `Accept` accepts `application/json`. The most specific range decides
/// (RFC 9110, section 12.5.1). Parameters such as `charset` are ignored, and so are invalid
/// qualities such as the `.2` that Java sends.
pub fn json(accept: &[Vec<u8>]) -> bool {
    let [mut json, mut application, mut any] = [None; 3];
    let mut is_empty = true;
    for (range, quality) in members(accept).map(weighted) {
        is_empty = false;
        let highest = match range {
            b"*/*" => &mut any,
            _ if range.eq_ignore_ascii_case(b"application/json") => &mut json,
            _ if range.eq_ignore_ascii_case(b"application/*") => &mut application,
            _ => continue,
        };
        *highest = (*highest).max(Some(quality.unwrap_or(MAX_QUALITY)));
    }
    is_empty
        || json
            .or(application)
            .or(any)
            .is_some_and(|quality| quality > 0)
}

/// A member without its parameters, and its quality; `None` if its `q` is invalid.
fn weighted(member: &[u8]) -> (&[u8], Option<Quality>) {
    let mut parts = parts(member, b';');
    let name = parts.next().unwrap_or_default();
    let quality = parts.find_map(|parameter| match parameter {
        [b'q' | b'Q', b'=', value @ ..] => Some(thousandths(value)),
        _ => None,
    });
    (name, quality.unwrap_or(Some(MAX_QUALITY)))
}

/// Parses a number from 0 to 1 with at most three decimals.
fn thousandths(value: &[u8]) -> Option<Quality> {
    let (whole, decimals) = match value {
        [whole] => (whole, &[][..]),
        [whole, b'.', decimals @ ..] if decimals.len() <= 3 => (whole, decimals),
        _ => return None,
    };
    let digit = |byte: &u8| byte.is_ascii_digit().then(|| Quality::from(byte - b'0'));
    let mut quality = digit(whole)?;
    for place in 0..3 {
        quality = quality * 10 + decimals.get(place).map_or(Some(0), digit)?;
    }
    (quality <= MAX_QUALITY).then_some(quality)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(lines: &[&str]) -> Vec<Vec<u8>> {
        lines.iter().map(|line| line.as_bytes().to_vec()).collect()
    }

    fn chosen(accept_encoding: &[&str], stored: &[Coding]) -> Option<Coding> {
        let is_stored = |coding| coding == Coding::Identity || stored.contains(&coding);
        coding(&lines(accept_encoding), is_stored)
    }

    #[test]
    fn the_coding_with_the_highest_quality_is_chosen_and_the_shortest_of_equals() {
        use Coding::{Brotli, Gzip, Identity};
        for (field, expected) in [
            ("gzip, deflate, br, zstd", Brotli),
            ("gzip, deflate", Gzip),
            ("x-gzip", Gzip),
            ("GZIP", Gzip),
            ("br;q=0.5, gzip;q=0.8", Gzip),
            ("br;q=0.8, gzip ; q=0.8", Brotli),
            ("gzip;q=0.001", Gzip),
            ("gzip;q=0.5, identity", Identity),
            ("gzip;q=0.5, identity;q=0.4", Gzip),
            ("*", Brotli),
            ("*;q=0.1, gzip", Gzip),
            ("br;q=0, *", Gzip),
            ("deflate", Identity),
            ("", Identity),
            ("br;q=0, gzip;q=0.000", Identity),
            // A member with an invalid quality is ignored.
            ("br;q=1.001, gzip;q=0.1", Gzip),
            ("br;q=, gzip;q=x, identity;q=0.5", Identity),
            ("br;q=0.1234, gzip;q=1.", Gzip),
        ] {
            let chosen = chosen(&[field], &[Brotli, Gzip]);
            assert_eq!(chosen, Some(expected), "{field}");
        }
        assert_eq!(chosen(&[], &[Brotli, Gzip]), Some(Identity), "no field");
        assert_eq!(chosen(&["gzip", "br"], &[Brotli, Gzip]), Some(Brotli));
    }

    #[test]
    fn only_stored_and_acceptable_codings_are_chosen() {
        use Coding::{Brotli, Gzip, Identity};
        assert_eq!(chosen(&["br, gzip"], &[]), Some(Identity));
        assert_eq!(chosen(&["br, gzip;q=0.1"], &[Gzip]), Some(Gzip));
        for field in ["identity;q=0", "br, identity;q=0", "*;q=0", "br, *;q=0"] {
            assert_eq!(chosen(&[field], &[]), None, "{field}");
        }
        assert_eq!(chosen(&["br, *;q=0"], &[Brotli]), Some(Brotli));
        assert_eq!(chosen(&["identity, *;q=0"], &[Brotli]), Some(Identity));
    }

    #[test]
    fn the_most_specific_range_decides_whether_json_is_accepted() {
        for field in [
            "*/*",
            "application/json",
            "Application/JSON; charset=utf-8",
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            "application/*;q=0.001",
            "*/*;q=0, application/json",
            "application/json;profile=\"a,b;q=0\"",
            "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2",
            "application/json;q=1.0000",
        ] {
            assert!(json(&lines(&[field])), "{field}");
        }
        for field in [
            "text/html",
            "application/vnd.pgrst.object+json",
            "application/json;q=0",
            "application/json;q=0, */*",
            "application/*;q=0, */*",
            "*/*;q=0.0",
            "json",
        ] {
            assert!(!json(&lines(&[field])), "{field}");
        }
        assert!(json(&[]) && json(&lines(&["", " ,"])), "no range");
        assert!(json(&lines(&["text/html", "*/*"])));
    }
}
