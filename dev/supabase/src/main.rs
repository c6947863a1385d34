//! `afterword-supabase`: the stand-in for Supabase as a program. See `--help`.

use std::{net::SocketAddr, path::PathBuf};

use afterword_supabase::{Options, Supabase, Webhook};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

/// A stand-in for Supabase: PostgREST's /rest/v1 over SQLite, and database webhooks.
#[derive(Parser)]
#[command(after_long_help = DIALS)]
struct Arguments {
    /// The address to serve on; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:54321", value_name = "ADDRESS")]
    listen: SocketAddr,

    /// The SQLite file that holds the rows, made if it is not there [default: in memory].
    #[arg(long, value_name = "FILE")]
    database: Option<PathBuf>,

    /// The most rows that one answer holds, Supabase's "Max rows".
    #[arg(long, default_value_t = 1_000, value_name = "ROWS")]
    row_cap: u64,

    /// Where each change of a row of `articles` is posted to.
    #[arg(long, value_name = "URL")]
    webhook_url: Option<String>,

    /// Sent with webhooks as `Authorization: Bearer <SECRET>`.
    #[arg(
        long,
        env = "WEBHOOK_SECRET",
        hide_env_values = true,
        value_name = "SECRET"
    )]
    webhook_secret: Option<String>,

    /// Start with an empty table instead of twenty-five sample articles.
    #[arg(long)]
    no_sample: bool,

    /// Refuse `select=*` by the anonymous role (42501) over the column that it may not read, as real PostgREST does.
    #[arg(long)]
    strict_columns: bool,

    /// Tell each request and each webhook in one line on standard error.
    #[arg(long)]
    verbose: bool,
}

const DIALS: &str = r#"Faults can be dialled in while it runs:
  GET /dials   the dials as they are
  PUT /dials   sets them; what is left out is off, {} puts all off

  {"rest": [{"matching": "id=in.", "delay_ms": 2000, "fault": {"status": 503}}],
   "webhooks": {"delay_ms": 0, "drop": 0.1, "duplicate": 0.1, "reorder_ms": 200, "seed": 7}}

  rest       for each request the first entry counts whose "matching" is a part of its path and
             query; without "matching" it is for all. "fault" is {"status": 400 to 599}, "drop"
             (close the connection without an answer), "cut" (close it after half of the body)
             or "html" (a page instead of JSON).
  webhooks   "drop" and "duplicate" are fractions from 0 to 1; "reorder_ms" gathers webhooks for
             that long and sends them shuffled; "seed" starts the random numbers."#;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let headers = arguments
        .webhook_secret
        .map(|secret| ("Authorization".to_owned(), format!("Bearer {secret}")));
    let webhook = arguments.webhook_url.map(|url| Webhook {
        url,
        headers: headers.into_iter().collect(),
    });
    // Before the line that says it serves: whoever waits for that line may end it at once.
    let mut terminate = signal(SignalKind::terminate())?;
    let supabase = Supabase::start(Options {
        listen: arguments.listen,
        database: arguments.database,
        row_cap: arguments.row_cap,
        sample: !arguments.no_sample,
        strict_columns: arguments.strict_columns,
        verbose: arguments.verbose,
        webhook,
        ..Options::default()
    })
    .await?;
    println!("serving: {}", supabase.url());
    tokio::select! {
        _ = terminate.recv() => {}
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    Ok(())
}
