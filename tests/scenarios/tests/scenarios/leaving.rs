//! Answers leave in one piece, also through a listener that does not set `TCP_NODELAY`, as Spin's does not.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use afterword_scenarios::{SECRET, Setup};

/// Less than the 40 ms for which Linux delays an acknowledgement, more than a cached read takes.
const STALL: Duration = Duration::from_millis(30);

/// Sends a request so often on one connection; returns how many answers stalled.
fn stalled(address: &str, request: &str, times: usize) -> usize {
    let mut stream = TcpStream::connect(address).unwrap();
    let mut stalls = 0;
    for _ in 0..times {
        let started = Instant::now();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        while !whole(&answer) {
            let mut part = [0; 64 * 1024];
            let length = stream.read(&mut part).unwrap();
            assert!(
                length > 0,
                "the connection was closed: {}",
                String::from_utf8_lossy(&answer)
            );
            answer.extend_from_slice(&part[..length]);
        }
        stalls += usize::from(started.elapsed() > STALL);
    }
    stalls
}

/// Whether a response with a `Content-Length` is there to its end.
fn whole(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer).to_ascii_lowercase();
    let Some((head, _)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .expect("a content-length");
    answer.len() == head.len() + 4 + length.trim().parse::<usize>().unwrap()
}

/// An answer that leaves in two pieces stalls each time; a busy machine stalls one now and then. So a few tries are given.
fn fewest_stalled(address: &str, request: &str) -> usize {
    let mut fewest = usize::MAX;
    for _ in 0..10 {
        fewest = fewest.min(stalled(address, request, 200));
        if fewest == 0 {
            break;
        }
    }
    fewest
}

#[tokio::test]
async fn none_of_two_hundred_answers_on_one_connection_stalls() {
    let afterword = Setup::default().start().await;
    let address = afterword.url().trim_start_matches("http://").to_owned();
    for path in ["/articles/7", "/articles"] {
        afterword.hit(path).await;
    }
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n");
    let webhook = format!(
        "POST /revalidate HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {SECRET}\r\ncontent-length: 2\r\n\r\n{{}}"
    );
    for request in [
        get("/articles/7"),
        get("/articles"),
        get("/articles/1/2"),
        webhook,
    ] {
        let (address, asked) = (address.clone(), request.clone());
        let fewest = tokio::task::spawn_blocking(move || fewest_stalled(&address, &asked))
            .await
            .unwrap();
        assert_eq!(
            fewest, 0,
            "so many of 200 answers stalled, at best, to {request}"
        );
    }
}
