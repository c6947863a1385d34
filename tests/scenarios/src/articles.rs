//! The origin's articles.

use reqwest::Method;
use serde_json::{Value, json};

use crate::afterword::Afterword;

impl Afterword {
    /// [Changes](Self::change) the title of an article.
    ///
    /// # Panics
    /// The origin refuses the change.
    pub async fn update_title(&self, id: u32, title: &str) {
        let query = format!("?id=eq.{id}");
        let row = json!({ "title": title });
        self.change(Method::PATCH, &query, row).await;
    }

    /// Changes rows with SQL, past PostgREST and its faults.
    ///
    /// # Panics
    /// The SQL fails.
    pub fn execute(&self, sql: &str) {
        self.supabase()
            .execute(sql)
            .unwrap_or_else(|error| panic!("{sql}: {error:#}"));
    }

    /// Changes the title of an article with SQL, past PostgREST and its faults.
    ///
    /// # Panics
    /// The SQL fails.
    pub fn update_title_with_sql(&self, id: u32, title: &str) {
        let sql = format!("UPDATE articles SET title = '{title}' WHERE id = {id}");
        self.execute(&sql);
    }

    /// Inserts the articles 1 to `count` with SQL.
    ///
    /// # Panics
    /// An article exists.
    pub fn insert_articles(&self, count: usize) {
        self.execute(&format!(
            "WITH RECURSIVE number(n) AS
                 (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < {count})
             INSERT INTO articles (id, slug, title, body, published)
             SELECT n, 'row-' || n, 'Row ' || n, 'Text', true FROM number"
        ));
    }

    /// Replaces all articles.
    ///
    /// # Panics
    /// A row is invalid.
    pub fn replace_articles(&self, rows: &[Value]) {
        self.supabase()
            .replace_rows("articles", rows)
            .unwrap_or_else(|error| panic!("{error:#}"));
    }

    /// The articles that the anonymous key may read, in the order of the list.
    ///
    /// # Panics
    /// The response is an error.
    pub async fn origin_list(&self) -> Value {
        self.origin("?order=id.asc").await
    }
}
