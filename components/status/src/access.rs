//! Authorization: which requests may see the status page, and which may act.
//!
//! A program sends `admin_token` as a bearer token. A browser logs in with it, and gets a cookie: the
//! time at which the login ends, and a signature of that time by the token.

use afterword::bearer;
use afterword::host::http_server::Headers;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The cookie's name.
const COOKIE: &str = "afterword_status";

/// How long a login lasts, in seconds.
const LOGIN_SECONDS: u64 = 3_600;

/// `admin_token` and `status_public`.
pub struct Access {
    /// Empty: nobody may act.
    token: String,
    is_public: bool,
}

/// Who sends a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visitor {
    /// Nobody that is known.
    Anonymous,
    /// A program with the bearer token.
    Program,
    /// A browser that has logged in.
    Browser,
}

impl Access {
    /// Access by this token; an empty one lets nobody log in.
    pub fn new(token: String, is_public: bool) -> Self {
        Self { token, is_public }
    }

    /// Whether anybody can log in.
    pub fn has_token(&self) -> bool {
        !self.token.is_empty()
    }

    /// Whether this visitor may see the page.
    pub fn may_see(&self, visitor: Visitor) -> bool {
        self.is_public || visitor != Visitor::Anonymous
    }

    /// Who sends a request with these headers, at this second since 1970.
    pub fn visitor(&self, headers: &Headers, now: u64) -> Visitor {
        if bearer::authorizes(&headers.get("authorization"), &self.token) {
            return Visitor::Program;
        }
        let cookies = headers.get("cookie");
        let mut values = cookies.iter().filter_map(|line| str::from_utf8(line).ok());
        if values.any(|line| self.has_login(line, now)) {
            Visitor::Browser
        } else {
            Visitor::Anonymous
        }
    }

    /// Whether this is the token. Compares in constant time.
    pub fn is_token(&self, token: &[u8]) -> bool {
        bearer::is_secret(token, &self.token)
    }

    fn has_login(&self, cookies: &str, now: u64) -> bool {
        let values = cookies
            .split(';')
            .filter_map(|it| it.trim().split_once('='));
        let mut logins = values.filter(|(name, _)| *name == COOKIE);
        logins.any(|(_, value)| self.is_login(value, now))
    }

    fn is_login(&self, value: &str, now: u64) -> bool {
        let Some((ends, signature)) = value.split_once('.') else {
            return false;
        };
        let (Ok(ends), Ok(signature)) = (ends.parse(), URL_SAFE_NO_PAD.decode(signature)) else {
            return false;
        };
        let is_current = (now..=now + LOGIN_SECONDS).contains(&ends);
        self.has_token() && is_current && self.mac(ends).verify_slice(&signature).is_ok()
    }

    /// The `Set-Cookie` of a login at this second since 1970.
    pub fn login(&self, now: u64, is_secure: bool) -> String {
        let ends = now + LOGIN_SECONDS;
        let signature = URL_SAFE_NO_PAD.encode(self.mac(ends).finalize().into_bytes());
        cookie(&format!("{ends}.{signature}"), LOGIN_SECONDS, is_secure)
    }

    fn mac(&self, ends: u64) -> Hmac<Sha256> {
        let mac = Hmac::<Sha256>::new_from_slice(self.token.as_bytes());
        let mut mac = mac.expect("HMAC takes keys of any length");
        mac.update(format!("{COOKIE} {ends}").as_bytes());
        mac
    }
}

/// The `Set-Cookie` that ends a login.
pub fn logout(is_secure: bool) -> String {
    cookie("", 0, is_secure)
}

/// RFC 6265 and its successor: no script reads it, and no other site sends it.
fn cookie(value: &str, seconds: u64, is_secure: bool) -> String {
    let secure = if is_secure { "; Secure" } else { "" };
    format!("{COOKIE}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}")
}

