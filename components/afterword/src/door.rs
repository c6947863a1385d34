//! Who may post a webhook: whoever shows the shared secret as a bearer token (RFC 6750, section 2.1), or has signed the webhook with
//! it ([Standard Webhooks](https://www.standardwebhooks.com/)). A signature is worth more: it covers the body and a time, and the
//! secret itself never travels.
//!
//! No webhook's id is kept. Within the tolerance a signed webhook can be replayed, which costs a fetch and nothing else.

use crate::problem::{OUT_OF_TOLERANCE, Problem, UNAUTHORIZED};
use standardwebhooks::Webhook;
use subtle::{Choice, ConstantTimeEq};

/// How far a signed webhook's time may be from now, in seconds: Standard Webhooks' own number.
const TOLERANCE: u64 = 5 * 60;

/// The most secrets at once: the one in use, and another while it is being replaced.
const MOST: usize = 2;

/// What a signing secret begins with; base64 follows.
const SIGNING: &str = "whsec_";

/// The secrets that open the door.
pub struct Secrets(Vec<Secret>);

struct Secret {
    token: String,
    /// Verifies signatures, if the secret is one for that.
    webhook: Option<Webhook>,
}

/// A signature that is recent, and is still to be held against the body.
pub struct Signature {
    id: String,
    /// Seconds since 1970.
    timestamp: i64,
    /// `v1,` and base64, once or more often, with spaces between.
    signatures: String,
}

/// What a request's fields say about who sent it.
pub enum Knock {
    /// The bearer token is right.
    Admitted,
    /// The [`Signature`] has to be right.
    Signed(Signature),
}

impl Secrets {
    /// One secret, or two with a space between them. One that begins with `whsec_` verifies signatures, too.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let tokens: Vec<&str> = text.split_ascii_whitespace().collect();
        if tokens.is_empty() {
            return Err("it is empty, and would let everybody in");
        }
        if tokens.len() > MOST {
            return Err(
                "it holds more than two secrets: there is a space between the one in use and its successor, and none within one",
            );
        }
        let secrets = tokens.into_iter().map(|token| {
            let webhook = match token.strip_prefix(SIGNING) {
                None => None,
                Some("") => return Err("nothing follows `whsec_`"),
                Some(_) => {
                    Some(Webhook::new(token).map_err(|_| "what follows `whsec_` is no base64")?)
                }
            };
            Ok(Secret {
                token: token.to_owned(),
                webhook,
            })
        });
        secrets.collect::<Result<_, _>>().map(Self)
    }

    /// What is known before the body is read, from the request's fields, of which `lines` gives those with a name; `now` is in seconds
    /// since 1970. An error is the answer to whoever has to stay out.
    pub fn knock(
        &self,
        lines: impl Fn(&str) -> Vec<Vec<u8>>,
        now: u64,
    ) -> Result<Knock, &'static Problem> {
        if self.admit(&lines("authorization")) {
            return Ok(Knock::Admitted);
        }
        // Who could not be let in by any signature is not listened to.
        if self.0.iter().all(|secret| secret.webhook.is_none()) {
            return Err(&UNAUTHORIZED);
        }
        let text = |name: &str| {
            let [line] = <[Vec<u8>; 1]>::try_from(lines(name)).ok()?;
            String::from_utf8(line).ok()
        };
        let (Some(id), Some(timestamp), Some(signatures)) = (
            text("webhook-id"),
            text("webhook-timestamp"),
            text("webhook-signature"),
        ) else {
            return Err(&UNAUTHORIZED);
        };
        let timestamp = timestamp
            .parse()
            .ok()
            .filter(|&timestamp: &i64| {
                u64::try_from(timestamp).is_ok_and(|it| it.abs_diff(now) <= TOLERANCE)
            })
            .ok_or(&OUT_OF_TOLERANCE)?;
        Ok(Knock::Signed(Signature {
            id,
            timestamp,
            signatures,
        }))
    }

    fn admit(&self, authorization: &[Vec<u8>]) -> bool {
        let [field] = authorization else { return false };
        let Some((scheme, token)) = field.split_at_checked("Bearer ".len()) else {
            return false;
        };
        let same = |secret: &Secret| token.ct_eq(secret.token.as_bytes());
        let right = any(self.0.iter().map(same));
        scheme.eq_ignore_ascii_case(b"Bearer ") && right.into()
    }

    /// Whether one of the secrets has signed this body so.
    pub fn verify(&self, signature: &Signature, body: &[u8]) -> bool {
        let right = any(self.0.iter().filter_map(|secret| {
            let webhook = secret.webhook.as_ref()?;
            // Not for a body that is not UTF-8, and so no JSON.
            let right = webhook
                .sign(&signature.id, signature.timestamp, body)
                .ok()?;
            let same = |given: &str| given.as_bytes().ct_eq(right.as_bytes());
            Some(any(signature.signatures.split(' ').map(same)))
        }));
        right.into()
    }
}

