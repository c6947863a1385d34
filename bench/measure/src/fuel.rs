//! (h) The WebAssembly instructions of a hit, a 304 and an acknowledgement. They do not depend on
//! the machine. `tests/scenarios` limits them.

use afterword_scenarios::host_measures;

use crate::build::Build;
use crate::results::Line;

pub async fn measure(build: Build) -> Vec<Line> {
    if !host_measures() {
        return Vec::new();
    }
    let afterword = build.setup().no_webhooks().measure().start().await;
    let article = afterword.wait_for_hit("/articles/7").await;
    let hit = afterword.fuel_of("articles", async || {
        assert_eq!(afterword.get("/articles/7").await.status, 200);
    });
    let hit = hit.await;
    let etag = [("if-none-match", article.header("etag"))];
    let not_modified = afterword.fuel_of("articles", async || {
        let response = afterword.get_with("/articles/7", &etag).await;
        assert_eq!(response.status, 304);
    });
    let not_modified = not_modified.await;
    let acknowledgement = afterword.fuel_of("revalidate", async || {
        afterword.invalidate(7).await;
    });
    let acknowledgement = acknowledgement.await;
    [
        ("a hit", hit),
        ("a 304", not_modified),
        ("an acknowledgement", acknowledgement),
    ]
    .map(|(what, fuel)| Line::number('h', format!("fuel of {what}"), fuel.to_string()))
    .into()
}
