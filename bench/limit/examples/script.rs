//! `POST /script`: reads the request's body, runs one script in Redis, and responds with its result.

use std::cell::RefCell;
use std::rc::Rc;

use afterword_limit::{failed, respond};
use spin_sdk::redis::{Connection, RedisParameter, RedisResult};
use spin_sdk::variables;
use spin_sdk::wasip3::exports::http::handler::Guest;
use spin_sdk::wasip3::http::types::{ErrorCode, Request, Response};
use spin_sdk::wasip3::wit_bindgen::StreamResult;
use spin_sdk::wasip3::wit_future;

/// The least script that changes something.
const SCRIPT: &str = "return redis.call('INCR', KEYS[1])";
/// The key that counts the requests.
const KEY: &str = "limit";

thread_local! {
    /// What this instance keeps between requests.
    static OPEN: RefCell<Option<Rc<Open>>> = const { RefCell::new(None) };
}

struct Open {
    connection: Connection,
    /// The SHA-1 of [`SCRIPT`], which this connection has loaded.
    sha1: Vec<u8>,
}

/// The HTTP handler.
pub struct Script;

#[cfg(target_family = "wasm")]
spin_sdk::wasip3::http::service::export!(Script);

impl Guest for Script {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let body = body(request).await?;
        let open = open().await?;
        let arguments = [&open.sha1[..], b"1", KEY.as_bytes(), &body];
        let result = execute(&open.connection, "EVALSHA", &arguments).await?;
        match result[..] {
            [RedisResult::Int64(count)] => respond(count.to_string().into_bytes()).await,
            ref other => Err(failed(other)),
        }
    }
}

async fn body(request: Request) -> Result<Vec<u8>, ErrorCode> {
    let (_, no_error) = wit_future::new(|| Ok(()));
    let (mut stream, trailers) = Request::consume_body(request, no_error);
    let mut body = Vec::new();
    loop {
        body.reserve(64 << 10);
        let (result, read) = stream.read(body).await;
        body = read;
        if let StreamResult::Dropped | StreamResult::Cancelled = result {
            break;
        }
    }
    trailers.await?;
    Ok(body)
}

async fn open() -> Result<Rc<Open>, ErrorCode> {
    if let Some(open) = OPEN.with_borrow(Clone::clone) {
        return Ok(open);
    }
    let url = variables::get("redis_url").await.map_err(failed)?;
    let connection = Connection::open(url).await.map_err(failed)?;
    let loaded = execute(&connection, "SCRIPT", &[b"LOAD", SCRIPT.as_bytes()]).await?;
    let [RedisResult::Binary(sha1)] = &loaded[..] else {
        return Err(failed(loaded));
    };
    let sha1 = sha1.clone();
    let open = Rc::new(Open { connection, sha1 });
    OPEN.set(Some(open.clone()));
    Ok(open)
}

async fn execute(
    connection: &Connection,
    command: &str,
    arguments: &[&[u8]],
) -> Result<Vec<RedisResult>, ErrorCode> {
    let arguments = arguments
        .iter()
        .map(|bytes| RedisParameter::Binary(bytes.to_vec()));
    connection.execute(command, arguments).await.map_err(failed)
}
