//! `GET /articles` and `GET /articles/{id}`: serves entries from the key-value store, and misses
//! from Supabase.
//!
//! A read never waits for its refresh: the refresh is requested after the response.
//!
//! | module | content |
//! | --- | --- |
//! | `lookup` | the store lookup of a read |
//! | `representation` | 200, 304 or 406 from an entry |
//! | `accept`, `conditional`, `list_header` | the request headers that choose it |
//! | `miss` | misses, and entries that are too old |
//! | `single_flight`, `fetch_lock` | coalescing the misses of a key |
//! | `failure` | why a miss brings no content |
//! | `after_response`, `refresh_request` | the work after the response |
//! | `cache_status`, `cors` | response headers |
//! | `settings` | the variables that only reads need |

pub mod accept;
mod after_response;
pub mod cache_status;
pub mod conditional;
pub mod cors;
mod failure;
mod fetch_lock;
pub mod list_header;
mod lookup;
mod miss;
mod refresh_request;
mod representation;
mod settings;
mod single_flight;

use after_response::AfterResponse;
use afterword::freshness::Freshness;
use afterword::host::http_server::{self, Headers};
use afterword::key::Key;
use afterword::log::{self, event};
use afterword::response::Response;
use afterword::{host, metrics, problem};
use cache_status::{CacheStatus, Forward};
use http::Method;
use miss::Outcome;
use representation::Preconditions;
use settings::Settings;
use spin_sdk::wasip3::exports::http::handler::Guest;
use spin_sdk::wasip3::http::types;

const ALLOWED_METHODS: &str = "GET, HEAD, OPTIONS";

/// The HTTP handler.
pub struct Articles;

#[cfg(target_family = "wasm")]
spin_sdk::wasip3::http::service::export!(Articles);

// `#[spin_sdk::http_service]` would copy all headers, and fail for an unusual `Host`.
impl Guest for Articles {
    async fn handle(request: types::Request) -> Result<types::Response, types::ErrorCode> {
        let method = http_server::method(&request);
        let path = http_server::path(&request);
        let headers = http_server::headers(&request);
        let (response, after) = match Settings::read().await {
            Ok(settings) => {
                let (response, after) = respond(&method, &path, &headers, &settings).await;
                (settings.cors.apply(response, &headers), after)
            }
            Err(error) => {
                log::not_configured(&error).emit();
                (Response::problem(&problem::NOT_CONFIGURED), None)
            }
        };
        let response = response.send().await?;
        if let Some(after) = after {
            host::spawn(after.run());
        }
        metrics::report_later();
        Ok(response)
    }
}

/// The response, and the work to do after it.
async fn respond(
    method: &Method,
    path: &str,
    headers: &Headers,
    settings: &Settings,
) -> (Response, Option<AfterResponse>) {
    // Before the path is checked, so that a page can read the error response.
    if *method == Method::OPTIONS {
        return (settings.cors.options(ALLOWED_METHODS, headers), None);
    }
    let Some(key) = Key::from_request(path) else {
        return (Response::problem(&problem::NO_SUCH_PATH), None);
    };
    match *method {
        Method::GET | Method::HEAD if accept::json(&headers.get("accept")) => {
            read(key, &Preconditions::of(headers), settings).await
        }
        Method::GET | Method::HEAD => (Response::problem(&problem::NOT_ACCEPTABLE), None),
        _ => (Response::method_not_allowed(ALLOWED_METHODS), None),
    }
}

async fn read(
    key: Key,
    preconditions: &Preconditions,
    settings: &Settings,
) -> (Response, Option<AfterResponse>) {
    let (lifetime, now) = (settings.lifetime, host::now());
    let (why, stale) = match lookup::lookup(&key, settings).await {
        Ok(Some(entry)) if entry.is_too_large() => {
            match lifetime.judge(entry.fetched_at, now) {
                Freshness::Fresh => (Forward::TooLarge, None),
                // A refresh finds out whether the content has become smaller.
                _ => (Forward::Stale, None),
            }
        }
        Ok(Some(entry)) => {
            let fetched_at = entry.fetched_at;
            let status = CacheStatus::Hit {
                ttl: lifetime.ttl(fetched_at, now),
            };
            let hit = || representation::stored(&entry, preconditions, settings, status, now);
            match lifetime.judge(fetched_at, now) {
                Freshness::Fresh => {
                    metrics::count(metrics::READ_HIT);
                    return (hit(), None);
                }
                Freshness::Stale => {
                    metrics::count(metrics::READ_STALE);
                    return (
                        hit(),
                        Some(AfterResponse::RequestRefresh { key, fetched_at }),
                    );
                }
                Freshness::StaleIfError => (Forward::Stale, Some(entry)),
                Freshness::Expired => (Forward::Stale, None),
            }
        }
        Ok(None) => (Forward::UriMiss, None),
        Err(error) => {
            log::event(
                event::ENTRY_NOT_READ,
                format!("could not read the entry of {key}"),
            )
            .key(&key)
            .error(error)
            .emit();
            (Forward::Bypass, None)
        }
    };
    let (outcome, status, after) = miss::miss(key, why, stale, settings).await;
    metrics::count(outcome.counter(status));
    let response = match outcome {
        Outcome::Stored(entry) => {
            representation::stored(&entry, preconditions, settings, status, host::now())
        }
        Outcome::Fetched(entry, _) => {
            representation::fetched(&entry, preconditions, settings, status)
        }
        Outcome::Failed(failure) | Outcome::Remembered(failure) => {
            representation::failed(&failure, status)
        }
    };
    (response, after)
}
