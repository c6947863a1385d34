//! Answers leave in one piece. Through a listener that does not set `TCP_NODELAY`, as Spin's does
//! not, the second of two pieces waits for the client's delayed acknowledgement, 40 ms. Pieces are
//! counted, not milliseconds, which a busy machine adds to.

use std::io::{Read, Write};
use std::net::TcpStream;

use afterword_scenarios::{SECRET, Setup};

/// Sends a request so often on one connection; returns how many answers came in several pieces.
fn split(address: &str, request: &str, times: usize) -> usize {
    let mut stream = TcpStream::connect(address).unwrap();
    let mut split = 0;
    for _ in 0..times {
        let mut pieces = 0;
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
            pieces += 1;
        }
        split += usize::from(pieces > 1);
    }
    split
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

#[tokio::test]
async fn answers_leave_in_one_piece() {
    let afterword = Setup::default().start().await;
    let address = afterword.url().trim_start_matches("http://").to_owned();
    for path in ["/articles/7", "/articles"] {
        afterword.wait_for_hit(path).await;
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
        let split = tokio::task::spawn_blocking(move || split(&address, &asked, 200)).await;
        let split = split.unwrap();
        // A head that leaves by itself does so each time. A busy machine splits one now and then.
        assert!(
            split < 20,
            "{split} of 200 answers were split, to {request}"
        );
    }
}
