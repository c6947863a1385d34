//! Webhooks to the running application.

use reqwest::Method;
use serde_json::{Value, json};

use crate::afterword::Afterword;
use crate::response::Response;

impl Afterword {
    /// Sends a webhook with these request headers.
    pub async fn webhook_with(
        &self,
        headers: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> Response {
        self.send(Method::POST, "/revalidate", headers, body).await
    }

    /// Invalidates an article and the list, with a webhook about an update.
    ///
    /// # Panics
    /// The webhook is not acknowledged.
    pub async fn invalidate(&self, id: impl Into<Value>) -> Response {
        let body = json!({"type": "UPDATE", "record": {"id": id.into()}});
        let response = self.webhook(body.to_string()).await;
        assert_eq!(response.status, 202, "{response:?}");
        response
    }

    /// Invalidates the list, with a webhook that names no article.
    ///
    /// # Panics
    /// The webhook is not acknowledged.
    pub async fn invalidate_list(&self) {
        assert_eq!(self.webhook("{}").await.status, 202);
    }
}
