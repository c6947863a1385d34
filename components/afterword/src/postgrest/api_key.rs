//! The API key that readers' requests carry.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use std::fmt;

/// A Supabase key of the anonymous role: a JWT, or a newer `sb_publishable_…` key.
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
    /// Refuses keys that bypass row-level security: the cache would show everybody the rows that
    /// they must not read.
    ///
    /// # Errors
    /// A sentence for the operator, without the key.
    pub fn parse(key: String) -> Result<Self, &'static str> {
        if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("it is empty, or contains a space or a character that no key contains");
        }
        if key.starts_with("sb_secret_") {
            return Err(
                "it is a secret key (sb_secret_…), which bypasses row-level security; use the \
                 publishable key (sb_publishable_…)",
            );
        }
        if role(&key).as_deref() == Some("service_role") {
            return Err(
                "it is the service_role key, which bypasses row-level security; use the anon key",
            );
        }
        Ok(Self(key))
    }

    /// The key itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The headers that carry the key: `apikey`, and `authorization` if the key is a JWT. PostgREST
    /// would reject any other bearer token as a malformed JWT.
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, String)> {
        let bearer = claims(&self.0).map(|_| ("authorization", format!("Bearer {}", self.0)));
        std::iter::once(("apikey", self.0.clone())).chain(bearer)
    }
}

/// The payload of a JWT, not parsed.
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

    fn headers(key: &str) -> Vec<(&'static str, String)> {
        ApiKey::parse(key.into()).unwrap().headers().collect()
    }

    #[test]
    fn a_jwt_is_also_sent_as_a_bearer_token() {
        let key = jwt("anon");
        assert_eq!(
            headers(&key),
            [
                ("apikey", key.clone()),
                ("authorization", format!("Bearer {key}"))
            ]
        );
    }

    #[test]
    fn a_publishable_key_is_not_sent_as_a_bearer_token() {
        assert_eq!(
            headers("sb_publishable_abc"),
            [("apikey", "sb_publishable_abc".to_owned())]
        );
    }

    #[test]
    fn a_key_that_bypasses_row_level_security_is_refused_by_name() {
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
    fn an_invalid_key_is_refused_and_a_valid_one_is_never_printed() {
        for key in ["", "a b", "a\n", "é"] {
            assert!(ApiKey::parse(key.into()).is_err(), "{key:?}");
        }
        assert!(
            !format!("{:?}", ApiKey::parse("sb_publishable_abc".into()).unwrap()).contains("abc")
        );
    }
}
