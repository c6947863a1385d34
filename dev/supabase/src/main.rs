//! `afterword-supabase`: the stand-in for Supabase as a program.

use std::{net::SocketAddr, path::PathBuf};

use afterword_supabase::{Options, Supabase, Webhook};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

/// A stand-in for Supabase: PostgREST's /rest/v1 over SQLite, and database webhooks.
#[derive(Parser)]
#[command(after_long_help = DIALS)]
struct Arguments {
    /// The address to serve on; port 0 is any free port.
    #[arg(long, default_value = "127.0.0.1:54321", value_name = "ADDRESS")]
    listen: SocketAddr,

    /// The SQLite file of the rows, created if missing [default: in memory].
    #[arg(long, value_name = "FILE")]
    database: Option<PathBuf>,

    /// The maximum number of rows in a response, Supabase's "Max rows".
    #[arg(long, default_value_t = 1_000, value_name = "ROWS")]
    row_cap: u64,

    /// The URL to post each change of a row of `articles` to.
    #[arg(long, value_name = "URL")]
    webhook_url: Option<String>,

    /// The secret of webhooks, sent as `Authorization: Bearer <SECRET>`.
    #[arg(
        long,
        env = "WEBHOOK_SECRET",
        hide_env_values = true,
        value_name = "SECRET"
    )]
    webhook_secret: Option<String>,

    /// Start with an empty table instead of 25 sample articles.
    #[arg(long)]
    no_sample: bool,

    /// Refuse the anonymous role's `select=*` (42501) because of an unreadable column, like
    /// PostgREST.
    #[arg(long)]
    strict_columns: bool,

    /// Log each request and webhook to standard error.
    #[arg(long)]
    verbose: bool,
}

const DIALS: &str = r#"Dials switch on faults at run time:
  GET /dials   shows the dials
  PUT /dials   sets them; missing ones are off, {} switches all off

  {"rest": [{"matching": "id=in.", "delay_ms": 2000, "fault": {"status": 503}}],
   "webhooks": {"delay_ms": 0, "drop": 0.1, "duplicate": 0.1, "reorder_ms": 200, "seed": 7}}

  rest       The first entry applies whose "matching" is a part of the request's path and query.
             An entry without "matching" applies to all requests. "fault" is one of
             {"status": 400 to 599}, "drop" (close the connection without a response), "cut"
             (close it after half of the body) and "html" (a page instead of JSON).
  webhooks   "drop" and "duplicate" are fractions from 0 to 1. "reorder_ms" holds webhooks back
             for that long and sends them shuffled. "seed" is that of the random numbers."#;

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
    // Listen before printing the URL: the reader of that line may end this program immediately.
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
