//! (a) A cached article, its 304 and the list of 25, beside one get of as many bytes. The article is
//! also compared with a get whose component reads and sends the same headers: what is left between
//! the two is Afterword's own work.

use afterword_scenarios::Setup;
use anyhow::Result;

use crate::contest::rates;
use crate::limit::Limit;
use crate::request::Request;
use crate::results::Line;
use crate::wrk::Wrk;

/// The least ratio to the baseline.
const TARGET: f64 = 0.95;

/// The numbers of connections.
const CONNECTIONS: [usize; 2] = [1, 16];

pub async fn measure(wrk: &Wrk, rounds: usize) -> Result<Vec<Line>> {
    let afterword = Setup::default().start().await;
    let article = afterword.wait_for_hit("/articles/7").await;
    let list = afterword.wait_for_hit("/articles").await;
    let limit = Limit::start(&afterword.redis.url(), None).await?;
    let (own, least) = (afterword.address(), limit.address());
    let get = |bytes: usize| Request::get(&least, format!("/get/{bytes}"));
    let contenders = [
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
    ];
    let mut lines = Vec::new();
    for connections in CONNECTIONS {
        let rates = rates(wrk, rounds, connections, &contenders).await?;
        let [
            article,
            not_modified,
            get,
            get_with_headers,
            list,
            get_list,
            constant,
        ] = &rates[..]
        else {
            unreachable!("there are as many rates as contenders");
        };
        let at = match connections {
            1 => "1 connection".to_owned(),
            _ => format!("{connections} connections"),
        };
        for (name, rate, baseline) in [
            ("cached article", article, get),
            ("304", not_modified, get),
            ("list of 25", list, get_list),
        ] {
            lines.push(Line::ratio(
                'a',
                format!("{name}, {at}"),
                TARGET,
                rate,
                baseline,
            ));
        }
        lines.push(Line::compared(
            'a',
            format!("cached article, beside one get with the same headers, {at}"),
            article,
            get_with_headers,
        ));
        let what = format!("for comparison: a constant, {at}");
        lines.push(Line::number('a', what, format!("{constant} /s")));
    }
    Ok(lines)
}
