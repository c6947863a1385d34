//! The secrets that a sender puts into `Authorization: Bearer …` (RFC 6750): `admin_token` and
//! `refresh_secret`.

use subtle::ConstantTimeEq;

/// The shortest secret, in bytes: anybody on the network can try secrets.
const MIN_LENGTH: usize = 16;

/// Checks a secret that the operator has chosen.
///
/// # Errors
/// It is too short, or no header can contain it.
pub fn check(secret: &str) -> Result<(), &'static str> {
    if secret.len() < MIN_LENGTH || !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("it must have at least 16 characters, all of them visible ASCII");
    }
    Ok(())
}

/// Whether a request's lines of `Authorization` are this secret, once. An empty secret matches
/// nothing.
pub fn authorizes(authorization: &[Vec<u8>], secret: &str) -> bool {
    let [value] = authorization else {
        return false;
    };
    let Some((scheme, token)) = value.split_at_checked("Bearer ".len()) else {
        return false;
    };
    scheme.eq_ignore_ascii_case(b"Bearer ") && is_secret(token, secret)
}

/// Compares in constant time. An empty secret matches nothing.
pub fn is_secret(token: &[u8], secret: &str) -> bool {
    !secret.is_empty() && bool::from(token.ct_eq(secret.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bearer_token_has_to_be_the_whole_secret() {
        for (value, is_valid) in [
            ("Bearer sixteen-characters", true),
            ("bearer sixteen-characters", true),
            ("Bearer sixteen-character", false),
            ("Bearer ", false),
            ("Basic sixteen-characters", false),
            ("", false),
        ] {
            let lines = [value.as_bytes().to_vec()];
            assert_eq!(
                authorizes(&lines, "sixteen-characters"),
                is_valid,
                "{value}"
            );
        }
        let valid = b"Bearer sixteen-characters".to_vec();
        let twice = [valid.clone(), valid];
        assert!(!authorizes(&twice, "sixteen-characters"));
        assert!(!authorizes(&[b"Bearer ".to_vec()], ""));
    }

    #[test]
    fn a_secret_is_long_and_visible() {
        assert!(check("sixteen-chars-16").is_ok());
        for secret in ["", "fifteen-chars15", "sixteen chars 16"] {
            assert!(check(secret).is_err(), "{secret}");
        }
    }
}