/// Whether one of them is true. Looks at all, so that the time tells nothing of which.
fn any(choices: impl Iterator<Item = Choice>) -> Choice {
    choices.fold(Choice::from(0), |any, choice| any | choice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    /// Of Standard Webhooks' own tests: `libraries/rust/src/lib.rs`, `test_sign`.
    const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    const ID: &str = "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk";
    const TIME: u64 = 1_649_367_553;
    const BODY: &[u8] = br#"{"email":"test@example.com","username":"test_user"}"#;
    const SIGNATURE: &str = "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=";

    /// Fields, line by line.
    struct Fields {
        authorization: Vec<Vec<u8>>,
        id: Vec<Vec<u8>>,
        timestamp: Vec<Vec<u8>>,
        signature: Vec<Vec<u8>>,
    }

    impl Fields {
        fn lines(&self, name: &str) -> Vec<Vec<u8>> {
            match name {
                "authorization" => self.authorization.clone(),
                "webhook-id" => self.id.clone(),
                "webhook-timestamp" => self.timestamp.clone(),
                "webhook-signature" => self.signature.clone(),
                other => panic!("{other} is no field of the door's"),
            }
        }
    }

    fn line(text: &str) -> Vec<Vec<u8>> {
        vec![text.as_bytes().to_vec()]
    }

    fn signed(signature: &str) -> Fields {
        Fields {
            authorization: Vec::new(),
            id: line(ID),
            timestamp: line(&TIME.to_string()),
            signature: line(signature),
        }
    }

    fn opens(secrets: &str, fields: &Fields, body: &[u8], now: u64) -> bool {
        let secrets = Secrets::parse(secrets).unwrap();
        match secrets.knock(|name| fields.lines(name), now) {
            Ok(Knock::Admitted) => true,
            Ok(Knock::Signed(signature)) => secrets.verify(&signature, body),
            Err(_) => false,
        }
    }

    #[test]
    fn the_specifications_own_signature_opens() {
        assert!(opens(SECRET, &signed(SIGNATURE), BODY, TIME));
        // The tests of its other libraries have this one, too.
        let plain = Fields {
            timestamp: line("1614265330"),
            id: line("msg_p5jXN8AQM9LWM0D4loKWxJek"),
            ..signed("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
        };
        let body = br#"{"test": 2432232314}"#;
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        assert!(opens(secret, &plain, body, 1_614_265_330));
    }

    #[test]
    fn one_right_signature_among_several_opens() {
        let wrong = "v1,Mm7xgUVICxZfQ3bgf0h0Dof65L/IFx+PnZvnDWPCX6Q=";
        let several = format!(
            "{wrong} v2,xyz v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg== {SIGNATURE} {wrong}"
        );
        assert!(opens(SECRET, &signed(&several), BODY, TIME));
        let bare = &SIGNATURE["v1,".len()..];
        for signatures in [
            wrong,
            "",
            "v1,",
            &SIGNATURE[..8],
            bare,
            &format!("v2,{bare}"),
        ] {
            assert!(
                !opens(SECRET, &signed(signatures), BODY, TIME),
                "{signatures}"
            );
        }
    }

    #[test]
    fn another_body_id_or_secret_does_not_open() {
        assert!(!opens(SECRET, &signed(SIGNATURE), b"{}", TIME));
        assert!(!opens(SECRET, &signed(SIGNATURE), b"\xff", TIME));
        let other_id = Fields {
            id: line("msg_other"),
            ..signed(SIGNATURE)
        };
        assert!(!opens(SECRET, &other_id, BODY, TIME));
        for secret in ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "s3cret"] {
            assert!(!opens(secret, &signed(SIGNATURE), BODY, TIME));
        }
    }

    #[test]
    fn a_time_further_than_five_minutes_from_now_does_not_open() {
        for now in [TIME - 300, TIME + 300] {
            assert!(opens(SECRET, &signed(SIGNATURE), BODY, now));
        }
        for now in [TIME - 301, TIME + 301, 0, u64::MAX] {
            assert!(!opens(SECRET, &signed(SIGNATURE), BODY, now));
        }
        let secrets = Secrets::parse(SECRET).unwrap();
        for timestamp in ["", "now", "-1", "1e9", "-9223372036854775808"] {
            let fields = Fields {
                timestamp: line(timestamp),
                ..signed(SIGNATURE)
            };
            let refused = secrets.knock(|name| fields.lines(name), TIME).err();
            assert_eq!(refused, Some(&OUT_OF_TOLERANCE), "{timestamp}");
        }
    }

    #[test]
    fn without_a_signing_secret_no_signature_is_looked_at() {
        let secrets = Secrets::parse("s3cret").unwrap();
        let fields = signed(SIGNATURE);
        let refused = secrets.knock(|name| fields.lines(name), TIME).err();
        assert_eq!(refused, Some(&UNAUTHORIZED));
    }

    #[test]
    fn a_field_that_is_missing_or_there_twice_does_not_open() {
        let missing = |change: fn(&mut Fields)| {
            let mut fields = signed(SIGNATURE);
            change(&mut fields);
            assert!(!opens(SECRET, &fields, BODY, TIME));
        };
        missing(|fields| fields.id.clear());
        missing(|fields| fields.timestamp.clear());
        missing(|fields| fields.signature.clear());
        missing(|fields| fields.signature.push(SIGNATURE.into()));
    }

    fn bearer(field: &str) -> Fields {
        Fields {
            authorization: line(field),
            id: Vec::new(),
            timestamp: Vec::new(),
            signature: Vec::new(),
        }
    }

    #[test]
    fn either_of_two_secrets_opens_in_either_way() {
        let both = format!("the-old-one {SECRET}");
        for field in ["Bearer the-old-one", &format!("bearer {SECRET}")] {
            assert!(opens(&both, &bearer(field), BODY, TIME));
        }
        assert!(opens(&both, &signed(SIGNATURE), BODY, TIME));
        let signed_for_another_gate = Fields {
            authorization: line("Bearer of-a-gateway"),
            ..signed(SIGNATURE)
        };
        assert!(opens(&both, &signed_for_another_gate, BODY, TIME));
        for field in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer the-old",
            "Bearer the-old-one whsec_",
            &format!("Bearer {both}"),
            "Basic the-old-one",
            "the-old-one",
        ] {
            assert!(!opens(&both, &bearer(field), BODY, TIME), "{field}");
        }
    }

    #[test]
    fn secrets_that_cannot_be_used_are_refused_without_being_told() {
        for text in [
            "",
            " ",
            "one two three",
            "whsec_",
            "whsec_no-base64!",
            "a whsec_",
        ] {
            let error = Secrets::parse(text).err().expect(text);
            assert!(!error.contains("three") && !error.contains("no-base64"));
        }
        assert!(Secrets::parse(" one  two ").is_ok());
    }

    #[test]
    fn every_recorded_signature_of_a_real_trigger_opens_at_its_time() {
        const RECORDED: &str = include_str!("../../../tests/data/pg_net-webhooks.jsonl");
        let secret = "s3cret whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let mut opened = 0;
        for recorded in RECORDED.lines() {
            let webhook: Value = serde_json::from_str(recorded).unwrap();
            let field = |name: &str| {
                webhook["headers"][name]
                    .as_str()
                    .map(line)
                    .unwrap_or_default()
            };
            let fields = Fields {
                authorization: field("authorization"),
                id: field("webhook-id"),
                timestamp: field("webhook-timestamp"),
                signature: field("webhook-signature"),
            };
            let now = webhook["headers"]["webhook-timestamp"]
                .as_str()
                .map_or(0, |timestamp| timestamp.parse().unwrap());
            let body = webhook["body"].as_str().unwrap().as_bytes();
            assert!(opens(secret, &fields, body, now), "{recorded}");
            if webhook["path"] == "/signed" {
                opened += 1;
                assert!(!opens(secret, &fields, &body[1..], now), "{recorded}");
                assert!(!opens(secret, &fields, body, now + 301), "{recorded}");
            }
        }
        assert_eq!(opened, 15);
    }
}
