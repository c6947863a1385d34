//! (f) A crowd that reads a key which is not stored.

use anyhow::Result;

use crate::build::Build;
use crate::connection::send_many;
use crate::request::Request;
use crate::results::Line;
use crate::series::Series;

/// The readers: so many connections, each with so many reads. Spin has a thousand stacks, and each
/// request and each instance needs one.
const CONNECTIONS: usize = 250;
const READS: usize = 4;

/// The requests that the origin may get.
const MAX_REQUESTS: f64 = 8.0;

/// The delay of the origin in milliseconds. Most of the crowd comes meanwhile.
const DELAY: u64 = 100;

pub async fn measure(build: Build, rounds: usize) -> Result<Vec<Line>> {
    let mut requests = Series::default();
    for round in 0..rounds {
        let afterword = build.setup().start().await;
        afterword.slow_origin(DELAY);
        afterword.supabase().clear_requests();
        let read = Request::get(afterword.address(), "/articles/7");
        send_many(&read, CONNECTIONS, READS, 200).await?;
        afterword.wait_until_drained().await?;
        let count = afterword.count_origin_requests();
        eprintln!("round {round}, 1,000 readers of a cold key: {count} origin requests");
        requests.extend([count as f64]);
    }
    Ok(vec![Line::at_most(
        'f',
        format!(
            "{} readers of a cold key: origin requests",
            CONNECTIONS * READS
        ),
        MAX_REQUESTS,
        "",
        requests.max(),
        requests.to_string(),
    )])
}
