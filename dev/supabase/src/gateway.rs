//! Supabase's API gateway in front of PostgREST: checks the `apikey` and finds the role.

use http::{HeaderMap, header::AUTHORIZATION};
use serde_json::json;
use url::form_urlencoded;

use crate::{error::RestError, options::Keys, policy::Role, response::Response};

/// The role of a request.
///
/// The gateway requires a known key in `apikey` (header or query parameter). PostgREST requires a
/// bearer token, if present, to be a valid JWT. The stand-in has issued two JWTs and knows no
/// other.
///
/// - Without a bearer token, the key sets the role, as in the Supabase CLI's gateway. Hosted
///   projects do so for `sb_…` keys only: with a service-role JWT in `apikey` alone, a request is
///   anonymous.
/// - The gateway ignores a bearer token that starts with `sb_`, since supabase-js sends such a key
///   in both places.
pub(crate) fn role(headers: &HeaderMap, query: &str, keys: &Keys) -> Result<Role, Response> {
    let header = |name| Some(headers.get(name)?.to_str().unwrap_or_default());
    let apikey = header("apikey").map(str::to_owned).or_else(|| {
        form_urlencoded::parse(query.as_bytes())
            .find(|(name, _)| name == "apikey")
            .map(|(_, value)| value.into_owned())
    });
    let Some(apikey) = apikey else {
        return Err(unauthorized(
            "No API key found in request",
            "No `apikey` request header or url param was found.",
        ));
    };
    let by_key = if apikey == keys.anon || apikey == keys.publishable {
        Role::Anon
    } else if apikey == keys.service || apikey == keys.secret {
        Role::Service
    } else {
        return Err(unauthorized(
            "Invalid API key",
            "Double check your Supabase `anon` or `service_role` API key.",
        ));
    };
    match header(AUTHORIZATION.as_str()).and_then(bearer) {
        None => Ok(by_key),
        Some(token) if token.starts_with("sb_") => Ok(by_key),
        Some(token) if token == keys.anon => Ok(Role::Anon),
        Some(token) if token == keys.service => Ok(Role::Service),
        Some(token) => Err(invalid_token(token).response()),
    }
}

fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then_some(token.trim())
}

fn unauthorized(message: &str, hint: &str) -> Response {
    // `json!` would sort the gateway's keys.
    let body = format!(
        "{{\"message\":{},\"hint\":{}}}",
        json!(message),
        json!(hint)
    );
    Response::json(401, body)
}

fn invalid_token(token: &str) -> RestError {
    if token.is_empty() {
        return RestError::new(401, "PGRST301", "Empty JWT is sent in Authorization header");
    }
    match token.split('.').count() {
        3 => RestError::new(401, "PGRST301", "No suitable key or wrong key type")
            .details("None of the keys was able to decode the JWT"),
        parts => RestError::new(
            401,
            "PGRST301",
            format!("Expected 3 parts in JWT; got {parts}"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role_of(apikey: &str, authorization: Option<&str>) -> Result<Role, Response> {
        let mut headers = HeaderMap::new();
        headers.insert("apikey", apikey.parse().unwrap());
        if let Some(value) = authorization {
            headers.insert(AUTHORIZATION, value.parse().unwrap());
        }
        role(&headers, "", &Keys::default())
    }

    #[test]
    fn each_key_has_its_role() {
        let keys = Keys::default();
        assert_eq!(role_of(&keys.anon, None), Ok(Role::Anon));
        assert_eq!(role_of(&keys.publishable, None), Ok(Role::Anon));
        assert_eq!(role_of(&keys.service, None), Ok(Role::Service));
        assert_eq!(role_of(&keys.secret, None), Ok(Role::Service));
    }

    #[test]
    fn a_bearer_jwt_overrides_the_key() {
        let keys = Keys::default();
        let service = format!("Bearer {}", keys.service);
        assert_eq!(
            role_of(&keys.publishable, Some(&service)),
            Ok(Role::Service)
        );
        let anon = format!("bearer {}", keys.anon);
        assert_eq!(role_of(&keys.secret, Some(&anon)), Ok(Role::Anon));
    }

    #[test]
    fn an_sb_key_as_the_bearer_token_is_ignored() {
        let keys = Keys::default();
        for bearer in [&keys.publishable, &keys.secret, "sb_secret_of_another"] {
            let bearer = format!("Bearer {bearer}");
            let role = |apikey| role_of(apikey, Some(&bearer));
            assert_eq!(role(&keys.publishable), Ok(Role::Anon), "{bearer}");
            assert_eq!(role(&keys.anon), Ok(Role::Anon), "{bearer}");
            assert_eq!(role(&keys.secret), Ok(Role::Service), "{bearer}");
        }
    }

    #[test]
    fn an_invalid_bearer_token_has_postgrests_error() {
        let response = role_of(&Keys::default().publishable, Some("Bearer nonsense")).unwrap_err();
        assert_eq!(response.status, 401);
        assert_eq!(
            response.body,
            r#"{"code":"PGRST301","details":null,"hint":null,"message":"Expected 3 parts in JWT; got 1"}"#
        );
        assert!(response.headers.contains(&(
            "www-authenticate",
            r#"Bearer error="invalid_token", error_description="Expected 3 parts in JWT; got 1""#.to_owned()
        )));
    }

    #[test]
    fn the_key_may_be_a_query_parameter() {
        let query = format!("select=*&apikey={}", Keys::default().publishable);
        assert_eq!(
            role(&HeaderMap::new(), &query, &Keys::default()),
            Ok(Role::Anon)
        );
    }

    #[test]
    fn a_missing_or_wrong_key_has_the_gateways_error() {
        let missing = role(&HeaderMap::new(), "", &Keys::default()).unwrap_err();
        assert_eq!(
            missing.body,
            r#"{"message":"No API key found in request","hint":"No `apikey` request header or url param was found."}"#
        );
        let wrong = role_of("nonsense", None).unwrap_err();
        assert_eq!(wrong.status, 401);
        assert_eq!(
            wrong.body,
            r#"{"message":"Invalid API key","hint":"Double check your Supabase `anon` or `service_role` API key."}"#
        );
    }
}
