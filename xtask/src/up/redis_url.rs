//! The URL of a Redis that the user runs.

use std::fmt;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::time::timeout;
use url::Url;

const LIMIT: Duration = Duration::from_secs(5);

/// A Redis URL, and the same without what is secret in it.
pub struct RedisUrl {
    url: String,
    address: String,
}

impl RedisUrl {
    /// # Errors
    ///
    /// When it is not `redis://[user:password@]host[:port]`: Afterword keeps its marks in database 0 only, whose
    /// expiries the worker listens to.
    pub fn parse(url: &str) -> Result<Self> {
        // The parser's error says what is wrong without quoting the URL, which may hold a password.
        let parsed =
            Url::parse(url).context("the Redis URL (--redis-url or REDIS_URL) is no URL")?;
        ensure!(
            parsed.scheme() == "redis",
            "the Redis URL (--redis-url or REDIS_URL) starts with {}://; `up` connects to redis:// only",
            parsed.scheme()
        );
        let host = parsed
            .host()
            .context("the Redis URL (--redis-url or REDIS_URL) names no host")?;
        ensure!(
            matches!(parsed.path(), "" | "/" | "/0"),
            "the Redis URL (--redis-url or REDIS_URL) names database {}; Afterword uses database 0",
            parsed.path().trim_start_matches('/')
        );
        let address = format!("redis://{host}:{}", parsed.port().unwrap_or(6379));
        Ok(Self {
            url: url.to_owned(),
            address,
        })
    }

    /// The URL, with a password if there is one.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Scheme, host and port: what `allowed_outbound_hosts` takes.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Whether the server answers.
    ///
    /// # Errors
    ///
    /// When it does not, or refuses the credentials.
    pub async fn check(&self) -> Result<()> {
        let ping = async {
            let client = redis::Client::open(self.url())?;
            let mut connection = client.get_multiplexed_async_connection().await?;
            redis::cmd("PING").exec_async(&mut connection).await?;
            anyhow::Ok(())
        };
        let answer = timeout(LIMIT, ping)
            .await
            .context("no answer within 5 seconds")
            .flatten();
        answer.with_context(|| {
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
    fn the_address_is_the_url_without_credentials_and_path() {
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
    fn what_cannot_work_is_refused_without_its_password() {
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
    async fn a_server_that_is_not_there_is_named_without_its_password() {
        // Bound without listening: nobody else can take the port, and a connection is refused.
        let nobody = tokio::net::TcpSocket::new_v4().unwrap();
        nobody.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = nobody.local_addr().unwrap().to_string();
        let url = RedisUrl::parse(&format!("redis://:hush@{address}")).unwrap();
        let error = format!("{:#}", url.check().await.unwrap_err());
        assert!(
            error.contains(&address) && !error.contains("hush"),
            "{error}"
        );
    }
}
