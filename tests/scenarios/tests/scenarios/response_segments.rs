//! Each response is sent in one TCP segment. Spin's listener does not set `TCP_NODELAY`, so a
//! second segment would wait 40 ms for the client's delayed acknowledgement. The scenario counts
//! reads instead of milliseconds, because a busy machine adds to those.

use std::io::{Read, Write};
use std::net::TcpStream;

use afterword_scenarios::{SECRET, Setup};
use tokio::task::JoinSet;

/// Sends a request `times` times on one connection. Returns the number of responses that took more
/// than one read.
fn count_split(address: &str, request: &str, times: usize) -> usize {
    let mut stream = TcpStream::connect(address).unwrap();
    let mut split = 0;
    for _ in 0..times {
        let mut reads = 0;
        stream.write_all(request.as_bytes()).unwrap();
        let mut response = Vec::new();
        while !is_complete(&response) {
            let mut part = [0; 64 * 1024];
            let length = stream.read(&mut part).unwrap();
            assert!(
                length > 0,
                "the connection was closed: {}",
                String::from_utf8_lossy(&response)
            );
            response.extend_from_slice(&part[..length]);
            reads += 1;
        }
        split += usize::from(reads > 1);
    }
    split
}

/// Whether a response with a `Content-Length` has been read to its end.
fn is_complete(response: &[u8]) -> bool {
    let text = String::from_utf8_lossy(response).to_ascii_lowercase();
    let Some((head, _)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .expect("it has a content-length");
    response.len() == head.len() + 4 + length.trim().parse::<usize>().unwrap()
}

/// The responses to each request, over all connections.
const RESPONSES: usize = 192;

/// Sends each kind of request on one, four and sixteen connections.
async fn assert_in_one_segment(setup: Setup) {
    let afterword = setup.start().await;
    let address = afterword.address().to_owned();
    for path in ["/articles/7", "/articles"] {
        afterword.wait_for_hit(path).await;
    }
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n");
    let webhook = format!(
        "POST /revalidate HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {SECRET}\r\n\
         content-length: 2\r\n\r\n{{}}"
    );
    for request in [
        get("/articles/7"),
        get("/articles"),
        get("/articles/1/2"),
        webhook,
    ] {
        for connections in [1, 4, 16] {
            let mut clients = JoinSet::new();
            for _ in 0..connections {
                let (address, request) = (address.clone(), request.clone());
                let times = RESPONSES / connections;
                clients.spawn_blocking(move || count_split(&address, &request, times));
            }
            let split: usize = clients.join_all().await.into_iter().sum();
            // A separate segment for the head would split each response. A busy machine splits
            // a few.
            assert!(
                split < RESPONSES / 10,
                "{split} of {RESPONSES} responses on {connections} connections were split, to \
                 {request}"
            );
        }
    }
}

#[tokio::test]
async fn a_response_is_sent_in_one_segment() {
    assert_in_one_segment(Setup::default()).await;
}

#[tokio::test]
async fn a_response_from_the_redis_store_is_sent_in_one_segment() {
    assert_in_one_segment(Setup::default().shared_store()).await;
}
