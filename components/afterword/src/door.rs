//! Who may post a webhook: whoever sends a secret as a bearer token (RFC 6750, section 2.1), or has
//! signed the webhook ([Standard Webhooks](https://www.standardwebhooks.com/)). A signature covers
//! the body and a time, and its secret never travels: so a signing secret is not also a bearer
//! token.
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

/// What a secret begins with that is a bearer token whatever follows.
const BEARER: &str = "bearer:";

/// The secrets that open the door.
pub struct Secrets(Vec<Secret>);

enum Secret {
    /// A bearer token.
    Token(String),
    /// A secret that verifies signatures. Its text is kept to recognize it where it is sent as a
    /// bearer token.
    Signing { text: String, webhook: Webhook },
}

/// Why a webhook is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The answer.
    pub problem: &'static Problem,
    /// The reason for the log, which may say more than the answer.
    pub why: &'static str,
}

impl From<&'static Problem> for Refusal {
    fn from(problem: &'static Problem) -> Self {
        Self {
            problem,
            why: problem.detail,
        }
    }
}

const fn unauthorized(why: &'static str) -> Refusal {
    Refusal {
        problem: &UNAUTHORIZED,
        why,
    }
}

/// The request has neither of the two.
pub const NEITHER: Refusal =
    unauthorized("it has neither a bearer token nor a signature (`webhook-signature`)");

/// `Authorization` is there more than once, or of another scheme.
pub const NO_BEARER: Refusal =
    unauthorized("its `Authorization` is not a single `Bearer` with a token");

/// The token is none of the secrets.
pub const UNKNOWN_TOKEN: Refusal =
    unauthorized("the bearer token is unknown: it is not in `webhook_secret`");

/// The token is a secret for signatures.
pub const SIGNING_TOKEN: Refusal = unauthorized(
    "the bearer token is the signing secret, which should never travel: sign webhooks with it, or \
     set a plain token in `webhook_secret`; `bearer:whsec_…` there makes it a bearer token",
);

/// No secret is for signatures.
pub const NO_SIGNING_SECRET: Refusal = unauthorized(
    "it is signed, but no signing secret (`whsec_…`) is configured in `webhook_secret`",
);

/// A field of the signature is missing, or there more than once.
pub const INCOMPLETE_SIGNATURE: Refusal = unauthorized(
    "it is signed, but not with one each of `webhook-id`, `webhook-timestamp` and \
     `webhook-signature`",
);

/// No secret has made the signature.
pub const WRONG_SIGNATURE: Refusal = unauthorized(
    "the signature is wrong: no signing secret in `webhook_secret` made it for this id, time, body",
);

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

impl Secret {
    /// # Errors
    /// A secret that looks as if it had been copied with more, or less, than itself: it says what
    /// to do, and nothing of the secret.
    fn parse(text: &str) -> Result<Self, &'static str> {
        if let Some(token) = text.strip_prefix(BEARER) {
            return match token {
                "" => Err("nothing follows `bearer:`: the token has to, without a space before it"),
                token => Ok(Self::Token(token.to_owned())),
            };
        }
        let lower = text.to_ascii_lowercase();
        if text.starts_with(QUOTES) || text.ends_with(QUOTES) {
            Err("a secret is in quotation marks: leave them out")
        } else if lower == "bearer"
            || lower.starts_with(BEARER)
            || lower.starts_with("authorization:")
        {
            Err("it holds a header's text: leave out `Authorization:` and `Bearer`")
        } else if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            Err(
                "a secret holds a character that is not visible ASCII: copy it once more; \
                 `bearer:` before it makes it a bearer token as it is",
            )
        } else if let Some(base64) = text.strip_prefix(SIGNING) {
            match Webhook::new(text) {
                Ok(webhook) if !base64.is_empty() => Ok(Self::Signing {
                    text: text.to_owned(),
                    webhook,
                }),
                _ => Err(
                    "what follows `whsec_` is not base64 (`A-Z a-z 0-9 + /`, with `=` at the end): \
                     copy the secret once more; `bearer:` before it makes it a bearer token",
                ),
            }
        } else if lower.starts_with("v1,") {
            Err("a secret begins with `v1,`: leave that out")
        } else if lower.contains(SIGNING) {
            Err(
                "a signing secret begins with `whsec_`, in lower case: leave out what stands \
                 before it; `bearer:` before all makes it a bearer token",
            )
        } else {
            Ok(Self::Token(text.to_owned()))
        }
    }

    fn token(&self) -> Option<&str> {
        match self {
            Self::Token(token) => Some(token),
            Self::Signing { .. } => None,
        }
    }

    fn signing(&self) -> Option<(&str, &Webhook)> {
        match self {
            Self::Token(_) => None,
            Self::Signing { text, webhook } => Some((text, webhook)),
        }
    }
}

