//! `GET /get/{bytes}`: one get from the key-value store, and its bytes as the response. The path is
//! the key. A missing key is stored with that many bytes.
//!
//! With the query `?headers`, it also reads the method and the request headers that Afterword needs
//! for an article, and sends as many response headers. Afterword cannot be faster than this.

use std::cell::RefCell;
use std::hint::black_box;
use std::rc::Rc;

use afterword_limit::article::{READ, SENT};
use afterword_limit::{failed, respond, respond_with};
use spin_sdk::key_value::Store;
use spin_sdk::wasip3::exports::http::handler::Guest;
use spin_sdk::wasip3::http::types::{ErrorCode, Request, Response};

thread_local! {
    /// The store that this instance keeps open between requests.
    static OPEN: RefCell<Option<Rc<Store>>> = const { RefCell::new(None) };
}

/// The HTTP handler.
pub struct Get;

#[cfg(target_family = "wasm")]
spin_sdk::wasip3::http::service::export!(Get);

impl Guest for Get {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let key = request.get_path_with_query().unwrap_or_default();
        let (key, with_headers) = match key.split_once('?') {
            Some((key, query)) => (key, query == "headers"),
            None => (&*key, false),
        };
        if with_headers {
            black_box(request.get_method());
            let headers = request.get_headers();
            for name in READ {
                black_box(headers.get(name));
            }
        }
        let store = store().await?;
        let content = match store.get(key).await.map_err(failed)? {
            Some(content) => content,
            None => put(&store, key).await?,
        };
        if with_headers {
            respond_with(content, &SENT).await
        } else {
            respond(content).await
        }
    }
}

async fn store() -> Result<Rc<Store>, ErrorCode> {
    if let Some(store) = OPEN.with_borrow(Clone::clone) {
        return Ok(store);
    }
    let store = Rc::new(Store::open_default().await.map_err(failed)?);
    OPEN.set(Some(store.clone()));
    Ok(store)
}

async fn put(store: &Store, key: &str) -> Result<Vec<u8>, ErrorCode> {
    let bytes = key.rsplit('/').next().unwrap_or_default();
    let content = vec![b' '; bytes.parse().map_err(failed)?];
    store.set(key, &content).await.map_err(failed)?;
    Ok(content)
}
