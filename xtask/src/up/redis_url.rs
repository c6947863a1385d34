//! The URL of a Redis that the user runs.

use std::fmt;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use tokio::time::timeout;
use url::Url;

const PING_LIMIT: Duration = Duration::from_secs(5);

const AUTHORITIES: &str = "use the name that its certificate has, and if an authority of your own \
                           signed it, set SSL_CERT_FILE to a PEM file with that authority and the \
                           system's (docs/deploy/redis-tls.md)";

/// A Redis URL, and its address without credentials.
pub struct RedisUrl {
    url: String,
    address: String,
}

impl RedisUrl {
    /// Parses `redis://[user:password@]host[:port]` or, for TLS, `rediss://…`.
    ///
    /// # Errors
    ///
    /// When it is another URL. Other databases than 0 do not work, since the worker listens to the
    /// expiry events of database 0.
    pub fn parse(url: &str) -> Result<Self> {
        // The parser's error does not quote the URL, which may hold a password.
        let mut parsed =
            Url::parse(url).context("the Redis URL (--redis-url or REDIS_URL) is no URL")?;
        ensure!(
            matches!(parsed.scheme(), "redis" | "rediss"),
            "the Redis URL (--redis-url or REDIS_URL) starts with {}://; Afterword needs redis:// \
             or, for TLS, rediss://",
            parsed.scheme()
        );
        let host = parsed
            .host()
            .context("the Redis URL (--redis-url or REDIS_URL) names no host")?;
        ensure!(
            matches!(parsed.path(), "" | "/" | "/0"),
            "the Redis URL (--redis-url or REDIS_URL) names database {}; Afterword uses \
             database 0",
            parsed.path().trim_start_matches('/')
        );
        let port = parsed.port().unwrap_or(6379);
        let address = format!("{}://{host}:{port}", parsed.scheme());
        let mut url = url.to_owned();
        // Spin knows no default port of rediss://, so `allowed_outbound_hosts` refuses a URL
        // without one.
        if parsed.scheme() == "rediss" && parsed.set_port(Some(port)).is_ok() {
            url = parsed.to_string();
        }
        Ok(Self { url, address })
    }

    /// The URL with its credentials.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Scheme, host and port, as in `allowed_outbound_hosts`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Checks that the server responds.
    ///
    /// # Errors
    ///
    /// When it does not respond or refuses the credentials.
    pub async fn check(&self) -> Result<()> {
        let ping = async {
            let client = redis::Client::open(self.url())?;
            let mut connection = client.get_multiplexed_async_connection().await?;
            redis::cmd("PING").exec_async(&mut connection).await?;
            anyhow::Ok(())
        };
        let outcome = timeout(PING_LIMIT, ping)
            .await
            .context("no response within 5 seconds")
            .flatten();
        outcome.map_err(|error| {
            let error = error.to_string();
            let advice = if error.contains("invalid peer certificate") {
                AUTHORITIES
            } else {
                "check --redis-url (or REDIS_URL)"
            };
            anyhow!("Redis at {self} cannot be used: {error}; {advice}")
        })
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_has_no_credentials_and_no_path() {
        for (url, address) in [
            ("redis://localhost", "redis://localhost:6379"),
            (
                "redis://user:pw@cache.example:7000/0",
                "redis://cache.example:7000",
            ),
            ("redis://[::1]:7000/", "redis://[::1]:7000"),
        ] {
            let parsed = RedisUrl::parse(url).unwrap();
            assert_eq!((parsed.url(), parsed.address()), (url, address));
        }
    }

    #[test]
    fn a_url_for_tls_has_a_port() {
        let parsed = RedisUrl::parse("rediss://:pw@cache.example").unwrap();
        assert_eq!(parsed.url(), "rediss://:pw@cache.example:6379");
        assert_eq!(parsed.address(), "rediss://cache.example:6379");
        let parsed = RedisUrl::parse("rediss://cache.example:6380").unwrap();
        assert_eq!(parsed.url(), "rediss://cache.example:6380");
    }

    #[test]
    fn an_error_about_a_wrong_url_has_no_password() {
        for url in [
            "localhost:6379",
            "https://:hush@host",
            "redis://:hush@host/2",
            ":hush@host",
        ] {
            let error = RedisUrl::parse(url)
                .err()
                .unwrap_or_else(|| panic!("{url} is refused"));
            assert!(!format!("{error:#}").contains("hush"), "{error:#}");
        }
    }

    #[tokio::test]
    async fn an_error_about_a_missing_server_has_no_password() {
        // Bound without listening: the port is taken, and connections to it are refused.
        let closed_port = tokio::net::TcpSocket::new_v4().unwrap();
        closed_port.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = closed_port.local_addr().unwrap().to_string();
        let url = RedisUrl::parse(&format!("redis://:hush@{address}")).unwrap();
        let error = format!("{:#}", url.check().await.unwrap_err());
        assert!(
            error.contains(&address) && !error.contains("hush"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn an_error_about_an_untrusted_certificate_says_what_to_do() {
        use afterword_stack::{Certificates, Port, Redis, redis_has_tls};

        let program = Redis::find().expect("`cargo xtask test` puts redis-server on the PATH");
        let dir = tempfile::tempdir().unwrap();
        if !redis_has_tls(&program, dir.path()).await.unwrap() {
            return;
        }
        let certificates = Certificates::make(dir.path()).unwrap();
        let port = Port::free();
        let arguments = certificates.redis_args(port.number());
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let _redis = Redis::start(&program, &dir.path().join("redis"), &arguments)
            .await
            .unwrap();
        let url = RedisUrl::parse(&format!("rediss://:hush@localhost:{}", port.number())).unwrap();
        let error = format!("{:#}", url.check().await.unwrap_err());
        assert!(
            error.contains("SSL_CERT_FILE") && !error.contains("hush"),
            "{error}"
        );
    }
}
