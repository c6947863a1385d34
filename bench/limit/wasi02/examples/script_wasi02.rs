//! `POST /script`: reads the request's body, runs one script in Redis, and responds with its
//! result. `EVAL` needs no second call to load the script.

use afterword_limit_wasi02::{Content, body, failed};
use spin_sdk_02::redis::{Connection, RedisParameter, RedisResult};
use spin_sdk_02::variables;
use wasi::http::types::{ErrorCode, IncomingRequest};

/// The least script that changes something.
const SCRIPT: &str = "return redis.call('INCR', KEYS[1])";
/// The key that counts the requests.
const KEY: &str = "limit";

afterword_limit_wasi02::handler!(script);

/// The HTTP handler.
pub fn script(request: IncomingRequest) -> Result<Content, ErrorCode> {
    let body = body(&request)?;
    let url = variables::get("redis_url").map_err(failed)?;
    let connection = Connection::open(&url).map_err(failed)?;
    let arguments = [SCRIPT.as_bytes(), b"1", KEY.as_bytes(), &body]
        .map(|bytes| RedisParameter::Binary(bytes.to_vec()));
    let result = connection.execute("EVAL", &arguments).map_err(failed)?;
    match result[..] {
        [RedisResult::Int64(count)] => Ok(count.to_string().into_bytes().into()),
        ref other => Err(failed(other)),
    }
}
