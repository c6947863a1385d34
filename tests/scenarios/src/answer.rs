//! What a client got.

use serde_json::Value;

/// A whole HTTP response.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The header fields.
    pub fields: reqwest::header::HeaderMap,
    /// The content.
    pub body: String,
}

impl Answer {
    /// Waits for all of a response.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn of(response: reqwest::Response) -> anyhow::Result<Self> {
        let (status, fields) = (response.status().as_u16(), response.headers().clone());
        Ok(Self {
            status,
            fields,
            body: response.text().await?,
        })
    }

    /// A header field as text; empty if it is missing.
    pub fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", |value| {
            value.to_str().expect("header fields are ASCII here")
        })
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
