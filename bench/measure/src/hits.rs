//! (a) A cached article, its 304 and the list of 25, beside one get of as many bytes. The article
//! is also compared with a get whose component reads and sends the same headers: what is left
//! between the two is Afterword's own work.

use afterword_scenarios::Afterword;
use anyhow::Result;

use crate::build::Build;
use crate::contest::compare;
use crate::limit::Limit;
use crate::request::Request;
use crate::results::Line;
use crate::series::Series;
use crate::wrk::Wrk;

/// The least ratio to the baseline.
const TARGET: f64 = 0.95;

pub async fn measure(wrk: &Wrk, rounds: usize, builds: &[Build]) -> Result<Vec<Vec<Line>>> {
    let (mut running, mut contenders) = (Vec::new(), Vec::new());
    for build in builds {
        let afterword = build.setup().start().await;
        let limit = Limit::start(*build, &afterword.redis.url(), None).await?;
        contenders.push((*build, requests(&afterword, &limit).await));
        running.push((afterword, limit));
    }
    compare(wrk, rounds, &contenders, lines).await
}

async fn requests(afterword: &Afterword, limit: &Limit) -> Vec<(&'static str, Request)> {
    let article = afterword.wait_for_hit("/articles/7").await;
    let list = afterword.wait_for_hit("/articles").await;
    let (own, least) = (afterword.address(), limit.address());
    let get = |bytes: usize| Request::get(&least, format!("/get/{bytes}"));
    vec![
        ("article", Request::get(own, "/articles/7")),
        (
            "304",
            Request::get(own, "/articles/7").header("if-none-match", article.header("etag")),
        ),
        ("one get of an article", get(article.bytes.len())),
        (
            "one get with an article's headers",
            Request::get(&least, format!("/get/{}?headers", article.bytes.len())),
        ),
        ("list of 25", Request::get(own, "/articles")),
        ("one get of a list", get(list.bytes.len())),
        ("a constant", Request::get(&least, "/constant")),
    ]
}

fn lines(at: &str, rates: &[Series]) -> Vec<Line> {
    let [
        article,
        not_modified,
        get,
        get_with_headers,
        list,
        get_list,
        constant,
    ] = rates
    else {
        unreachable!("there are as many rates as requests");
    };
    let compared = [
        ("cached article", article, get),
        ("304", not_modified, get),
        ("list of 25", list, get_list),
    ];
    let mut lines: Vec<_> = compared
        .map(|(name, rate, baseline)| {
            Line::ratio('a', format!("{name}, {at}"), TARGET, rate, baseline)
        })
        .into();
    lines.push(Line::compared(
        'a',
        format!("cached article, beside one get with the same headers, {at}"),
        article,
        get_with_headers,
    ));
    let what = format!("for comparison: a constant, {at}");
    lines.push(Line::number('a', what, format!("{constant} /s")));
    lines
}
