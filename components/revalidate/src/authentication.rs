//! Webhook authentication: a secret as a bearer token (RFC 6750, section 2.1), or a signature
//! ([Standard Webhooks](https://www.standardwebhooks.com/)). A signature covers the body and the
//! time, and its secret never travels. Therefore a signing secret is not accepted as a bearer
//! token.
//!
//! Ids of webhooks are not stored: within the tolerance, a signed webhook can be replayed. That
//! costs a fetch and nothing else.

use afterword::problem::{OUT_OF_TOLERANCE, Problem, UNAUTHORIZED};
use standardwebhooks::Webhook;
use subtle::{Choice, ConstantTimeEq};

/// The maximum difference between a webhook's timestamp and the current time, in seconds, as
/// Standard Webhooks recommends.
const TOLERANCE: u64 = 5 * 60;

/// The maximum number of secrets: the current one, and another while it is being replaced.
const MAX_SECRETS: usize = 2;

/// The prefix of a signing secret. Base64 follows.
const SIGNING_PREFIX: &str = "whsec_";

/// The prefix that makes any text a bearer token.
const BEARER_PREFIX: &str = "bearer:";

/// The configured secrets (variable `webhook_secret`).
pub struct Secrets(Vec<Secret>);

enum Secret {
    /// A bearer token.
    Token(String),
    /// A secret that verifies signatures. The text is kept to recognize it in a bearer token.
    Signing { text: String, webhook: Webhook },
}

/// Why a webhook is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The error response.
    pub problem: &'static Problem,
    /// The reason for the log, which may be more detailed than the response.
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

/// The request has no credentials.
pub const NO_CREDENTIALS: Refusal =
    unauthorized("it has neither a bearer token nor a signature (`webhook-signature`)");

/// `Authorization` is repeated, or has another scheme.
pub const NO_BEARER: Refusal =
    unauthorized("its `Authorization` is not a single `Bearer` with a token");

/// The token is not one of the secrets.
pub const UNKNOWN_TOKEN: Refusal =
    unauthorized("the bearer token is unknown: it is not in `webhook_secret`");

/// The token is a signing secret.
pub const SIGNING_TOKEN: Refusal = unauthorized(
    "the bearer token is the signing secret, which should never travel: sign webhooks with it, or \
     set a plain token in `webhook_secret`; `bearer:whsec_…` there makes it a bearer token",
);

/// No secret is for signatures.
pub const NO_SIGNING_SECRET: Refusal = unauthorized(
    "it is signed, but no signing secret (`whsec_…`) is configured in `webhook_secret`",
);

/// A header of the signature is missing or repeated.
pub const INCOMPLETE_SIGNATURE: Refusal = unauthorized(
    "it is signed, but not with one each of `webhook-id`, `webhook-timestamp` and \
     `webhook-signature`",
);

/// The signature belongs to no secret.
pub const WRONG_SIGNATURE: Refusal = unauthorized(
    "the signature is wrong: no signing secret in `webhook_secret` produces it for this id, time \
     and body",
);

/// A signature with a recent timestamp, to be verified against the body.
pub struct Signature {
    id: String,
    /// Seconds since 1970.
    timestamp: i64,
    /// One or more of `v1,` and base64, separated by spaces.
    signatures: String,
}

/// What the headers of a webhook prove about its sender.
pub enum Credentials {
    /// A valid bearer token.
    BearerToken,
    /// A signature, which must be verified against the body.
    Signature(Signature),
}

/// Quotation marks that people copy together with a secret.
const QUOTATION_MARKS: [char; 7] = ['"', '\'', '`', '“', '”', '‘', '’'];

