//! `GET /get/{bytes}`: one get from the key-value store, and its bytes as the response: like
//! `bench/limit/examples/get.rs`, with the same query and the same headers.

use std::hint::black_box;

use afterword_limit_wasi02::article::{READ, SENT};
use afterword_limit_wasi02::{Content, failed};
use spin_sdk_02::key_value::Store;
use wasi::http::types::{ErrorCode, IncomingRequest};

afterword_limit_wasi02::handler!(get);

/// The HTTP handler.
pub fn get(request: IncomingRequest) -> Result<Content, ErrorCode> {
    let key = request.path_with_query().unwrap_or_default();
    let (key, with_headers) = match key.split_once('?') {
        Some((key, query)) => (key, query == "headers"),
        None => (&*key, false),
    };
    if with_headers {
        black_box(request.method());
        let headers = request.headers();
        for name in READ {
            black_box(headers.get(&name.to_owned()));
        }
    }
    let store = Store::open_default().map_err(failed)?;
    let bytes = match store.get(key).map_err(failed)? {
        Some(bytes) => bytes,
        None => put(&store, key)?,
    };
    Ok(Content {
        bytes,
        headers: if with_headers { &SENT } else { &[] },
    })
}

fn put(store: &Store, key: &str) -> Result<Vec<u8>, ErrorCode> {
    let bytes = key.rsplit('/').next().unwrap_or_default();
    let content = vec![b' '; bytes.parse().map_err(failed)?];
    store.set(key, &content).map_err(failed)?;
    Ok(content)
}
