//! The key that readers use.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use std::fmt;

/// A Supabase key of the anonymous role: a JWT, or one of the newer `sb_publishable_…` keys.
#[derive(Clone)]
pub struct ApiKey(String);

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(…)")
    }
}

#[derive(Deserialize)]
struct Claims {
    role: String,
}

impl ApiKey {
    /// The key, unless it is one that reads past row-level security: with that one, the cache would show everybody what they
    /// may not read.
    pub fn parse(key: String) -> Result<Self, &'static str> {
        if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("it is empty, or holds a space or a character that no key has");
        }
        if key.starts_with("sb_secret_") {
            return Err(
                "it is a secret key (sb_secret_…), which reads past row-level security; use the publishable key (sb_publishable_…)",
            );
        }
        if role(&key).as_deref() == Some("service_role") {
            return Err(
                "it is the service_role key, which reads past row-level security; use the anon key",
            );
        }
        Ok(Self(key))
    }

    /// The header fields that a request carries it in: `apikey`, and `authorization` if it is a JWT. PostgREST would take
    /// any other bearer token for a broken JWT.
    pub fn fields(&self) -> impl Iterator<Item = (&'static str, String)> {
        let bearer = claims(&self.0).map(|_| ("authorization", format!("Bearer {}", self.0)));
        std::iter::once(("apikey", self.0.clone())).chain(bearer)
    }
}

/// The payload of a JWT, unread.
fn claims(key: &str) -> Option<Vec<u8>> {
    let [_, payload, _] = key.split('.').collect::<Vec<_>>()[..] else {
        return None;
    };
    URL_SAFE_NO_PAD.decode(payload).ok()
}

fn role(key: &str) -> Option<String> {
    serde_json::from_slice::<Claims>(&claims(key)?)
        .ok()
        .map(|claims| claims.role)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jwt(role: &str) -> String {
        format!(
            "eyJhbGciOiJIUzI1NiJ9.{}.c2ln",
            URL_SAFE_NO_PAD.encode(format!(r#"{{"iss":"supabase","role":"{role}"}}"#))
        )
    }

    fn fields(key: &str) -> Vec<(&'static str, String)> {
        ApiKey::parse(key.into()).unwrap().fields().collect()
    }

    #[test]
    fn a_jwt_is_sent_as_a_bearer_token_too() {
        let key = jwt("anon");
        assert_eq!(
            fields(&key),
            [
                ("apikey", key.clone()),
                ("authorization", format!("Bearer {key}"))
            ]
        );
    }

    #[test]
    fn a_publishable_key_is_not() {
        assert_eq!(
            fields("sb_publishable_abc"),
            [("apikey", "sb_publishable_abc".to_owned())]
        );
    }

    #[test]
    fn a_key_that_reads_past_row_level_security_is_refused_by_name() {
        assert!(
            ApiKey::parse(jwt("service_role"))
                .unwrap_err()
                .to_string()
                .contains("service_role")
        );
        assert!(
            ApiKey::parse("sb_secret_abc".into())
                .unwrap_err()
                .to_string()
                .contains("sb_secret_")
        );
    }

    #[test]
    fn what_is_no_key_is_refused_and_none_is_ever_printed() {
        for key in ["", "a b", "a\n", "é"] {
            assert!(ApiKey::parse(key.into()).is_err(), "{key:?}");
        }
        assert!(
            !format!("{:?}", ApiKey::parse("sb_publishable_abc".into()).unwrap()).contains("abc")
        );
    }
}