impl Secret {
    /// # Errors
    /// The text looks as if too much or too little was copied. The error does not contain it.
    fn parse(text: &str) -> Result<Self, &'static str> {
        if let Some(token) = text.strip_prefix(BEARER_PREFIX) {
            return match token {
                "" => Err("nothing follows `bearer:`: the token must follow without a space"),
                token => Ok(Self::Token(token.to_owned())),
            };
        }
        let lower = text.to_ascii_lowercase();
        if text.starts_with(QUOTATION_MARKS) || text.ends_with(QUOTATION_MARKS) {
            Err("a secret is in quotation marks: remove them")
        } else if lower == "bearer"
            || lower.starts_with(BEARER_PREFIX)
            || lower.starts_with("authorization:")
        {
            Err("it contains a header's text: remove `Authorization:` and `Bearer`")
        } else if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            Err(
                "a secret contains a character that is not visible ASCII: copy it again; \
                 `bearer:` before it makes it a bearer token as it is",
            )
        } else if let Some(base64) = text.strip_prefix(SIGNING_PREFIX) {
            match Webhook::new(text) {
                Ok(webhook) if !base64.is_empty() => Ok(Self::Signing {
                    text: text.to_owned(),
                    webhook,
                }),
                _ => Err(
                    "the text after `whsec_` is not base64 (`A-Z a-z 0-9 + /`, with `=` at the \
                     end): copy the secret again; `bearer:` before it makes it a bearer token",
                ),
            }
        } else if lower.starts_with("v1,") {
            Err("a secret begins with `v1,`: remove that")
        } else if lower.contains(SIGNING_PREFIX) {
            Err(
                "a signing secret begins with `whsec_`, in lower case: remove the text before it; \
                 `bearer:` before all makes it a bearer token",
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

impl Secrets {
    /// Parses one secret, or two separated by a space. A secret with the prefix `whsec_` verifies
    /// signatures. Any other is a bearer token, without its prefix `bearer:`.
    ///
    /// # Errors
    /// A sentence for the operator, without the secrets.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let secrets: Vec<&str> = text.split_ascii_whitespace().collect();
        if secrets.is_empty() {
            return Err("it is empty, and would accept every webhook");
        }
        if secrets.len() > MAX_SECRETS {
            return Err(
                "it contains more than two secrets: separate the current one and its successor by \
                 a space, and remove spaces within a secret",
            );
        }
        let secrets = secrets.into_iter().map(Secret::parse);
        secrets.collect::<Result<_, _>>().map(Self)
    }

    /// The first bearer token.
    pub fn bearer_token(&self) -> Option<&str> {
        self.0.iter().find_map(Secret::token)
    }

    /// Checks the headers, before the body is read. `header` returns the lines of a header; `now`
    /// the time in seconds since 1970.
    ///
    /// # Errors
    /// The webhook is refused, whatever its body is.
    pub fn authenticate(
        &self,
        header: impl Fn(&str) -> Vec<Vec<u8>>,
        now: impl FnOnce() -> u64,
    ) -> Result<Credentials, Refusal> {
        let Err(refusal) = self.check_token(&header("authorization")) else {
            return Ok(Credentials::BearerToken);
        };
        if header("webhook-signature").is_empty() {
            return Err(refusal);
        }
        if self.signing().next().is_none() {
            return Err(NO_SIGNING_SECRET);
        }
        let text = |name: &str| {
            let [line] = <[Vec<u8>; 1]>::try_from(header(name)).ok()?;
            String::from_utf8(line).ok()
        };
        let (Some(id), Some(timestamp), Some(signatures)) = (
            text("webhook-id"),
            text("webhook-timestamp"),
            text("webhook-signature"),
        ) else {
            return Err(INCOMPLETE_SIGNATURE);
        };
        let now = now();
        let timestamp = timestamp
            .parse()
            .ok()
            .filter(|&timestamp: &i64| {
                u64::try_from(timestamp).is_ok_and(|it| it.abs_diff(now) <= TOLERANCE)
            })
            .ok_or(&OUT_OF_TOLERANCE)?;
        Ok(Credentials::Signature(Signature {
            id,
            timestamp,
            signatures,
        }))
    }

    fn check_token(&self, authorization: &[Vec<u8>]) -> Result<(), Refusal> {
        let value = match authorization {
            [] => return Err(NO_CREDENTIALS),
            [value] => value,
            _ => return Err(NO_BEARER),
        };
        let Some((scheme, token)) = value.split_at_checked("Bearer ".len()) else {
            return Err(NO_BEARER);
        };
        if !scheme.eq_ignore_ascii_case(b"Bearer ") {
            return Err(NO_BEARER);
        }
        let equals = |secret: &str| token.ct_eq(secret.as_bytes());
        let valid = any(self.0.iter().filter_map(Secret::token).map(equals));
        let signing = any(self.signing().map(|(text, _)| equals(text)));
        match (valid.into(), signing.into()) {
            (true, _) => Ok(()),
            (false, true) => Err(SIGNING_TOKEN),
            (false, false) => Err(UNKNOWN_TOKEN),
        }
    }

    fn signing(&self) -> impl Iterator<Item = (&str, &Webhook)> {
        self.0.iter().filter_map(Secret::signing)
    }

    /// Whether one of the secrets produces the signature for this body.
    pub fn verify(&self, signature: &Signature, body: &[u8]) -> bool {
        let valid = any(self.signing().filter_map(|(_, webhook)| {
            // Fails for a body that is not UTF-8, and therefore not JSON.
            let expected = webhook
                .sign(&signature.id, signature.timestamp, body)
                .ok()?;
            let equals = |given: &str| given.as_bytes().ct_eq(expected.as_bytes());
            Some(any(signature.signatures.split(' ').map(equals)))
        }));
        valid.into()
    }
}

/// Whether a choice is true. Evaluates all of them, so that the time does not reveal which one.
fn any(choices: impl Iterator<Item = Choice>) -> Choice {
    choices.fold(Choice::from(0), |any, choice| any | choice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    /// From Standard Webhooks' own tests: `libraries/rust/src/lib.rs`, `test_sign`.
    const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    const ID: &str = "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk";
    const TIME: u64 = 1_649_367_553;
    const BODY: &[u8] = br#"{"email":"test@example.com","username":"test_user"}"#;
    const SIGNATURE: &str = "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=";

    /// Headers, each as its lines.
    struct Headers {
        authorization: Vec<Vec<u8>>,
        id: Vec<Vec<u8>>,
        timestamp: Vec<Vec<u8>>,
        signature: Vec<Vec<u8>>,
    }

    impl Headers {
        fn lines(&self, name: &str) -> Vec<Vec<u8>> {
            match name {
                "authorization" => self.authorization.clone(),
                "webhook-id" => self.id.clone(),
                "webhook-timestamp" => self.timestamp.clone(),
                "webhook-signature" => self.signature.clone(),
                other => panic!("{other} is not needed"),
            }
        }
    }

    fn line(text: &str) -> Vec<Vec<u8>> {
        vec![text.as_bytes().to_vec()]
    }

    fn signed(signature: &str) -> Headers {
        Headers {
            authorization: Vec::new(),
            id: line(ID),
            timestamp: line(&TIME.to_string()),
            signature: line(signature),
        }
    }

    fn accepts(secrets: &str, headers: &Headers, body: &[u8], now: u64) -> bool {
        let secrets = Secrets::parse(secrets).unwrap();
        match secrets.authenticate(|name| headers.lines(name), || now) {
            Ok(Credentials::BearerToken) => true,
            Ok(Credentials::Signature(signature)) => secrets.verify(&signature, body),
            Err(_) => false,
        }
    }

    #[test]
    fn the_specifications_own_signature_accepts() {
        assert!(accepts(SECRET, &signed(SIGNATURE), BODY, TIME));
        // The tests of its other libraries have this one, too.
        let plain = Headers {
            timestamp: line("1614265330"),
            id: line("msg_p5jXN8AQM9LWM0D4loKWxJek"),
            ..signed("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
        };
        let body = br#"{"test": 2432232314}"#;
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        assert!(accepts(secret, &plain, body, 1_614_265_330));
    }

    #[test]
    fn one_right_signature_among_several_accepts() {
        let wrong = "v1,Mm7xgUVICxZfQ3bgf0h0Dof65L/IFx+PnZvnDWPCX6Q=";
        let several = format!(
            "{wrong} v2,xyz v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg== {SIGNATURE} {wrong}"
        );
        assert!(accepts(SECRET, &signed(&several), BODY, TIME));
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
                !accepts(SECRET, &signed(signatures), BODY, TIME),
                "{signatures}"
            );
        }
    }

    #[test]
    fn another_body_id_or_secret_is_refused() {
        assert!(!accepts(SECRET, &signed(SIGNATURE), b"{}", TIME));
        assert!(!accepts(SECRET, &signed(SIGNATURE), b"\xff", TIME));
        let other_id = Headers {
            id: line("msg_other"),
            ..signed(SIGNATURE)
        };
        assert!(!accepts(SECRET, &other_id, BODY, TIME));
        for secret in ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "s3cret"] {
            assert!(!accepts(secret, &signed(SIGNATURE), BODY, TIME));
        }
    }

    #[test]
    fn a_timestamp_more_than_five_minutes_off_is_refused() {
        for now in [TIME - 300, TIME + 300] {
            assert!(accepts(SECRET, &signed(SIGNATURE), BODY, now));
        }
        for now in [TIME - 301, TIME + 301, 0, u64::MAX] {
            assert!(!accepts(SECRET, &signed(SIGNATURE), BODY, now));
        }
        let secrets = Secrets::parse(SECRET).unwrap();
        for timestamp in ["", "now", "-1", "1e9", "-9223372036854775808"] {
            let headers = Headers {
                timestamp: line(timestamp),
                ..signed(SIGNATURE)
            };
            let refused = secrets
                .authenticate(|name| headers.lines(name), || TIME)
                .err();
            let problem = refused.map(|refusal| refusal.problem);
            assert_eq!(problem, Some(&OUT_OF_TOLERANCE), "{timestamp}");
        }
    }

    #[test]
    fn without_a_signing_secret_every_signature_is_refused() {
        let secrets = Secrets::parse("s3cret").unwrap();
        let headers = signed(SIGNATURE);
        let refused = secrets
            .authenticate(|name| headers.lines(name), || TIME)
            .err();
        assert_eq!(refused, Some(NO_SIGNING_SECRET));
    }

    #[test]
    fn a_missing_or_repeated_signature_header_is_refused() {
        let missing = |change: fn(&mut Headers)| {
            let mut headers = signed(SIGNATURE);
            change(&mut headers);
            assert!(!accepts(SECRET, &headers, BODY, TIME));
        };
        missing(|headers| headers.id.clear());
        missing(|headers| headers.timestamp.clear());
        missing(|headers| headers.signature.clear());
        missing(|headers| headers.signature.push(SIGNATURE.into()));
    }

    fn bearer(header: &str) -> Headers {
        Headers {
            authorization: line(header),
            id: Vec::new(),
            timestamp: Vec::new(),
            signature: Vec::new(),
        }
    }

    #[test]
    fn both_of_two_secrets_are_accepted() {
        let both = format!("the-old-one {SECRET}");
        for header in ["Bearer the-old-one", "bearer the-old-one"] {
            assert!(accepts(&both, &bearer(header), BODY, TIME));
        }
        assert!(accepts(&both, &signed(SIGNATURE), BODY, TIME));
        let signed_with_a_gateways_token = Headers {
            authorization: line("Bearer of-a-gateway"),
            ..signed(SIGNATURE)
        };
        assert!(accepts(&both, &signed_with_a_gateways_token, BODY, TIME));
        for header in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer the-old",
            "Bearer the-old-one whsec_",
            &format!("Bearer {both}"),
            "Basic the-old-one",
            "the-old-one",
        ] {
            assert!(!accepts(&both, &bearer(header), BODY, TIME), "{header}");
        }
    }

    #[test]
    fn a_signing_secret_is_a_bearer_token_only_with_the_prefix() {
        let token = bearer(&format!("Bearer {SECRET}"));
        let bearer_secret = format!("bearer:{SECRET}");
        assert!(!accepts(SECRET, &token, BODY, TIME));
        assert!(accepts(&bearer_secret, &token, BODY, TIME));
        assert!(!accepts(&bearer_secret, &signed(SIGNATURE), BODY, TIME));
        assert!(!accepts(
            &bearer_secret,
            &bearer(&format!("Bearer {bearer_secret}")),
            BODY,
            TIME
        ));
        let both = format!("{bearer_secret} {SECRET}");
        assert!(accepts(&both, &token, BODY, TIME));
        assert!(accepts(&both, &signed(SIGNATURE), BODY, TIME));
        for odd in ["whsec_", "\"quoted\"", "v1,whsec_x", "thé"] {
            let secret = format!("bearer:{odd}");
            assert!(accepts(
                &secret,
                &bearer(&format!("Bearer {odd}")),
                BODY,
                TIME
            ));
        }
    }

    #[test]
    fn a_refusal_names_the_reason() {
        let refused = |secrets: &str, headers: &Headers| {
            let secrets = Secrets::parse(secrets).unwrap();
            secrets
                .authenticate(|name| headers.lines(name), || TIME)
                .err()
        };
        let nothing = Headers {
            authorization: Vec::new(),
            ..bearer("")
        };
        let twice = Headers {
            authorization: vec![b"Bearer s3cret".to_vec(), b"Bearer s3cret".to_vec()],
            ..bearer("")
        };
        let half_signed = Headers {
            id: Vec::new(),
            ..signed(SIGNATURE)
        };
        for (headers, refusal) in [
            (nothing, NO_CREDENTIALS),
            (twice, NO_BEARER),
            (bearer(""), NO_BEARER),
            (bearer("Bearer"), NO_BEARER),
            (bearer("Basic s3cret"), NO_BEARER),
            (bearer("Bearer wrong"), UNKNOWN_TOKEN),
            (bearer(&format!("Bearer {SECRET}")), SIGNING_TOKEN),
            (half_signed, INCOMPLETE_SIGNATURE),
        ] {
            assert_eq!(
                refused(&format!("s3cret {SECRET}"), &headers),
                Some(refusal)
            );
        }
    }

    #[test]
    fn invalid_secrets_are_refused_without_being_shown() {
        for (text, what_to_do) in [
            ("", "empty"),
            (" ", "empty"),
            ("one two three", "remove spaces"),
            ("whsec_", "not base64"),
            ("whsec_no-base64!", "not base64"),
            ("whsec_AAAA,whsec_AAAA", "not base64"),
            ("whsec_AAAA\"", "quotation marks"),
            ("a whsec_", "not base64"),
            ("v1,whsec_AAAA", "remove that"),
            ("V1,other", "remove that"),
            ("WHSEC_AAAA", "lower case"),
            ("secret=whsec_AAAA", "text before"),
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
                .unwrap_or_else(|| panic!("{text} is accepted"));
            assert!(error.contains(what_to_do), "{text}: {error}");
            for part in ["three", "no-base64", "AAAA", "quoted"] {
                assert!(!error.contains(part), "{text}: {error}");
            }
        }
        assert!(Secrets::parse(" one  two ").is_ok());
    }

    #[test]
    fn every_recorded_signature_of_a_real_trigger_is_accepted_at_its_time() {
        const RECORDED: &str = include_str!("../../../tests/data/pg_net-webhooks.jsonl");
        let secret = "s3cret whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let mut accepted = 0;
        for recorded in RECORDED.lines() {
            let webhook: Value = serde_json::from_str(recorded).unwrap();
            let header = |name: &str| {
                webhook["headers"][name]
                    .as_str()
                    .map(line)
                    .unwrap_or_default()
            };
            let headers = Headers {
                authorization: header("authorization"),
                id: header("webhook-id"),
                timestamp: header("webhook-timestamp"),
                signature: header("webhook-signature"),
            };
            let now = webhook["headers"]["webhook-timestamp"]
                .as_str()
                .map_or(0, |timestamp| timestamp.parse().unwrap());
            let body = webhook["body"].as_str().unwrap().as_bytes();
            assert!(accepts(secret, &headers, body, now), "{recorded}");
            if webhook["path"] == "/signed" {
                accepted += 1;
                assert!(!accepts(secret, &headers, &body[1..], now), "{recorded}");
                assert!(!accepts(secret, &headers, body, now + 301), "{recorded}");
            }
        }
        assert_eq!(accepted, 15);
    }
}
