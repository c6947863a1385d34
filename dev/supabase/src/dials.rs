//! Faults that can be dialled in while the stand-in runs: by `Supabase::set_dials`, or `PUT /dials` with the same as JSON.

use serde::{Deserialize, Serialize};

/// All dials. The default is no fault at all, and so is `{}` in JSON.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Dials {
    /// Faults of REST answers. For each request the first entry that matches it counts.
    pub rest: Vec<RestDial>,
    /// Faults of webhooks.
    pub webhooks: WebhookDials,
}

/// What happens to the REST requests that it matches.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RestDial {
    /// A part of the request's path and query, as sent, such as `/articles?id=in.`; the empty text matches every request.
    pub matching: String,
    /// A part of the request's `Prefer` header, such as `count=exact`; the empty text matches every
    /// request.
    pub prefer: String,
    /// How many requests the dial applies to before it turns itself off; `None` means all.
    pub times: Option<u64>,
    /// Milliseconds for which the answer is held back. The rows have been read or written, and the request is in the
    /// log, when the wait begins: a slow answer shows what was there before it.
    pub delay_ms: u64,
    /// What is wrong with the answer, if anything.
    pub fault: Option<Fault>,
    /// Seconds in a `Retry-After` header of an answer with `status` or `refusal`.
    pub retry_after: Option<u64>,
}

/// What is wrong with a REST answer.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// `{"status": 503}`: this status with a gateway's JSON; the database is not asked. 400 to 599.
    Status(u16),
    /// `{"refusal": {"status": 500, "code": "57014"}}`: an error with a code of PostgREST's or
    /// PostgreSQL's; the database is not asked.
    Refusal {
        /// 400 to 599.
        status: u16,
        /// Such as `57014` (statement timeout) or `PGRST205` (table not in the schema cache).
        code: String,
    },
    /// `"html"`: status 200 and a page of HTML, as from a captive portal; the database is not asked.
    Html,
    /// `"drop"`: the connection is closed before a byte of the answer; the database is not asked.
    Drop,
    /// `"cut"`: the connection is closed after half of the body.
    Cut,
}

/// What happens to webhooks.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct WebhookDials {
    /// Milliseconds to wait before sending.
    pub delay_ms: u64,
    /// The part of webhooks that is never sent, 0 to 1.
    pub drop: f64,
    /// The part of webhooks that is sent twice, 0 to 1.
    pub duplicate: f64,
    /// Milliseconds for which webhooks are gathered, to be sent in a shuffled order; 0 sends each at once.
    pub reorder_ms: u64,
    /// Where the random numbers of `drop`, `duplicate` and the shuffling start; setting the dials starts them anew.
    pub seed: u64,
}

impl Dials {
    /// Reads dials from JSON; the error says what is wrong and where.
    ///
    /// # Errors
    /// Unknown names, wrong types, a fraction outside of 0 to 1, a status that is no error.
    pub fn parse(json: &[u8]) -> anyhow::Result<Self> {
        let dials: Self = serde_json::from_slice(json)?;
        dials.check()?;
        Ok(dials)
    }

    pub(crate) fn check(&self) -> anyhow::Result<()> {
        for (name, part) in [
            ("drop", self.webhooks.drop),
            ("duplicate", self.webhooks.duplicate),
        ] {
            anyhow::ensure!(
                (0.0..=1.0).contains(&part),
                "webhooks.{name} is {part}, but has to be a fraction from 0 to 1"
            );
        }
        for dial in &self.rest {
            if let Some(Fault::Status(status) | Fault::Refusal { status, .. }) = &dial.fault {
                anyhow::ensure!(
                    (400..=599).contains(status),
                    "a rest fault has status {status}, but it has to be an error, 400 to 599"
                );
            }
        }
        Ok(())
    }

    /// The dial for a request, which counts against the dial's `times`.
    pub(crate) fn for_request(&mut self, path_and_query: &str, prefer: &str) -> RestDial {
        let found = self.rest.iter_mut().find(|dial| {
            path_and_query.contains(&dial.matching)
                && prefer.contains(&dial.prefer)
                && dial.times != Some(0)
        });
        let Some(dial) = found else {
            return RestDial::default();
        };
        dial.times = dial.times.map(|times| times - 1);
        dial.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dials_are_read_from_json_and_missing_ones_are_off() {
        let json = br#"{"rest": [{"matching": "id=in.", "fault": {"status": 503}}, {"fault": "cut", "delay_ms": 5}],
                        "webhooks": {"drop": 0.5, "seed": 7}}"#;
        let mut dials = Dials::parse(json).unwrap();
        assert_eq!(
            dials.for_request("/rest/v1/articles?id=in.(1)", "").fault,
            Some(Fault::Status(503))
        );
        assert_eq!(
            dials.for_request("/rest/v1/articles", "").fault,
            Some(Fault::Cut)
        );
        assert_eq!((dials.webhooks.drop, dials.webhooks.delay_ms), (0.5, 0));
        assert_eq!(Dials::parse(b"{}").unwrap(), Dials::default());
    }

    #[test]
    fn a_dial_can_wait_for_a_preference_and_turn_itself_off() {
        let json = br#"{"rest": [{"prefer": "count=exact", "times": 1, "fault": {"refusal": {"status": 500, "code": "57014"}}}]}"#;
        let mut dials = Dials::parse(json).unwrap();
        assert_eq!(dials.for_request("/", "").fault, None);
        let code = "57014".to_owned();
        let refusal = Some(Fault::Refusal { status: 500, code });
        assert_eq!(dials.for_request("/", "count=exact").fault, refusal);
        assert_eq!(dials.for_request("/", "count=exact").fault, None);
    }

    #[test]
    fn wrong_dials_are_told_by_name() {
        let error = |json: &str| Dials::parse(json.as_bytes()).unwrap_err().to_string();
        assert!(error(r#"{"rests": []}"#).contains("unknown field `rests`"));
        assert!(error(r#"{"webhooks": {"drop": 1.5}}"#).contains("webhooks.drop is 1.5"));
        assert!(error(r#"{"rest": [{"fault": {"status": 200}}]}"#).contains("status 200"));
        assert!(error("nonsense").contains("line 1 column"));
    }
}
