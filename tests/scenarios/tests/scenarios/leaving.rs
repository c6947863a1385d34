//! Answers leave in one piece, also through a listener that does not set `TCP_NODELAY`, as Spin's does not.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use afterword_scenarios::Setup;

/// Less than the 40 ms for which Linux delays an acknowledgement, more than a cached read takes.
const STALL: Duration = Duration::from_millis(30);

/// Reads `path` so often on one connection; returns how many answers stalled.
fn stalled(url: &str, path: &str, reads: usize) -> usize {
    let address = url.trim_start_matches("http://").to_owned();
    let mut stream = TcpStream::connect(&address).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n");
    let mut stalls = 0;
    for _ in 0..reads {
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
    let Some((head, content)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    assert!(head.starts_with("http/1.1 200"), "{head}");
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .expect("a content-length");
    content.len() == length.trim().parse::<usize>().unwrap()
}

#[tokio::test]
async fn none_of_two_hundred_cached_reads_on_one_connection_stalls() {
    let afterword = Setup::default().start().await;
    for path in ["/articles/7", "/articles"] {
        afterword.hit(path).await;
        let url = afterword.url().to_owned();
        // An answer that leaves in two pieces stalls each time; a busy machine does so now and then. So a few tries are given.
        let fewest = tokio::task::spawn_blocking(move || fewest_stalled(&url, path))
            .await
            .unwrap();
        assert_eq!(fewest, 0, "{path}: so many of 200 answers stalled, at best");
    }
}

fn fewest_stalled(url: &str, path: &str) -> usize {
    let mut fewest = usize::MAX;
    for _ in 0..10 {
        fewest = fewest.min(stalled(url, path, 200));
        if fewest == 0 {
            break;
        }
    }
    fewest
}
