//! Calls `POST /refresh` on a schedule, as a scheduler does in production where the host has no Redis
//! trigger.

use std::convert::Infallible;
use std::time::Duration;

use anyhow::{Result, bail};
use tokio::sync::watch;
use tokio::time::sleep;

/// The longest interval that the component `refresh-http` allows.
const INTERVAL: Duration = Duration::from_secs(60);

/// The pause after a failed call.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// The time limit of a call. The response comes when the worker is done.
const CALL_LIMIT: Duration = Duration::from_secs(30);

/// A worker to call.
pub struct Scheduler {
    /// The URL of `/refresh`.
    pub url: String,
    /// The variable `refresh_secret`.
    pub secret: String,
}

impl Scheduler {
    /// Calls the worker as long as this is polled. `listening` becomes true at its first success.
    ///
    /// # Errors
    ///
    /// Never: it logs the first of successive failures.
    pub async fn keep_calling(&self, listening: watch::Sender<bool>) -> Result<Infallible> {
        let mut reported = false;
        loop {
            let pause = match self.call().await {
                Ok(()) => {
                    listening.send_replace(true);
                    reported = false;
                    INTERVAL
                }
                Err(error) => {
                    // The application may not listen yet when it starts.
                    if *listening.borrow() && !reported {
                        eprintln!("scheduler  | POST {} failed: {error:#}", self.url);
                        reported = true;
                    }
                    RETRY_DELAY
                }
            };
            sleep(pause).await;
        }
    }

    async fn call(&self) -> Result<()> {
        // Ignore the environment's proxy, which is for other machines.
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .proxy(None)
            .http_status_as_error(false)
            .timeout_global(Some(CALL_LIMIT))
            .build()
            .into();
        let (url, authorization) = (self.url.clone(), format!("Bearer {}", self.secret));
        let call = move || {
            let request = agent.post(url).header("authorization", authorization);
            request.send_empty()
        };
        let response = tokio::task::spawn_blocking(call).await??;
        // 202 means that another worker is at work.
        if !response.status().is_success() {
            bail!("its status is {}", response.status());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    /// The connection and the head of the next request.
    async fn request(listener: &TcpListener) -> (TcpStream, Vec<String>) {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut lines = BufReader::new(&mut stream).lines();
        let mut head = Vec::new();
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.is_empty() {
                break;
            }
            head.push(line);
        }
        (stream, head)
    }

    async fn respond(mut stream: TcpStream, status: &str) {
        let response =
            format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        stream.write_all(response.as_bytes()).await.unwrap();
    }

    #[tokio::test]
    async fn a_failed_call_is_repeated_and_a_success_is_reported() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let scheduler = Scheduler {
            url: format!("http://{}/refresh", listener.local_addr().unwrap()),
            secret: "the secret".to_owned(),
        };
        let (listening, mut worker_listens) = watch::channel(false);
        let worker = async {
            let (stream, _) = request(&listener).await;
            respond(stream, "503 Service Unavailable").await;
            let (stream, head) = request(&listener).await;
            assert!(!*worker_listens.borrow(), "the first call failed");
            respond(stream, "202 Accepted").await;
            worker_listens.wait_for(|listens| *listens).await.unwrap();
            head
        };
        let head = tokio::select! {
            ended = scheduler.keep_calling(listening) => panic!("{ended:?}"),
            head = worker => head,
        };
        assert!(head[0].starts_with("POST /refresh "), "{head:?}");
        let authorization = "authorization: Bearer the secret".to_owned();
        assert!(head.contains(&authorization), "{head:?}");
    }
}
