//! Requests to the running application and to its origin.

use afterword_stack::eventually;
use anyhow::{Result, ensure};
use reqwest::Method;
use serde_json::Value;

use crate::afterword::{Afterword, PATIENCE, SECRET};
use crate::response::Response;
use crate::setup::{REFRESH_SECRET, name_columns};
use crate::waiting::wait_until;

impl Afterword {
    /// Sends a request to the HTTP side.
    ///
    /// # Panics
    /// There is no response.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> Response {
        let request = headers.iter().fold(
            self.client.request(method, format!("{}{path}", self.url())),
            |request, (name, value)| request.header(*name, *value),
        );
        respond(path, request.body(body)).await
    }

    /// Reads a path.
    pub async fn get(&self, path: &str) -> Response {
        self.send(Method::GET, path, &[], "").await
    }

    /// Reads a path.
    ///
    /// # Errors
    /// The response is cut off.
    pub async fn try_get(&self, path: &str) -> Result<Response> {
        try_respond(self.client.get(format!("{}{path}", self.url()))).await
    }

    /// Reads a path with these request headers.
    pub async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Response {
        self.send(Method::GET, path, headers, "").await
    }

    /// Sends a webhook with the right secret.
    pub async fn webhook(&self, body: impl Into<reqwest::Body>) -> Response {
        let authorization = format!("Bearer {SECRET}");
        let headers = [
            ("authorization", &*authorization),
            ("content-type", "application/json"),
        ];
        self.send(Method::POST, "/revalidate", &headers, body).await
    }

    /// Sends `POST /refresh` with the right secret, as a scheduler does.
    pub async fn refresh(&self) -> Response {
        let authorization = format!("Bearer {REFRESH_SECRET}");
        let headers = [("authorization", &*authorization)];
        self.send(Method::POST, "/refresh", &headers, "").await
    }

    /// Sends `POST /refresh` until no other worker holds the lease. Returns what the worker did.
    ///
    /// # Panics
    /// Another worker keeps holding it.
    pub async fn refresh_when_free(&self) -> Response {
        wait_until("waiting for the end of the worker", async || {
            let response = self.refresh().await;
            ensure!(response.status == 200, "{response:?}");
            Ok(response)
        })
        .await
    }

    /// Reads a path until the response is from the store, so that the read causes no request to
    /// the origin.
    ///
    /// # Panics
    /// No read is a hit.
    pub async fn wait_for_hit(&self, path: &str) -> Response {
        let what = format!("waiting for a hit on {path}");
        let hit = eventually(PATIENCE, &what, async || {
            self.wait_until_drained().await?;
            let before = self.supabase().requests().len();
            let response = self.get(path).await;
            let after = self.supabase().requests().len();
            ensure!(after == before, "the origin got a request");
            Ok(response)
        });
        hit.await.unwrap_or_else(|error| panic!("{error:#}"))
    }

    /// Changes rows in the database as the service role, and waits until their webhooks have been
    /// acknowledged.
    ///
    /// # Panics
    /// The origin refuses the change.
    pub async fn change(&self, method: Method, query: &str, row: Value) {
        let url = format!("{}/rest/v1/articles{query}", self.supabase().url());
        let request = self
            .client
            .request(method, &url)
            .header("apikey", self.supabase().service_key())
            .json(&row);
        let response = respond(&url, request).await;
        assert!(matches!(response.status, 200..=204), "{response:?}");
        self.supabase().webhooks_settled().await;
    }

    /// PostgREST's response to the anonymous key.
    ///
    /// # Panics
    /// The response is an error.
    pub async fn origin(&self, query: &str) -> Value {
        let response = self.origin_with(query, &[]).await;
        assert_eq!(response.status, 200, "{response:?}");
        response.json()
    }

    /// PostgREST's response to the anonymous key and these request headers.
    pub async fn origin_with(&self, query: &str, headers: &[(&str, &str)]) -> Response {
        let query = if self.has_real_postgrest() {
            format!("?{}", name_columns(query))
        } else {
            query.to_owned()
        };
        let url = format!("{}/rest/v1/articles{query}", self.supabase().url());
        let request = self.client.get(&url);
        let request = request.header("apikey", self.supabase().anon_key());
        let add = |request: reqwest::RequestBuilder, (name, value): &(&str, &str)| {
            request.header(*name, *value)
        };
        respond(&url, headers.iter().fold(request, add)).await
    }
}

async fn respond(url: &str, request: reqwest::RequestBuilder) -> Response {
    try_respond(request)
        .await
        .unwrap_or_else(|error| panic!("no response from {url}: {error:#}"))
}

async fn try_respond(request: reqwest::RequestBuilder) -> Result<Response> {
    Response::of(request.send().await?).await
}
