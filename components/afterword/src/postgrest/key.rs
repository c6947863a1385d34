//! The key that readers use.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderName, HeaderValue, header::AUTHORIZATION};
use serde::Deserialize;
use std::fmt;

const APIKEY: HeaderName = HeaderName::from_static("apikey");

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

    /// The header fields that a request carries it in: `apikey`, and `Authorization` if it is a JWT. PostgREST would take
    /// any other bearer token for a broken JWT.
    pub fn fields(&self) -> HeaderMap {
        let mut fields = HeaderMap::new();
        let mut insert = |name, value: &str| {
            if let Ok(mut value) = HeaderValue::from_str(value) {
                value.set_sensitive(true);
                fields.insert(name, value);
            }
        };
        insert(APIKEY, &self.0);
        if claims(&self.0).is_some() {
            insert(AUTHORIZATION, &format!("Bearer {}", self.0));
        }
        fields
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

    #[test]
    fn a_jwt_is_sent_as_a_bearer_token_too() {
        let fields = ApiKey::parse(jwt("anon")).unwrap().fields();
        assert_eq!(fields["apikey"], jwt("anon"));
        assert_eq!(fields["authorization"], format!("Bearer {}", jwt("anon")));
    }

    #[test]
    fn a_publishable_key_is_not() {
        let fields = ApiKey::parse("sb_publishable_abc".into()).unwrap().fields();
        assert_eq!(fields["apikey"], "sb_publishable_abc");
        assert!(!fields.contains_key("authorization"));
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
