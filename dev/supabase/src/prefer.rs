//! The `Prefer` request header and the `Preference-Applied` response header.
//!
//! Source: PostgREST's `ApiRequest/Preferences.hs`.

use http::HeaderMap;

use crate::error::RestError;

const RESOLUTION: [&str; 2] = [
    "resolution=merge-duplicates",
    "resolution=ignore-duplicates",
];
const MISSING: [&str; 2] = ["missing=default", "missing=null"];
const REPRESENTATION: [&str; 3] = [
    "return=representation",
    "return=minimal",
    "return=headers-only",
];
const COUNT: [&str; 3] = ["count=exact", "count=planned", "count=estimated"];
const HANDLING: [&str; 2] = ["handling=strict", "handling=lenient"];
const MAX_AFFECTED: &str = "max-affected=";

/// The preferences of a request.
///
/// Here, `count=planned` and `count=estimated` count exactly, `return=headers-only` has no
/// `Location`, and `timezone=…` has no effect. `tx=…` has no effect on Supabase either.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Prefer {
    resolution: Option<&'static str>,
    missing: Option<&'static str>,
    representation: Option<&'static str>,
    count: Option<&'static str>,
    handling: Option<&'static str>,
    max_affected: Option<i64>,
}

impl Prefer {
    /// Parses the headers. With `handling=strict`, refuses unknown preferences.
    pub fn new(headers: &HeaderMap) -> Result<Self, RestError> {
        let all: Vec<&str> = headers
            .get_all("prefer")
            .iter()
            .filter_map(|value| value.to_str().ok())
            .filter(|value| !value.is_empty())
            .flat_map(|value| value.split(','))
            .map(str::trim)
            .collect();
        // The first preference of a kind counts.
        let first = |kind: &[&'static str]| {
            all.iter()
                .find_map(|sent| kind.iter().find(|known| *known == sent).copied())
        };
        let prefer = Self {
            resolution: first(&RESOLUTION),
            missing: first(&MISSING),
            representation: first(&REPRESENTATION),
            count: first(&COUNT),
            handling: first(&HANDLING),
            max_affected: all
                .iter()
                .find_map(|sent| sent.strip_prefix(MAX_AFFECTED))
                .and_then(|rows| rows.parse().ok()),
        };
        let unknown: Vec<_> = all.into_iter().filter(|sent| !known(sent)).collect();
        if prefer.strict() && !unknown.is_empty() {
            return Err(RestError::new(
                400,
                "PGRST122",
                "Invalid preferences given with handling=strict",
            )
            .details(format!("Invalid preferences: {}", unknown.join(", "))));
        }
        Ok(prefer)
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

    fn strict(&self) -> bool {
        self.handling == Some("handling=strict")
    }

    /// Refuses a change of more rows than `max-affected`, which needs `handling=strict`.
    pub fn check_affected(&self, rows: usize) -> Result<(), RestError> {
        match self.max_affected {
            Some(max) if self.strict() && i64::try_from(rows).is_ok_and(|rows| rows > max) => {
                Err(RestError::new(
                    400,
                    "PGRST124",
                    "Query result exceeds max-affected preference constraint",
                )
                .details(format!("The query affects {rows} rows")))
            }
            _ => Ok(()),
        }
    }

    /// The `Preference-Applied` of a request with this method, if any.
    pub fn applied(&self, method: &str) -> Option<String> {
        let only_for = |methods: &[&str], preference| {
            if methods.contains(&method) {
                preference
            } else {
                None
            }
        };
        let max_affected = self
            .max_affected
            .filter(|_| self.strict())
            .map(|max| format!("{MAX_AFFECTED}{max}"));
        let applied: Vec<&str> = [
            only_for(&["POST"], self.resolution),
            only_for(&["POST", "PATCH"], self.missing),
            only_for(&["POST", "PATCH", "DELETE"], self.representation),
            self.count,
            self.handling,
            only_for(&["PATCH", "DELETE"], max_affected.as_deref()),
        ]
        .into_iter()
        .flatten()
        .collect();
        (!applied.is_empty()).then(|| applied.join(", "))
    }
}

/// Whether PostgREST knows this preference.
fn known(preference: &str) -> bool {
    [
        &RESOLUTION[..],
        &MISSING,
        &REPRESENTATION,
        &COUNT,
        &HANDLING,
    ]
    .concat()
    .contains(&preference)
        || matches!(preference, "tx=commit" | "tx=rollback")
        || preference.starts_with("timezone=")
        || preference.starts_with(MAX_AFFECTED)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefer(value: &str) -> Result<Prefer, RestError> {
        let mut headers = HeaderMap::new();
        headers.insert("prefer", value.parse().unwrap());
        Prefer::new(&headers)
    }

    #[test]
    fn the_first_preference_of_a_kind_counts() {
        let mut headers = HeaderMap::new();
        headers.append(
            "prefer",
            "count=exact,   return=minimal, anything".parse().unwrap(),
        );
        headers.append("prefer", "return=representation".parse().unwrap());
        let prefer = Prefer::new(&headers).unwrap();
        assert!(prefer.count() && !prefer.representation());
        assert_eq!(
            prefer.applied("POST").unwrap(),
            "return=minimal, count=exact"
        );
        assert_eq!(prefer.applied("GET").unwrap(), "count=exact");
        assert_eq!(Prefer::default().applied("POST"), None);
    }

    #[test]
    fn strict_handling_refuses_unknown_preferences() {
        let error = prefer("handling=strict, nonsense, count=some, tx=commit").unwrap_err();
        assert_eq!((error.status, error.code), (400, "PGRST122"));
        assert_eq!(
            error.details.unwrap(),
            "Invalid preferences: nonsense, count=some"
        );
        for value in [
            "",
            "nonsense",
            "handling=lenient, nonsense",
            "handling=strict, count=exact, timezone=Europe/Berlin, max-affected=many",
        ] {
            assert!(prefer(value).is_ok(), "{value}");
        }
    }

    #[test]
    fn max_affected_needs_strict_handling() {
        let strict = prefer("handling=strict, max-affected=2").unwrap();
        assert_eq!(strict.check_affected(2), Ok(()));
        let error = strict.check_affected(3).unwrap_err();
        assert_eq!((error.status, error.code), (400, "PGRST124"));
        assert_eq!(error.details.unwrap(), "The query affects 3 rows");
        for method in ["PATCH", "DELETE"] {
            let applied = strict.applied(method).unwrap();
            assert_eq!(applied, "handling=strict, max-affected=2");
        }
        assert_eq!(strict.applied("POST").unwrap(), "handling=strict");

        let lenient = prefer("max-affected=2").unwrap();
        assert_eq!(lenient.check_affected(3), Ok(()));
        assert_eq!(lenient.applied("PATCH"), None);
    }
}
