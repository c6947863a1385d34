//! Comparisons of the cache with the origin.

use serde_json::Value;

use crate::afterword::Afterword;

impl Afterword {
    /// Waits for a hit on the list, and asserts that it equals the origin's.
    ///
    /// # Panics
    /// It differs.
    pub async fn assert_list_hit_equals_origin(&self) {
        let hit = self.wait_for_hit("/articles").await;
        assert_eq!(hit.json(), self.origin_list().await);
    }

    /// Waits for a hit on an article, and asserts that it equals the origin's row.
    ///
    /// # Panics
    /// It differs.
    pub async fn assert_article_hit_equals_origin(&self, id: u32) {
        let hit = self.wait_for_hit(&format!("/articles/{id}")).await;
        assert_eq!(hit.json(), self.origin(&format!("?id=eq.{id}")).await[0]);
    }

    /// Reads the list and these articles, and asserts that they equal the rows that the anonymous
    /// key may read. What the origin has must come from the store, what it has not must be 404.
    ///
    /// The queue has to be empty, and no reconciliation may begin meanwhile.
    ///
    /// # Panics
    /// A response differs, or the origin gets a request about one of its rows.
    pub async fn assert_cache_equals_origin(&self, ids: impl Iterator<Item = u32>) {
        let rows = self.origin_list().await;
        let (present, absent): (Vec<u32>, Vec<u32>) = ids.partition(|id| row(&rows, *id).is_some());
        assert!(!present.is_empty(), "there is nothing to compare");
        self.supabase().clear_requests();
        assert_eq!(self.get("/articles").await.json(), rows);
        let mut different = Vec::new();
        for id in present {
            let response = self.get_article(id).await;
            if response.status != 200 || Some(&response.json()) != row(&rows, id) {
                different.push((id, response.status, response.body));
            }
        }
        assert!(
            different.is_empty(),
            "the store has {different:?}, the origin {rows}"
        );
        self.assert_no_origin_request();
        self.assert_responses_equal_origin(absent.into_iter()).await;
    }

    /// Reads these articles, and asserts that the responses equal the rows that the anonymous key
    /// may read, whether they come from the store or not.
    ///
    /// # Panics
    /// A response differs.
    pub async fn assert_responses_equal_origin(&self, ids: impl Iterator<Item = u32>) {
        let rows = self.origin_list().await;
        for id in ids {
            let response = self.get_article(id).await;
            match row(&rows, id) {
                Some(row) => assert_eq!(&response.json(), row, "{id}"),
                None => assert_eq!(response.status, 404, "{id}: {response:?}"),
            }
        }
    }
}

fn row(rows: &Value, id: u32) -> Option<&Value> {
    let rows = rows.as_array().expect("PostgREST responds with an array");
    rows.iter().find(|row| row["id"] == id)
}
