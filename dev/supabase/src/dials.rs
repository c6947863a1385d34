//! Faults to switch on at run time, by `Supabase::set_dials` or by JSON with `PUT /dials`.

use serde::{Deserialize, Serialize};

/// All dials. The default, `{}` in JSON, is no fault.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Dials {
    /// Faults of REST responses. The first entry that matches a request applies.
    pub rest: Vec<RestDial>,
    /// Faults of webhooks.
    pub webhooks: WebhookDials,
}

/// The fault of matching REST requests.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RestDial {
    /// A part of the request's path and query as sent, such as `/articles?id=in.`. The empty text
    /// matches every request.
    pub matching: String,
    /// A part of the request's `Prefer` header, such as `count=exact`. The empty text matches every
    /// request.
    pub prefer: String,
    /// The number of requests before the dial turns itself off. `None` is unlimited.
    pub times: Option<u64>,
    /// The delay of the response in milliseconds. The delay begins after the request has read or
    /// written its rows and is in the log, so a slow response has the rows from before the delay.
    pub delay_ms: u64,
    /// The fault of the response, if any.
    pub fault: Option<Fault>,
    /// Seconds of a `Retry-After` header, with the faults `status` and `refusal`.
    pub retry_after: Option<u64>,
}

/// A fault of a REST response.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// `{"status": 503}`: this status, 400 to 599, with a gateway's JSON. No query runs.
    Status(u16),
    /// `{"refusal": {"status": 500, "code": "57014"}}`: an error with a code of PostgREST or
    /// PostgreSQL, and with a `message` if given. No query runs.
    Refusal {
        /// 400 to 599.
        status: u16,
        /// Such as `57014` (statement timeout) or `PGRST205` (table not in the schema cache).
        code: String,
        /// The error's message.
        #[serde(default = "told_to_fail")]
        message: String,
    },
    /// `"html"`: status 200 and an HTML page, as from a captive portal. No query runs.
    Html,
    /// `"drop"`: closes the connection without a response. No query runs.
    Drop,
    /// `"cut"`: closes the connection after half of the body.
    Cut,
}

impl Fault {
    /// An error with this status and code, and a message that tells nothing.
    pub fn refusal(status: u16, code: &str) -> Self {
        Self::Refusal {
            status,
            code: code.to_owned(),
            message: told_to_fail(),
        }
    }
}

/// The message of errors.
pub(crate) fn told_to_fail() -> String {
    "The stand-in was told to fail".to_owned()
}

/// Faults of webhooks.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct WebhookDials {
    /// The delay before sending in milliseconds.
    pub delay_ms: u64,
    /// The fraction of webhooks that are not sent, 0 to 1.
    pub drop: f64,
    /// The fraction of webhooks that are sent twice, 0 to 1.
    pub duplicate: f64,
    /// Holds webhooks back for this many milliseconds and sends them shuffled. 0 sends each
    /// immediately.
    pub reorder_ms: u64,
    /// The seed of the random numbers. Setting the dials restarts them.
    pub seed: u64,
}

impl Dials {
    /// Parses dials from JSON.
    ///
    /// # Errors
    /// When a name is unknown, a type is wrong, a fraction is not from 0 to 1, or a status is no
    /// error.
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

    /// The dial of a request. The request counts against the dial's `times`.
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
    fn missing_dials_in_json_are_off() {
        let json = br#"{"rest": [{"matching": "id=in.", "fault": {"status": 503}},
                                 {"fault": "cut", "delay_ms": 5}],
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
    fn a_dial_can_match_a_preference_and_turn_itself_off() {
        let json = br#"{"rest": [{"prefer": "count=exact", "times": 1,
                                  "fault": {"refusal": {"status": 500, "code": "57014"}}}]}"#;
        let mut dials = Dials::parse(json).unwrap();
        assert_eq!(dials.for_request("/", "").fault, None);
        let refusal = Some(Fault::refusal(500, "57014"));
        assert_eq!(dials.for_request("/", "count=exact").fault, refusal);
        assert_eq!(dials.for_request("/", "count=exact").fault, None);
    }

    #[test]
    fn an_error_names_a_wrong_dial() {
        let error = |json: &str| Dials::parse(json.as_bytes()).unwrap_err().to_string();
        assert!(error(r#"{"rests": []}"#).contains("unknown field `rests`"));
        assert!(error(r#"{"webhooks": {"drop": 1.5}}"#).contains("webhooks.drop is 1.5"));
        assert!(error(r#"{"rest": [{"fault": {"status": 200}}]}"#).contains("status 200"));
        assert!(error("nonsense").contains("line 1 column"));
    }
}
