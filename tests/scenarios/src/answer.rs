//! What a client got.

use serde_json::Value;

/// A whole HTTP response.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The header fields.
    pub fields: reqwest::header::HeaderMap,
    /// The content as it came.
    pub bytes: Vec<u8>,
    /// The content as text, as far as it is.
    pub body: String,
}

impl Answer {
    /// Waits for all of a response.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn of(response: reqwest::Response) -> anyhow::Result<Self> {
        let (status, fields) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.bytes().await?.to_vec();
        Ok(Self {
            status,
            fields,
            body: String::from_utf8_lossy(&bytes).into_owned(),
            bytes,
        })
    }

    /// A header field as text; empty if it is missing.
    pub fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", |value| {
            value.to_str().expect("header fields are ASCII here")
        })
    }

    /// Whether there is such a header field.
    pub fn has(&self, name: &str) -> bool {
        self.fields.contains_key(name)
    }

    /// The content as JSON.
    ///
    /// # Panics
    /// When it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {:?}", self.body))
    }
}
