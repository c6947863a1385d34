//! A key-value store in Redis (Spin: `crates/key-value-redis`). Redis keys have no prefix.

use std::io;

use anyhow::{Context, Result};
use redis::aio::ConnectionManager;
use redis::{AsyncCommands, Client, RedisError, RedisResult};
use tokio::sync::OnceCell;

use super::error::{Error, other};
use super::listing::{Listing, Sender};

/// A Redis server and the one connection to it, shared by all components of a process.
///
/// The first opened store connects. A broken connection reconnects with the redis crate's default
/// delays, as in Spin; meanwhile every call waits.
pub(crate) struct Server {
    client: Client,
    connection: OnceCell<ConnectionManager>,
}

impl Server {
    /// The server at `url`. Does not connect yet.
    ///
    /// # Errors
    /// When `url` is no Redis URL.
    pub(super) fn new(url: &str) -> Result<Self> {
        Ok(Self {
            client: Client::open(url).context("the key-value store's url is no Redis URL")?,
            connection: OnceCell::new(),
        })
    }

    async fn connection(&self) -> RedisResult<ConnectionManager> {
        let connect = || self.client.get_connection_manager();
        self.connection.get_or_try_init(connect).await.cloned()
    }

    /// Connects if needed. A PING makes a broken connection reconnect.
    pub(super) async fn open(&self) -> RedisResult<()> {
        // As in Spin, the store opens even if the PING fails.
        let _ = self.connection().await?.ping::<()>().await;
        Ok(())
    }

    pub(super) async fn get(&self, key: &str) -> RedisResult<Option<Vec<u8>>> {
        self.connection().await?.get(key).await
    }

    pub(super) async fn exists(&self, key: &str) -> RedisResult<bool> {
        self.connection().await?.exists(key).await
    }

    pub(super) async fn set(&self, key: &str, value: &[u8]) -> RedisResult<()> {
        self.connection().await?.set(key, value).await
    }

    pub(super) async fn delete(&self, key: &str) -> RedisResult<()> {
        self.connection().await?.del(key).await
    }

    /// Lists every key of the Redis database. A key may come twice (Redis: SCAN).
    pub(super) async fn keys(&self) -> Result<Listing, Error> {
        let (sender, listing) = Listing::new();
        let connection = self.connection().await.map_err(other)?;
        tokio::spawn(async move {
            let outcome = send_keys(connection, &sender).await;
            sender.end(outcome);
        });
        Ok(listing)
    }

    /// The same at once, as components for WASI 0.2 get them (Redis: KEYS). A key that is not UTF-8
    /// is an error.
    pub(super) async fn keys_at_once(&self) -> Result<Listing, Error> {
        let mut connection = self.connection().await.map_err(other)?;
        let keys: Vec<String> = connection.keys("*").await.map_err(other)?;
        let (sender, listing) = Listing::new();
        tokio::spawn(async move {
            for key in keys {
                if sender.keys.send(key).await.is_err() {
                    return;
                }
            }
            sender.end(Ok(()));
        });
        Ok(listing)
    }
}

/// As in Spin, a key that is not UTF-8, or a connection that breaks after the first reply, ends the
/// listing without an error: the redis crate reports them only with its feature `safe_iterators`.
async fn send_keys(mut connection: ConnectionManager, sender: &Sender) -> Result<(), Error> {
    let mut scan = connection.scan().await.map_err(other)?;
    while let Some(key) = scan.next_item().await {
        sender.keys.send(key).await.map_err(other)?;
    }
    Ok(())
}

/// The error of a failing dial.
pub(super) fn failure() -> RedisError {
    io::Error::from(io::ErrorKind::BrokenPipe).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_store_uses_bare_redis_keys_and_lists_all_of_them() {
        let program = afterword_stack::Redis::find()
            .expect("`cargo xtask test` puts redis-server on the PATH");
        let folder = tempfile::tempdir().unwrap();
        let redis = afterword_stack::Redis::start(&program, folder.path(), &[])
            .await
            .unwrap();
        let server = Server::new(&redis.url()).unwrap();
        server.open().await.unwrap();
        server.set("/articles/1", b"\0old").await.unwrap();
        server.set("/articles/1", b"\0new").await.unwrap();
        let value = server.get("/articles/1").await.unwrap();
        assert_eq!(value.as_deref(), Some(b"\0new".as_slice()));

        let client = Client::open(redis.url()).unwrap();
        let mut another = client.get_multiplexed_async_connection().await.unwrap();
        let value: Vec<u8> = another.get("/articles/1").await.unwrap();
        assert_eq!(value, b"\0new");
        () = another
            .zadd("{afterword}:v1:queue", "/articles", 1)
            .await
            .unwrap();

        let (mut listed, outcome) = server.keys().await.unwrap().collect().await;
        listed.sort();
        assert_eq!(listed, ["/articles/1", "{afterword}:v1:queue"]);
        outcome.unwrap();

        let (at_once, outcome) = server.keys_at_once().await.unwrap().collect().await;
        assert_eq!(at_once.len(), 2);
        outcome.unwrap();
        () = another.set(b"\xff", 1).await.unwrap();
        assert!(server.keys_at_once().await.is_err());

        server.delete("/articles/1").await.unwrap();
        server.delete("/articles/1").await.unwrap();
        assert_eq!(server.get("/articles/1").await.unwrap(), None);
    }

    #[test]
    fn an_error_about_a_wrong_url_does_not_show_the_url() {
        let error = Server::new("https://:sesame@db").err().unwrap();
        assert!(!format!("{error:#}").contains("sesame"), "{error:#}");
    }
}
