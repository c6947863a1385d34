//! The schema that a request names: `Accept-Profile` for reading, `Content-Profile` for writing.
//!
//! Source: `getSchema` in PostgREST's `ApiRequest.hs`.

use http::{HeaderMap, Method};

use crate::error::RestError;

/// The schema of every table of the stand-in.
const EXPOSED: &str = "public";

/// Refuses (PGRST106) a request that names a schema other than the one that is exposed.
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
    fn only_the_exposed_schema_may_be_named() {
        for (method, header, other) in [
            (Method::GET, "accept-profile", "content-profile"),
            (Method::HEAD, "accept-profile", "content-profile"),
            (Method::POST, "content-profile", "accept-profile"),
            (Method::PATCH, "content-profile", "accept-profile"),
            (Method::DELETE, "content-profile", "accept-profile"),
        ] {
            assert_eq!(check(&method, &HeaderMap::new()), Ok(()), "{method}");
            assert_eq!(named(&method, header, "public"), Ok(()), "{method}");
            // The header of the other direction says nothing.
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
