//! The `Prefer` request header and the `Preference-Applied` of the answer.
//!
//! Source: PostgREST's `ApiRequest/Preferences.hs`.

use http::HeaderMap;

/// The preferences of a request. `count=planned` and `count=estimated` are counted exactly here, and
/// `return=headers-only` gives no `Location`.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Prefer {
    resolution: Option<&'static str>,
    missing: Option<&'static str>,
    representation: Option<&'static str>,
    count: Option<&'static str>,
    handling: Option<&'static str>,
}

impl Prefer {
    pub fn new(headers: &HeaderMap) -> Self {
        let all: Vec<&str> = headers
            .get_all("prefer")
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(str::trim)
            .collect();
        // Of several preferences of a kind, the first one counts.
        let first = |kind: &[&'static str]| {
            all.iter()
                .find_map(|sent| kind.iter().find(|known| *known == sent).copied())
        };
        Self {
            resolution: first(&[
                "resolution=merge-duplicates",
                "resolution=ignore-duplicates",
            ]),
            missing: first(&["missing=default", "missing=null"]),
            representation: first(&[
                "return=representation",
                "return=minimal",
                "return=headers-only",
            ]),
            count: first(&["count=exact", "count=planned", "count=estimated"]),
            handling: first(&["handling=strict", "handling=lenient"]),
        }
    }

    pub fn merge_duplicates(&self) -> bool {
        self.resolution == Some("resolution=merge-duplicates")
    }

    pub fn ignore_duplicates(&self) -> bool {
        self.resolution == Some("resolution=ignore-duplicates")
    }

    pub fn missing_default(&self) -> bool {
        self.missing == Some("missing=default")
    }

    pub fn representation(&self) -> bool {
        self.representation == Some("return=representation")
    }

    pub fn count(&self) -> bool {
        self.count.is_some()
    }

    /// What `Preference-Applied` says to a request of this method, if anything.
    pub fn applied(&self, method: &str) -> Option<String> {
        let of = |preference, methods: &[&str]| {
            if methods.contains(&method) {
                preference
            } else {
                None
            }
        };
        let applied: Vec<&str> = [
            of(self.resolution, &["POST"]),
            of(self.missing, &["POST", "PATCH"]),
            of(self.representation, &["POST", "PATCH", "DELETE"]),
            self.count,
            self.handling,
        ]
        .into_iter()
        .flatten()
        .collect();
        (!applied.is_empty()).then(|| applied.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_preference_of_a_kind_counts_over_several_headers() {
        let mut headers = HeaderMap::new();
        headers.append(
            "prefer",
            "count=exact,   return=minimal, anything".parse().unwrap(),
        );
        headers.append("prefer", "return=representation".parse().unwrap());
        let prefer = Prefer::new(&headers);
        assert!(prefer.count() && !prefer.representation());
        assert_eq!(
            prefer.applied("POST").unwrap(),
            "return=minimal, count=exact"
        );
        assert_eq!(prefer.applied("GET").unwrap(), "count=exact");
        assert_eq!(Prefer::default().applied("POST"), None);
    }
}
