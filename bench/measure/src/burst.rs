//! (d) A burst of webhooks.

use std::time::Instant;

use afterword_scenarios::Afterword;
use anyhow::{Result, ensure};
use tokio::task::JoinSet;

use crate::acknowledgements::webhook;
use crate::build::Build;
use crate::connection::{Connection, read_until};
use crate::request::Request;
use crate::results::Line;
use crate::series::Series;

/// The webhooks, and the rows that they are about in turn.
const WEBHOOKS: u32 = 10_000;
const ROWS: u32 = 100;

/// The connections that send them.
const CONNECTIONS: u32 = 16;

/// The requests that the origin may get.
const MAX_REQUESTS: f64 = 100.0;

/// How long after the last acknowledgement everything has to be fresh, in seconds.
const FRESH_WITHIN: f64 = 2.0;

#[derive(Default)]
struct Measured {
    sent: Series,
    fresh: Series,
    requests: Series,
    commands: Series,
}

pub async fn measure(build: Build, rounds: usize) -> Result<Vec<Line>> {
    let afterword = build
        .setup()
        .variable("log_format", "text")
        .no_articles()
        .no_webhooks()
        .start()
        .await;
    afterword.insert_articles(ROWS as usize);
    afterword.invalidate_list().await;
    for id in 1..=ROWS {
        afterword.get_article(id).await;
    }
    afterword.wait_until_drained().await?;
    let mut measured = Measured::default();
    for round in 0..rounds {
        burst(&afterword, &format!("Final {round}"), &mut measured).await?;
        eprintln!("round {round} of the burst is done");
    }
    let Measured {
        sent,
        fresh,
        requests,
        commands,
    } = measured;
    let what = format!("{WEBHOOKS} webhooks over {ROWS} rows");
    Ok(vec![
        Line::number(
            'd',
            format!("{what}: acknowledged on {CONNECTIONS} connections"),
            format!("{sent:.1} s"),
        ),
        Line::at_most(
            'd',
            format!("{what}: all fresh after the last acknowledgement"),
            FRESH_WITHIN,
            "s",
            fresh.max(),
            format!("{fresh:.2} s"),
        ),
        Line::at_most(
            'd',
            format!("{what}: origin requests"),
            MAX_REQUESTS,
            "",
            requests.max(),
            requests.to_string(),
        ),
        Line::number(
            'd',
            format!("{what}: Redis commands, also those in scripts"),
            commands.to_string(),
        ),
    ])
}

async fn burst(afterword: &Afterword, title: &str, measured: &mut Measured) -> Result<()> {
    afterword.supabase().clear_requests();
    let commands = afterword.redis_statistic("total_commands_processed").await;
    let began = Instant::now();
    send(afterword.address(), WEBHOOKS - ROWS).await?;
    // The last webhook of each row comes after its last change.
    afterword.execute(&format!("UPDATE articles SET title = '{title}'"));
    send(afterword.address(), ROWS).await?;
    measured.sent.extend([began.elapsed().as_secs_f64()]);

    let acknowledged = Instant::now();
    let mut connection = Connection::open(afterword.address()).await?;
    for id in 1..=ROWS {
        let read = Request::get(afterword.address(), format!("/articles/{id}"));
        read_until(&mut connection, &read, |text| text.contains(title)).await?;
    }
    let list = Request::get(afterword.address(), "/articles");
    let all = |text: &str| text.matches(title).count() == ROWS as usize;
    read_until(&mut connection, &list, all).await?;
    measured
        .fresh
        .extend([acknowledged.elapsed().as_secs_f64()]);

    afterword.wait_until_drained().await?;
    let after = afterword.redis_statistic("total_commands_processed").await;
    measured.commands.extend([(after - commands) as f64]);
    let requests = afterword.count_origin_requests();
    measured.requests.extend([requests as f64]);
    Ok(())
}

/// Sends so many webhooks, about each row in turn, over all connections.
async fn send(address: &str, count: u32) -> Result<()> {
    let mut clients = JoinSet::new();
    for client in 0..CONNECTIONS {
        let address = address.to_owned();
        clients.spawn(async move {
            let mut connection = Connection::open(&address).await?;
            for number in (client..count).step_by(CONNECTIONS as usize) {
                let response = connection
                    .send(&webhook(&address, number % ROWS + 1))
                    .await?;
                ensure!(response.status == 202, "{response:?}");
            }
            Ok(())
        });
    }
    while let Some(sent) = clients.join_next().await {
        sent??;
    }
    Ok(())
}