/// What people quote with, where a shell or a file would not take it off.
const QUOTES: [char; 7] = ['"', '\'', '`', '“', '”', '‘', '’'];

impl Secrets {
    /// One secret, or two with a space between them. One that begins with `whsec_` verifies
    /// signatures; any other is a bearer token, without the `bearer:` that it may begin with.
    ///
    /// # Errors
    /// A sentence that says what to do, without anything of the secrets.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let secrets: Vec<&str> = text.split_ascii_whitespace().collect();
        if secrets.is_empty() {
            return Err("it is empty, and would let everybody in");
        }
        if secrets.len() > MOST {
            return Err(
                "it holds more than two secrets: there is a space between the one in use and its successor, and none within one",
            );
        }
        let secrets = secrets.into_iter().map(Secret::parse);
        secrets.collect::<Result<_, _>>().map(Self)
    }

    /// What is known before the body is read, from the request's fields, of which `lines` gives
    /// those with a name; `now` is in seconds since 1970.
    ///
    /// # Errors
    /// Why the sender has to stay out.
    pub fn knock(&self, lines: impl Fn(&str) -> Vec<Vec<u8>>, now: u64) -> Result<Knock, Refusal> {
        let Err(refusal) = self.admit(&lines("authorization")) else {
            return Ok(Knock::Admitted);
        };
        if lines("webhook-signature").is_empty() {
            return Err(refusal);
        }
        // No signature could let the sender in: the body is not read.
        if self.signing().next().is_none() {
            return Err(NO_SIGNING_SECRET);
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
            return Err(INCOMPLETE_SIGNATURE);
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

    fn admit(&self, authorization: &[Vec<u8>]) -> Result<(), Refusal> {
        let [field] = authorization else {
            return Err(if authorization.is_empty() {
                NEITHER
            } else {
                NO_BEARER
            });
        };
        let Some((scheme, token)) = field.split_at_checked("Bearer ".len()) else {
            return Err(NO_BEARER);
        };
        if !scheme.eq_ignore_ascii_case(b"Bearer ") {
            return Err(NO_BEARER);
        }
        let is = |secret: &str| token.ct_eq(secret.as_bytes());
        let right = any(self.0.iter().filter_map(Secret::token).map(is));
        let signing = any(self.signing().map(|(text, _)| is(text)));
        match (right.into(), signing.into()) {
            (true, _) => Ok(()),
            (false, true) => Err(SIGNING_TOKEN),
            (false, false) => Err(UNKNOWN_TOKEN),
        }
    }

    fn signing(&self) -> impl Iterator<Item = (&str, &Webhook)> {
        self.0.iter().filter_map(Secret::signing)
    }

    /// Whether one of the secrets has signed this body so.
    pub fn verify(&self, signature: &Signature, body: &[u8]) -> bool {
        let right = any(self.signing().filter_map(|(_, webhook)| {
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
            let problem = refused.map(|refusal| refusal.problem);
            assert_eq!(problem, Some(&OUT_OF_TOLERANCE), "{timestamp}");
        }
    }

    #[test]
    fn without_a_signing_secret_no_signature_is_looked_at() {
        let secrets = Secrets::parse("s3cret").unwrap();
        let fields = signed(SIGNATURE);
        let refused = secrets.knock(|name| fields.lines(name), TIME).err();
        assert_eq!(refused, Some(NO_SIGNING_SECRET));
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
        for field in ["Bearer the-old-one", "bearer the-old-one"] {
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
    fn a_signing_secret_is_a_bearer_token_only_with_the_prefix() {
        let token = bearer(&format!("Bearer {SECRET}"));
        let bearer_secret = format!("bearer:{SECRET}");
        assert!(!opens(SECRET, &token, BODY, TIME));
        assert!(opens(&bearer_secret, &token, BODY, TIME));
        assert!(!opens(&bearer_secret, &signed(SIGNATURE), BODY, TIME));
        assert!(!opens(
            &bearer_secret,
            &bearer(&format!("Bearer {bearer_secret}")),
            BODY,
            TIME
        ));
        let both = format!("{bearer_secret} {SECRET}");
        assert!(opens(&both, &token, BODY, TIME));
        assert!(opens(&both, &signed(SIGNATURE), BODY, TIME));
        for odd in ["whsec_", "\"quoted\"", "v1,whsec_x", "thé"] {
            let secret = format!("bearer:{odd}");
            assert!(opens(
                &secret,
                &bearer(&format!("Bearer {odd}")),
                BODY,
                TIME
            ));
        }
    }

    #[test]
    fn a_refusal_says_what_was_missing() {
        let refused = |secrets: &str, fields: &Fields| {
            let secrets = Secrets::parse(secrets).unwrap();
            secrets.knock(|name| fields.lines(name), TIME).err()
        };
        let nothing = Fields {
            authorization: Vec::new(),
            ..bearer("")
        };
        let twice = Fields {
            authorization: vec![b"Bearer s3cret".to_vec(), b"Bearer s3cret".to_vec()],
            ..bearer("")
        };
        let half_signed = Fields {
            id: Vec::new(),
            ..signed(SIGNATURE)
        };
        for (fields, refusal) in [
            (nothing, NEITHER),
            (twice, NO_BEARER),
            (bearer(""), NO_BEARER),
            (bearer("Bearer"), NO_BEARER),
            (bearer("Basic s3cret"), NO_BEARER),
            (bearer("Bearer wrong"), UNKNOWN_TOKEN),
            (bearer(&format!("Bearer {SECRET}")), SIGNING_TOKEN),
            (half_signed, INCOMPLETE_SIGNATURE),
        ] {
            assert_eq!(refused(&format!("s3cret {SECRET}"), &fields), Some(refusal));
        }
    }

    #[test]
    fn secrets_that_cannot_be_used_are_refused_with_what_to_do_and_without_being_told() {
        for (text, what_to_do) in [
            ("", "empty"),
            (" ", "empty"),
            ("one two three", "none within one"),
            ("whsec_", "not base64"),
            ("whsec_no-base64!", "not base64"),
            ("whsec_AAAA,whsec_AAAA", "not base64"),
            ("whsec_AAAA\"", "quotation marks"),
            ("a whsec_", "not base64"),
            ("v1,whsec_AAAA", "leave that out"),
            ("V1,other", "leave that out"),
            ("WHSEC_AAAA", "lower case"),
            ("secret=whsec_AAAA", "what stands before"),
            ("\"quoted\"", "quotation marks"),
            ("'quoted'", "quotation marks"),
            ("\"two words\"", "quotation marks"),
            ("“quoted”", "quotation marks"),
            ("Bearer no-base64", "`Bearer`"),
            ("bearer no-base64", "`Bearer`"),
            ("Bearer:no-base64", "`Bearer`"),
            ("Authorization: Bearer", "`Authorization:`"),
            ("bearer:", "nothing follows"),
            ("bearer: no-base64", "nothing follows"),
            ("no-base64\u{200b}", "visible ASCII"),
        ] {
            let error = Secrets::parse(text)
                .err()
                .unwrap_or_else(|| panic!("{text} is taken"));
            assert!(error.contains(what_to_do), "{text}: {error}");
            for part in ["three", "no-base64", "AAAA", "quoted"] {
                assert!(!error.contains(part), "{text}: {error}");
            }
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
