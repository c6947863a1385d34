//! The schema of a request: `Accept-Profile` of a read, `Content-Profile` of a write.
//!
//! Source: `getSchema` in PostgREST's `ApiRequest.hs`.

use http::{HeaderMap, Method};

use crate::error::RestError;

/// The schema of every table.
const EXPOSED: &str = "public";

/// Refuses a request for another schema (PGRST106).
pub(crate) fn check(method: &Method, headers: &HeaderMap) -> Result<(), RestError> {
    let name = match *method {
        Method::POST | Method::PUT | Method::PATCH | Method::DELETE => "content-profile",
        _ => "accept-profile",
    };
    match headers.get(name) {
        Some(schema) if schema != EXPOSED => {
            let schema = String::from_utf8_lossy(schema.as_bytes());
            Err(
                RestError::new(406, "PGRST106", format!("Invalid schema: {schema}"))
                    .hint(format!("Only the following schemas are exposed: {EXPOSED}")),
            )
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(method: &Method, header: &'static str, schema: &str) -> Result<(), RestError> {
        let mut headers = HeaderMap::new();
        headers.insert(header, schema.parse().unwrap());
        check(method, &headers)
    }

    #[test]
    fn only_the_exposed_schema_is_accepted() {
        for (method, header, other) in [
            (Method::GET, "accept-profile", "content-profile"),
            (Method::HEAD, "accept-profile", "content-profile"),
            (Method::POST, "content-profile", "accept-profile"),
            (Method::PATCH, "content-profile", "accept-profile"),
            (Method::DELETE, "content-profile", "accept-profile"),
        ] {
            assert_eq!(check(&method, &HeaderMap::new()), Ok(()), "{method}");
            assert_eq!(named(&method, header, "public"), Ok(()), "{method}");
            // The header of the other direction is ignored.
            assert_eq!(named(&method, other, "private"), Ok(()), "{method}");
            let error = named(&method, header, "private").unwrap_err();
            assert_eq!((error.status, error.code), (406, "PGRST106"), "{method}");
            assert_eq!(error.message, "Invalid schema: private");
            assert_eq!(
                error.hint.unwrap(),
                "Only the following schemas are exposed: public"
            );
        }
    }
}
