//! HTTP requests of arbitrary bytes, which a client would refuse or encode.

use std::io::{Read, Write};
use std::net::TcpStream;

use afterword_scenarios::{Afterword, PATIENCE};
use serde_json::Value;

/// A response.
pub struct RawResponse {
    pub status: u16,
    /// The status line and the headers, in lower case.
    pub head: String,
    pub body: Vec<u8>,
}

impl RawResponse {
    /// The content as a problem.
    pub fn problem(&self) -> Value {
        let text = String::from_utf8_lossy(&self.body);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }
}

/// A request for [`exchange`].
pub fn request(method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut request =
        format!("{method} {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n");
    for (name, value) in headers {
        request += &format!("{name}: {value}\r\n");
    }
    if !body.is_empty() {
        request += &format!("content-length: {}\r\n", body.len());
    }
    [request.as_bytes(), b"\r\n", body].concat()
}

/// Sends these bytes, and returns the response.
pub async fn exchange(afterword: &Afterword, request: Vec<u8>) -> RawResponse {
    let address = afterword.address().to_owned();
    let exchange = move || exchange_blocking(&address, &request);
    tokio::task::spawn_blocking(exchange).await.unwrap()
}

fn exchange_blocking(address: &str, request: &[u8]) -> RawResponse {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // A server that responds before it has read everything may close the connection meanwhile.
    let _ = stream.write_all(request);
    let mut response = Vec::new();
    let _ = stream.read_to_end(&mut response);
    let end = response
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .unwrap_or_else(|| panic!("no response: {}", String::from_utf8_lossy(&response)));
    let head = String::from_utf8_lossy(&response[..end]).to_ascii_lowercase();
    RawResponse {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        head,
        body: response[end + 4..].to_vec(),
    }
}
