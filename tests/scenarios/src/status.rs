//! The status page of the running application, as JSON.

use reqwest::Method;
use serde_json::Value;

use crate::afterword::Afterword;
use crate::response::Response;
use crate::waiting::wait_until;
use anyhow::ensure;

/// The `admin_token` of every scenario.
pub const ADMIN_TOKEN: &str = "the-scenarios-admin-token";

impl Afterword {
    /// Reads a path of the status page with the bearer token.
    pub async fn get_as_admin(&self, path: &str) -> Response {
        let authorization = format!("Bearer {ADMIN_TOKEN}");
        self.get_with(path, &[("authorization", &authorization)])
            .await
    }

    /// The state of the application.
    ///
    /// # Panics
    /// The status page is an error.
    pub async fn status(&self) -> Value {
        let response = self.get_as_admin("/status").await;
        assert_eq!(response.status, 200, "{response:?}");
        response.json()
    }

    /// What became of an acknowledgement.
    ///
    /// # Panics
    /// The id is unknown.
    pub async fn event(&self, id: &Value) -> Value {
        let response = self.get_as_admin(&format!("/status/events/{id}")).await;
        assert_eq!(response.status, 200, "{response:?}");
        response.json()
    }

    /// Waits until an event has this state; returns it.
    ///
    /// # Panics
    /// That does not happen.
    pub async fn wait_for_event(&self, id: &Value, state: &str) -> Value {
        wait_until(&format!("waiting for {state} of event {id}"), async || {
            let event = self.event(id).await;
            ensure!(event["state"] == state, "{event}");
            Ok(event)
        })
        .await
    }

    /// Waits until a part, such as `redis`, has this state; returns it.
    ///
    /// # Panics
    /// That does not happen.
    pub async fn wait_for_part(&self, part: &str, state: &str) -> Value {
        wait_until(&format!("waiting for {state} of {part}"), async || {
            let parts = &self.status().await["parts"];
            ensure!(parts[part]["state"] == state, "{parts}");
            Ok(parts[part].clone())
        })
        .await
    }

    /// Sends an action of the status page, such as `retry`, with the bearer token. An empty key
    /// stands for all keys.
    ///
    /// # Panics
    /// It fails.
    pub async fn act(&self, action: &str, key: &str) -> Value {
        let authorization = format!("Bearer {ADMIN_TOKEN}");
        let headers = [
            ("authorization", &*authorization),
            ("content-type", "application/x-www-form-urlencoded"),
        ];
        let path = format!("/status/{action}");
        let body = format!("key={key}");
        let response = self.send(Method::POST, &path, &headers, body).await;
        assert_eq!(response.status, 202, "{response:?}");
        response.json()
    }

    /// A sample of the metrics, such as `lag_seconds`; `None` if it is missing.
    ///
    /// # Panics
    /// The metrics are an error.
    pub async fn metric(&self, sample: &str) -> Option<f64> {
        let response = self.get_as_admin("/metrics").await;
        assert_eq!(response.status, 200, "{response:?}");
        let mut lines = response.body.lines();
        lines.find_map(|line| {
            let value = line.strip_prefix("afterword_")?.strip_prefix(sample)?;
            value.strip_prefix(' ')?.parse().ok()
        })
    }

    /// Waits until a sample of the metrics has this value.
    ///
    /// # Panics
    /// That does not happen.
    pub async fn wait_for_metric(&self, sample: &str, value: f64) {
        wait_until(&format!("waiting for {sample} to be {value}"), async || {
            let now = self.metric(sample).await;
            ensure!(now == Some(value), "it is {now:?}");
            Ok(())
        })
        .await;
    }
}
