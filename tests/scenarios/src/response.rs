//! A response, read whole.

use std::fmt;

use serde_json::Value;

/// An HTTP response.
#[derive(Clone)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: reqwest::header::HeaderMap,
    /// The content.
    pub bytes: Vec<u8>,
    /// The content as text; bytes that are not UTF-8 are replaced.
    pub body: String,
}

/// Shows the start of the content: it may be long.
impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let start: String = self.body.chars().take(2_000).collect();
        f.debug_struct("Response")
            .field("status", &self.status)
            .field("headers", &self.headers)
            .field("bytes", &self.bytes.len())
            .field("body", &start)
            .finish()
    }
}

impl Response {
    /// Reads the whole response.
    ///
    /// # Errors
    /// The connection breaks.
    pub async fn of(response: reqwest::Response) -> anyhow::Result<Self> {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.bytes().await?.to_vec();
        Ok(Self {
            status,
            headers,
            body: String::from_utf8_lossy(&bytes).into_owned(),
            bytes,
        })
    }

    /// The first value of a header; empty if the header is missing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| {
            value.to_str().expect("the headers of responses are ASCII")
        })
    }

    /// The `Cache-Status` header.
    pub fn cache_status(&self) -> &str {
        self.header("cache-status")
    }

    /// Whether there is such a header.
    pub fn has(&self, name: &str) -> bool {
        self.headers.contains_key(name)
    }

    /// The content as JSON.
    ///
    /// # Panics
    /// The content is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {:?}", self.body))
    }

    /// The rows of a list.
    ///
    /// # Panics
    /// The content is not a JSON array.
    pub fn rows(&self) -> Vec<Value> {
        let Value::Array(rows) = self.json() else {
            panic!("not an array: {:?}", self.body);
        };
        rows
    }
}
