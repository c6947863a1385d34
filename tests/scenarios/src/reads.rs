//! Reads until the response is as expected.

use anyhow::ensure;

use crate::afterword::Afterword;
use crate::response::Response;
use crate::waiting::wait_until;

impl Afterword {
    /// Reads an article.
    pub async fn get_article(&self, id: impl std::fmt::Display) -> Response {
        self.get(&format!("/articles/{id}")).await
    }

    /// Reads a path until a response passes the check, and returns that response.
    ///
    /// # Panics
    /// No response passes.
    pub async fn read_until(&self, path: &str, check: impl Fn(&Response) -> bool) -> Response {
        wait_until(&format!("waiting for {path}"), async || {
            let response = self.get(path).await;
            ensure!(check(&response), "{response:?}");
            Ok(response)
        })
        .await
    }

    /// Reads a path until the response contains this text, wherever the response is from.
    ///
    /// # Panics
    /// No response contains it.
    pub async fn wait_for_text(&self, path: &str, text: &str) -> Response {
        let contains = |response: &Response| response.body.contains(text);
        self.read_until(path, contains).await
    }

    /// Reads a path until another reader's error is served from the negative cache.
    ///
    /// # Panics
    /// No response is from the negative cache.
    pub async fn wait_for_negative_hit(&self, path: &str) -> Response {
        let negative = |it: &Response| it.cache_status().ends_with("; detail=negative");
        self.read_until(path, negative).await
    }

    /// Waits for a hit on an article, and asserts that it has this title.
    ///
    /// # Panics
    /// It has another title.
    pub async fn assert_hit_has_title(&self, id: u32, title: &str) {
        let hit = self.wait_for_hit(&format!("/articles/{id}")).await;
        assert_eq!(hit.json()["title"], title);
    }
}
