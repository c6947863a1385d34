//! A client that knows how long each response took. It counts stalls exactly: the percentiles of
//! load generators are corrected for coordinated omission.

use std::time::{Duration, Instant};

use afterword_scenarios::PATIENCE;
use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::request::Request;

/// The free space for each read.
const CHUNK: usize = 64 << 10;

/// The pause between two reads of [`read_until`].
const PAUSE: Duration = Duration::from_millis(1);

/// A kept connection.
pub struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
}

/// A response.
#[derive(Debug, PartialEq, Eq)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// The content.
    pub body: Vec<u8>,
    /// From the request's first byte to the response's last.
    pub took: Duration,
}

impl Connection {
    /// Connects to an address such as `127.0.0.1:3000`.
    ///
    /// # Errors
    /// Nothing listens there.
    pub async fn open(address: &str) -> Result<Self> {
        Ok(Self {
            stream: TcpStream::connect(address).await?,
            received: Vec::new(),
        })
    }

    /// Sends a request and reads its response.
    ///
    /// # Errors
    /// The connection breaks, or the response has no `content-length`.
    pub async fn send(&mut self, request: &Request) -> Result<Response> {
        let began = Instant::now();
        self.stream.write_all(&request.bytes()).await?;
        self.received.clear();
        let head = loop {
            if let Some(head) = Head::parse(&self.received)? {
                break head;
            }
            self.receive().await?;
        };
        while self.received.len() < head.length + head.content {
            self.receive().await?;
        }
        Ok(Response {
            status: head.status,
            body: self.received[head.length..].to_vec(),
            took: began.elapsed(),
        })
    }

    async fn receive(&mut self) -> Result<()> {
        self.received.reserve(CHUNK);
        let read = self.stream.read_buf(&mut self.received).await?;
        ensure!(read > 0, "the server has closed the connection");
        Ok(())
    }
}

/// Reads until the content is fresh, with a pause after each read. Without one, the reads would keep
/// the worker from its processor.
///
/// # Errors
/// The connection breaks, or the content stays as it is.
pub async fn read_until(
    connection: &mut Connection,
    read: &Request,
    is_fresh: impl Fn(&str) -> bool,
) -> Result<()> {
    let began = Instant::now();
    loop {
        let response = connection.send(read).await?;
        let content = String::from_utf8_lossy(&response.body);
        if is_fresh(&content) {
            return Ok(());
        }
        ensure!(began.elapsed() < PATIENCE, "{} stays {content}", read.path);
        sleep(PAUSE).await;
    }
}

/// What the head of a response says.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    /// The bytes of the head, with the empty line.
    length: usize,
    /// The bytes of the content.
    content: usize,
}

impl Head {
    /// The head, once it is complete.
    fn parse(received: &[u8]) -> Result<Option<Self>> {
        let Some(end) = received.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
            return Ok(None);
        };
        let head = std::str::from_utf8(&received[..end])?;
        let status: u16 = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .with_context(|| format!("no response: {head}"))?;
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            let is_length = name.eq_ignore_ascii_case("content-length");
            is_length.then(|| value.trim().parse::<usize>())
        });
        let content = match length {
            Some(length) if status != 304 => length?,
            None if status != 304 => anyhow::bail!("a response without content-length: {head}"),
            _ => 0,
        };
        Ok(Some(Self {
            status,
            length: end + 4,
            content,
        }))
    }
}

/// Sends a request `count` times over each of so many connections, one after another on each.
/// Returns how long the responses took.
///
/// # Errors
/// A connection breaks, or a response has another status than `status`.
pub async fn send_many(
    request: &Request,
    connections: usize,
    count: usize,
    status: u16,
) -> Result<Vec<Duration>> {
    let mut clients = JoinSet::new();
    for _ in 0..connections {
        let request = request.clone();
        clients.spawn(async move {
            let mut connection = Connection::open(&request.address).await?;
            let mut took = Vec::with_capacity(count);
            for _ in 0..count {
                let response = connection.send(&request).await?;
                let found = response.status;
                ensure!(found == status, "{} has status {found}", request.path);
                took.push(response.took);
            }
            Ok(took)
        });
    }
    let mut all = Vec::with_capacity(connections * count);
    while let Some(took) = clients.join_next().await {
        all.extend(took??);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_content_is_as_long_as_the_head_says() {
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";
        let expected = Head {
            status: 200,
            length: 38,
            content: 3,
        };
        assert_eq!(Head::parse(head).unwrap(), Some(expected));
        assert_eq!(Head::parse(&head[..37]).unwrap(), None);
        assert!(Head::parse(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }

    #[test]
    fn a_304_has_no_content() {
        let head = Head::parse(b"HTTP/1.1 304 Not Modified\r\n\r\n").unwrap();
        assert_eq!(head.unwrap().content, 0);
    }
}
