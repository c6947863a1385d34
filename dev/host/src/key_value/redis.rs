//! A key-value store in Redis (Spin: `crates/key-value-redis`): a key is the Redis key, without any prefix.

use std::io;

use anyhow::{Context, Result};
use redis::aio::ConnectionManager;
use redis::{AsyncCommands, Client, RedisError, RedisResult};
use tokio::sync::OnceCell;

use super::listing::{Listing, Sender};
use super::{Error, other};

/// A server, and the connection to it that all components of a process share. The connection is made when a store is
/// first opened. One that breaks is made anew, as often and as slowly as the redis crate's own settings say, which are
/// Spin's too; meanwhile every call waits.
pub(crate) struct Server {
    client: Client,
    connection: OnceCell<ConnectionManager>,
}

impl Server {
    /// The server at `url`; it is not spoken to yet.
    ///
    /// # Errors
    /// When that is no URL of Redis's.
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

    /// Connects, if that has not been done yet, and sets a reconnection going where the connection turns out broken.
    pub(super) async fn open(&self) -> RedisResult<()> {
        // As in Spin, a store opens all the same then.
        let _ = self.connection().await?.ping::<()>().await;
        Ok(())
    }

    pub(super) async fn get(&self, key: &str) -> RedisResult<Option<Vec<u8>>> {
        self.connection().await?.get(key).await
    }

    pub(super) async fn set(&self, key: &str, value: &[u8]) -> RedisResult<()> {
        self.connection().await?.set(key, value).await
    }

    pub(super) async fn delete(&self, key: &str) -> RedisResult<()> {
        self.connection().await?.del(key).await
    }

    /// Lists every key of the Redis database, whoever wrote it; one may come twice (Redis: SCAN).
    pub(super) async fn keys(&self) -> Result<Listing, Error> {
        let (sender, listing) = Listing::new();
        let connection = self.connection().await.map_err(other)?;
        tokio::spawn(async move {
            let outcome = send_keys(connection, &sender).await;
            sender.end(outcome);
        });
        Ok(listing)
    }
}

/// As in Spin, a key that is no text, or a connection that breaks after the first reply, ends the listing like its last
/// key does: the redis crate's iterator tells them apart only with its feature `safe_iterators`.
async fn send_keys(mut connection: ConnectionManager, sender: &Sender) -> Result<(), Error> {
    let mut scan = connection.scan().await.map_err(other)?;
    while let Some(key) = scan.next_item().await {
        sender.keys.send(key).await.map_err(other)?;
    }
    Ok(())
}

/// What a failing dial gives.
pub(super) fn failure() -> RedisError {
    io::Error::from(io::ErrorKind::BrokenPipe).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_key_is_the_redis_key_and_every_key_of_the_database_is_listed() {
        let program = afterword_stack::Redis::find()
            .expect("redis-server is on the PATH; `cargo xtask test` sees to it");
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
            .zadd("{afterword}:due", "/articles", 1)
            .await
            .unwrap();

        let (mut listed, outcome) = server.keys().await.unwrap().collect().await;
        listed.sort();
        assert_eq!(listed, ["/articles/1", "{afterword}:due"]);
        outcome.unwrap();

        server.delete("/articles/1").await.unwrap();
        server.delete("/articles/1").await.unwrap();
        assert_eq!(server.get("/articles/1").await.unwrap(), None);
    }

    #[test]
    fn a_url_of_another_kind_is_refused_without_showing_it() {
        let error = Server::new("https://:sesame@db").err().unwrap();
        assert!(!format!("{error:#}").contains("sesame"), "{error:#}");
    }
}
