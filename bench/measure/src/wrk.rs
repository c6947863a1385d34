//! The load generator wrk.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::process::Command;

use crate::request::Request;

/// How long each run takes.
const SECONDS: u64 = 3;

/// The time limit of a response, above any pause of a busy machine.
const LIMIT: Duration = Duration::from_secs(10);

/// The program.
pub struct Wrk(PathBuf);

impl Wrk {
    /// The program at this path.
    pub fn new(program: &Path) -> Self {
        Self(program.to_owned())
    }

    /// Sends a request over so many connections for some seconds. Returns the responses in a second.
    ///
    /// # Errors
    /// wrk does not run, or a response is an error.
    pub async fn run(&self, request: &Request, connections: usize) -> Result<f64> {
        let script = tempfile::NamedTempFile::with_suffix(".lua")?;
        std::fs::write(script.path(), lua(request))?;
        let output = Command::new(&self.0)
            .args(["-t", "1", "-c", &connections.to_string()])
            .args(["-d", &SECONDS.to_string()])
            .args(["--timeout", &format!("{}s", LIMIT.as_secs())])
            .arg("-s")
            .arg(script.path())
            .arg(format!("http://{}{}", request.address, request.path))
            .kill_on_drop(true)
            .output()
            .await
            .context("starting wrk")?;
        let text = String::from_utf8_lossy(&output.stdout);
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "wrk failed: {text}{error}");
        responses_in_a_second(&text)
    }
}

/// The script that makes wrk send the request.
fn lua(request: &Request) -> String {
    let mut script = format!(
        "wrk.method = {:?}\nwrk.body = {:?}\n",
        request.method, request.body
    );
    for (name, value) in &request.headers {
        script += &format!("wrk.headers[{name:?}] = {value:?}\n");
    }
    script
}

/// What wrk prints.
fn responses_in_a_second(text: &str) -> Result<f64> {
    for problem in ["Non-2xx or 3xx responses:", "Socket errors:"] {
        ensure!(!text.contains(problem), "wrk reports errors: {text}");
    }
    let rate = text.lines().find_map(|line| {
        let value = line.strip_prefix("Requests/sec:")?;
        value.trim().parse().ok()
    });
    rate.with_context(|| format!("wrk prints no rate: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_read_and_errors_are() {
        let text = "Running 3s test\n  9 requests in 3.00s\nRequests/sec:   5213.07\n";
        assert_eq!(responses_in_a_second(text).unwrap(), 5213.07);
        let text = format!("  Non-2xx or 3xx responses: 9\n{text}");
        assert!(responses_in_a_second(&text).is_err());
        assert!(responses_in_a_second("").is_err());
    }

    #[test]
    fn the_script_quotes_the_body() {
        let request = Request::post("127.0.0.1:1", "/", r#"{"id": "a\b"}"#);
        assert!(lua(&request).contains(r#"wrk.body = "{\"id\": \"a\\b\"}""#));
    }
}
