//! A started stand-in, and requests to it with one of its keys.

use afterword_supabase::{Options, Supabase};
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::Value;

pub struct StandIn {
    pub supabase: Supabase,
    client: Client,
}

/// Starts a stand-in with the sample articles.
pub async fn sample() -> StandIn {
    start(Options::default()).await
}

/// Starts a stand-in with `rows` articles: `Article 1`, `Article 2`, … All are published.
pub async fn with_articles(rows: u32, options: Options) -> StandIn {
    let stand_in = start(Options {
        sample: false,
        ..options
    })
    .await;
    stand_in
        .supabase
        .execute(&format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
             INSERT INTO articles (slug, title, published)
             SELECT 'article-' || i, 'Article ' || i, true FROM n WHERE i <= {rows}"
        ))
        .unwrap();
    stand_in
}

pub async fn start(options: Options) -> StandIn {
    StandIn {
        supabase: Supabase::start(options).await.unwrap(),
        client: Client::builder().no_proxy().build().unwrap(),
    }
}

impl StandIn {
    /// A request without a key.
    pub fn bare(&self, method: Method, path: &str) -> RequestBuilder {
        self.client
            .request(method, format!("{}{path}", self.supabase.url()))
    }

    /// A request by the anonymous role. `path` comes after `/rest/v1/`.
    pub fn anon(&self, method: Method, path: &str) -> RequestBuilder {
        self.bare(method, &format!("/rest/v1/{path}"))
            .header("apikey", self.supabase.publishable_key())
    }

    /// A request by the service role. `path` comes after `/rest/v1/`.
    pub fn service(&self, method: Method, path: &str) -> RequestBuilder {
        let key = self.supabase.service_key();
        self.bare(method, &format!("/rest/v1/{path}"))
            .header("apikey", key)
            .bearer_auth(key)
    }

    /// What the anonymous role reads.
    pub async fn read(&self, path: &str) -> Value {
        let response = self.anon(Method::GET, path).send().await.unwrap();
        response.json().await.unwrap()
    }
}

/// Status, `Content-Range` and body of a response.
pub async fn page(request: RequestBuilder) -> (u16, String, String) {
    let response = request.send().await.unwrap();
    let range = header(&response, "content-range");
    (
        response.status().as_u16(),
        range,
        response.text().await.unwrap(),
    )
}

/// Status and body of a response.
pub async fn send(request: RequestBuilder) -> (u16, String) {
    let (status, _, body) = page(request).await;
    (status, body)
}

pub fn header(response: &Response, name: &str) -> String {
    let value = response
        .headers()
        .get(name)
        .map(|value| value.to_str().unwrap());
    value.unwrap_or_default().to_owned()
}