/// Whether a POST comes from a page of this site. A browser says so in `Sec-Fetch-Site`; an older
/// one has `Origin`, whose host must be that of the request.
pub fn is_same_site(headers: &Headers, authority: &str) -> bool {
    let one = |name| match &headers.get(name)[..] {
        [value] => Some(value.clone()),
        _ => None,
    };
    judge_site(
        one("sec-fetch-site").as_deref(),
        one("origin").as_deref(),
        authority,
    )
}

fn judge_site(site: Option<&[u8]>, origin: Option<&[u8]>, authority: &str) -> bool {
    match (site, origin) {
        (Some(site), _) => site == b"same-origin",
        (None, Some(origin)) => [&b"http://"[..], b"https://"].iter().any(|scheme| {
            let host = origin.strip_prefix(*scheme);
            host.is_some_and(|host| host.eq_ignore_ascii_case(authority.as_bytes()))
        }),
        (None, None) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "sixteen-characters";
    const NOW: u64 = 1_764_000_000;

    fn access() -> Access {
        Access::new(TOKEN.to_owned(), false)
    }

    /// The cookie as a browser sends it.
    fn sent(set_cookie: &str) -> String {
        set_cookie.split(';').next().unwrap().to_owned()
    }

    #[test]
    fn a_login_lasts_an_hour() {
        let cookie = sent(&access().login(NOW, false));
        for (now, is_valid) in [
            (NOW, true),
            (NOW + 3_600, true),
            (NOW + 3_601, false),
            // The clock was set back, or somebody invented a later end.
            (NOW - 1, false),
        ] {
            assert_eq!(access().has_login(&cookie, now), is_valid, "{now}");
        }
        assert!(access().has_login(&format!("other=1; {cookie}; more=2"), NOW));
    }

    #[test]
    fn a_forged_or_foreign_cookie_is_no_login() {
        let valid = sent(&access().login(NOW, false));
        let other = Access::new("another-admin-token".to_owned(), false);
        assert!(!other.has_login(&valid, NOW), "signed with another token");
        let nobody = Access::new(String::new(), false);
        let unsigned = sent(&nobody.login(NOW, false));
        assert!(
            !nobody.has_login(&unsigned, NOW),
            "an empty token lets nobody in"
        );
        let later = valid.replace(&(NOW + 3_600).to_string(), &(NOW + 3_599).to_string());
        for forged in [
            later.as_str(),
            "afterword_status=",
            "afterword_status=.",
            "afterword_status=1764003600.",
            "afterword_status=99999999999999999999.AAAA",
            "afterword_status=1764003600.%%%",
            "afterword_status",
            "",
        ] {
            assert!(!access().has_login(forged, NOW), "{forged}");
        }
    }

    #[test]
    fn the_cookie_is_hidden_from_scripts_and_other_sites() {
        let cookie = access().login(NOW, true);
        for attribute in [
            "HttpOnly",
            "SameSite=Strict",
            "Secure",
            "Max-Age=3600",
            "Path=/",
        ] {
            assert!(cookie.contains(attribute), "{cookie}");
        }
        assert!(!access().login(NOW, false).contains("Secure"));
        assert!(logout(false).contains("Max-Age=0"));
    }

    #[test]
    fn a_post_from_another_site_is_recognized() {
        for (site, origin, is_own) in [
            (Some("same-origin"), None, true),
            (Some("same-site"), Some("http://a.example"), false),
            (Some("cross-site"), Some("http://a.example"), false),
            (Some("none"), None, false),
            (None, Some("http://a.example"), true),
            (None, Some("https://A.EXAMPLE"), true),
            (None, Some("https://b.example"), false),
            (None, Some("https://a.example.b.example"), false),
            (None, Some("null"), false),
            (None, None, false),
        ] {
            let bytes = |text: Option<&'static str>| text.map(str::as_bytes);
            let own = judge_site(bytes(site), bytes(origin), "a.example");
            assert_eq!(own, is_own, "{site:?} {origin:?}");
        }
    }
}
