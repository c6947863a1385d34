//! A receiver of webhooks.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

/// A server that returns the exact bytes of each request and responds with 202.
pub struct Receiver {
    pub url: String,
    pub requests: mpsc::UnboundedReceiver<String>,
}

impl Receiver {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/revalidate", listener.local_addr().unwrap());
        let (sender, requests) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(receive(stream, sender.clone()));
            }
        });
        Self { url, requests }
    }

    /// The body of the next request.
    pub async fn body(&mut self) -> String {
        let request = self.requests.recv().await.unwrap();
        request.split_once("\r\n\r\n").unwrap().1.to_owned()
    }
}

async fn receive(mut stream: TcpStream, requests: mpsc::UnboundedSender<String>) {
    let mut bytes = Vec::new();
    while stream.read_buf(&mut bytes).await.unwrap() > 0 {
        let text = String::from_utf8(bytes.clone()).unwrap_or_default();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head
            .lines()
            .find_map(|line| {
                line.to_ascii_lowercase()
                    .strip_prefix("content-length: ")?
                    .parse::<usize>()
                    .ok()
            })
            .unwrap();
        if body.len() == length {
            requests.send(text).unwrap();
            bytes.clear();
            stream
                .write_all(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n")
                .await
                .unwrap();
        }
    }
}
