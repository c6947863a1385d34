//! The URL of a Redis that the user runs.

use std::fmt;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::time::timeout;
use url::Url;

const PING_LIMIT: Duration = Duration::from_secs(5);

/// A Redis URL, and its address without credentials.
pub struct RedisUrl {
    url: String,
    address: String,
}

impl RedisUrl {
    /// Parses `redis://[user:password@]host[:port]`.
    ///
    /// # Errors
    ///
    /// When it is another URL. Other databases than 0 do not work, since the worker listens to the
    /// expiry events of database 0.
    pub fn parse(url: &str) -> Result<Self> {
        // The parser's error does not quote the URL, which may hold a password.
        let parsed =
            Url::parse(url).context("the Redis URL (--redis-url or REDIS_URL) is no URL")?;
        ensure!(
            parsed.scheme() == "redis",
            "the Redis URL (--redis-url or REDIS_URL) starts with {}://; `up` only supports \
             redis://",
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
        let address = format!("redis://{host}:{}", parsed.port().unwrap_or(6379));
        Ok(Self {
            url: url.to_owned(),
            address,
        })
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
        outcome.with_context(|| {
            format!("Redis at {self} cannot be used; check --redis-url (or REDIS_URL)")
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
    fn an_error_about_a_wrong_url_has_no_password() {
        for url in [
            "localhost:6379",
            "rediss://:hush@host",
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
}
