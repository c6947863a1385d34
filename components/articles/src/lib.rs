//! `GET` and `HEAD` on `/articles` and `/articles/{id}`: read from the key-value store, from Supabase if it is not there.
//!
//! A read never waits for the refresh that it causes: what is missing or too old is marked *wanted* after the response.

use afterword::answer::{self, Answer};
use afterword::entry::Entry;
use afterword::freshness::{self, Freshness};
use afterword::key::Key;
use afterword::limit::limit;
use afterword::postgrest::{self, Origin, fetch};
use afterword::store::{self, Store};
use afterword::{marks, variables};
use bytes::Bytes;
use http::{Method, StatusCode};
use spin_sdk::wasip3;
use spin_sdk::wasip3::exports::http::handler::Guest;
use spin_sdk::wasip3::http::types::{ErrorCode, Request, Response};
use std::error::Error;

struct Articles;

wasip3::http::service::export!(Articles);

// What `#[spin_sdk::http_service]` would write, but for the request: that is left in its WASI form. Turned into an `http::Request`,
// one with an odd `Host` would fail before it got here, and every read would pay for the copy of all its fields.
impl Guest for Articles {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let method = Method::try_from(request.get_method()).unwrap_or_default();
        let target = request.get_path_with_query().unwrap_or_default();
        let path = target.split('?').next().unwrap_or_default();
        let (answer, wanted) = read(&method, path).await;
        let response = answer::send(answer).await?;
        if let Some(key) = wanted {
            wasip3::spawn(async move {
                if let Err(error) = want(&key).await {
                    eprintln!("could not mark {key} as wanted: {error}");
                }
            });
        }
        Ok(response)
    }
}

/// The answer, and the key that is wanted because of it.
async fn read(method: &Method, path: &str) -> (Answer, Option<Key>) {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return (answer::method_not_allowed("GET, HEAD"), None);
    }
    let Some(key) = Key::from_path(path) else {
        return (
            answer::problem(StatusCode::NOT_FOUND, "No article has this path."),
            None,
        );
    };
    match stored(&key).await {
        Ok(Some((entry, Freshness::Fresh))) => (answer::entry(&entry), None),
        Ok(Some((entry, Freshness::Stale))) => (answer::entry(&entry), Some(key)),
        Ok(_) => pass_through(key).await,
        Err(error) => {
            eprintln!("could not read the entry of {key}: {error}");
            pass_through(key).await
        }
    }
}

/// The stored entry. A store that is dead in whatever way holds a read for a second at most.
async fn stored(key: &Key) -> Result<Option<(Entry, Freshness)>, Box<dyn Error>> {
    let value = async { Store::open().await?.get(&key.to_string()).await };
    let value = limit(store::LIMIT, value)
        .await
        .map_err(store::Error::from)??;
    let Some(entry) = value.and_then(Entry::decode) else {
        return Ok(None);
    };
    let freshness = variables::lifetime()
        .await?
        .judge(entry.fetched_at, freshness::now());
    Ok(Some((entry, freshness)))
}

/// Answers from the origin. The entry is not written here: a reader that fetched before a change and wrote after it would
/// put the old row back. The worker writes it, soon after.
async fn pass_through(key: Key) -> (Answer, Option<Key>) {
    let fetched_at = freshness::now();
    match fetched(&key).await {
        Ok(Some(content)) => (answer::entry(&Entry::new(content, fetched_at)), Some(key)),
        Ok(None) => (
            answer::problem(StatusCode::NOT_FOUND, "There is no such article."),
            None,
        ),
        Err(answer) => (answer, None),
    }
}

async fn fetched(key: &Key) -> Result<Option<Bytes>, Answer> {
    let origin = variables::origin().await.map_err(|error| {
        eprintln!("{error}");
        answer::problem(
            StatusCode::INTERNAL_SERVER_ERROR,
            "This application is not set up; its log says why.",
        )
    })?;
    limit(fetch::WHOLE, content(&origin, key))
        .await
        .unwrap_or(Err(postgrest::Error::TimedOut))
        .map_err(|error| {
            eprintln!("could not fetch {key}: {error}");
            failing(&error)
        })
}

async fn content(origin: &Origin, key: &Key) -> Result<Option<Bytes>, postgrest::Error> {
    match key {
        Key::List => Ok(origin.list().await?.map(|list| list.content)),
        Key::Item(id) => origin.item(id).await,
    }
}

/// RFC 9110, section 15.6: 504 where the origin did not answer in time, 503 where it asks for patience, else 502.
fn failing(error: &postgrest::Error) -> Answer {
    match error {
        postgrest::Error::TimedOut => answer::problem(
            StatusCode::GATEWAY_TIMEOUT,
            "The articles' origin did not answer in time.",
        ),
        postgrest::Error::Status {
            status: StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS,
            ..
        } => answer::problem(
            StatusCode::SERVICE_UNAVAILABLE,
            "The articles' origin cannot answer now.",
        ),
        _ => answer::problem(
            StatusCode::BAD_GATEWAY,
            "The articles' origin gave no usable answer.",
        ),
    }
}

async fn want(key: &Key) -> Result<(), Box<dyn Error>> {
    Ok(marks::wanted(&variables::redis_url().await?, key).await?)
}
