//! (b) An acknowledgement, beside the least component that reads the body and runs one script.

use afterword_scenarios::SECRET;
use anyhow::Result;

use crate::build::Build;
use crate::contest::compare;
use crate::limit::Limit;
use crate::request::Request;
use crate::results::Line;
use crate::series::Series;
use crate::wrk::Wrk;

/// The least ratio to the baseline.
const TARGET: f64 = 0.9;

pub async fn measure(wrk: &Wrk, rounds: usize, builds: &[Build]) -> Result<Vec<Vec<Line>>> {
    let (mut running, mut contenders) = (Vec::new(), Vec::new());
    for build in builds {
        // Text, since the scenarios' library would parse each line of JSON on the same processors.
        let setup = || build.setup().variable("log_format", "text").no_webhooks();
        let alone = setup().no_worker().start().await;
        let drained = setup().start().await;
        let limit = Limit::start(*build, &alone.redis.url(), None).await?;
        let requests = vec![
            (
                "acknowledgement without a worker",
                webhook(alone.address(), 7),
            ),
            (
                "acknowledgement with a worker",
                webhook(drained.address(), 7),
            ),
            (
                "body and one script",
                Request {
                    path: "/script".to_owned(),
                    ..webhook(&limit.address(), 7)
                },
            ),
        ];
        contenders.push((*build, requests));
        running.push((alone, drained, limit));
    }
    compare(wrk, rounds, &contenders, lines).await
}

fn lines(at: &str, rates: &[Series]) -> Vec<Line> {
    let [alone, drained, script] = rates else {
        unreachable!("there are as many rates as requests");
    };
    let compared = [
        ("acknowledgement, no worker", alone),
        ("acknowledgement, the worker draining beside it", drained),
    ];
    compared
        .map(|(name, rate)| Line::ratio('b', format!("{name}, {at}"), TARGET, rate, script))
        .into()
}

/// A webhook about an update of an article, as Supabase sends it.
pub fn webhook(address: &str, id: u32) -> Request {
    let row = |title: &str| {
        serde_json::json!({
            "id": id, "slug": format!("row-{id}"), "title": title, "body": "Text",
            "published": true, "created_at": "2026-09-01T14:03:43.123456+00:00",
            "updated_at": "2026-09-01T14:03:43.123456+00:00", "editor_notes": null
        })
    };
    let body = serde_json::json!({
        "type": "UPDATE", "table": "articles", "schema": "public",
        "record": row("New"), "old_record": row("Old"),
    });
    Request::post(address, "/revalidate", body.to_string())
        .header("authorization", format!("Bearer {SECRET}"))
}
