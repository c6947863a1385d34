//! `GET /articles` and `GET /articles/{id}`: serves entries from the key-value store, and misses
//! from Supabase.
//!
//! A read never waits for its refresh: the refresh is requested after the response.
//!
//! | module | content |
//! | --- | --- |
//! | `lookup` | the store lookup of a read |
//! | `representation` | 200, 304 or 406 from an entry |
//! | `list`, `window`, `chunks` | the same from a long list, and from a part of a list |
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
mod chunks;
pub mod conditional;
pub mod cors;
mod failure;
mod fetch_lock;
mod list;
pub mod list_header;
mod lookup;
mod miss;
mod refresh_request;
mod representation;
mod settings;
mod single_flight;
pub mod window;

use after_response::AfterResponse;
use afterword::freshness::Freshness;
use afterword::host::http_server::{self, Guest, Headers, Incoming, Outgoing};
use afterword::key::Key;
use afterword::log::{self, event};
use afterword::response::Response;
use afterword::{host, metrics, problem};
use cache_status::{CacheStatus, Forward};
use http::Method;
use list::Wanted;
use lookup::Stored;
use miss::Outcome;
use representation::{Ages, Preconditions};
use settings::Settings;
use window::{Unsupported, Window};

const ALLOWED_METHODS: &str = "GET, HEAD, OPTIONS";

/// The HTTP handler.
pub struct Articles;

#[cfg(target_family = "wasm")]
http_server::export!(Articles);

// `#[spin_sdk::http_service]` would copy all headers, and fail for an unusual `Host`.
impl Guest for Articles {
    async fn handle(request: Incoming) -> Result<Outgoing, http_server::Error> {
        let method = http_server::method(&request);
        let (path, query) = http_server::path_and_query(&request);
        let headers = http_server::headers(&request);
        let (response, after) = match Settings::read().await {
            Ok(settings) => {
                let target = (&*path, &*query);
                let (response, after) = respond(&method, target, &headers, &settings).await;
                (settings.cors.apply(response, &headers), after)
            }
            Err(error) => {
                log::not_configured(&error).emit();
                (Response::problem(&problem::NOT_CONFIGURED), None)
            }
        };
        let response = response.send().await?;
        if let Some(after) = after {
            host::after_response(after.run());
        }
        metrics::report_later();
        Ok(response)
    }
}

/// The response, and the work to do after it.
async fn respond(
    method: &Method,
    (path, query): (&str, &str),
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
    if !matches!(*method, Method::GET | Method::HEAD) {
        return (Response::method_not_allowed(ALLOWED_METHODS), None);
    }
    if !accept::json(&headers.get("accept")) {
        return (Response::problem(&problem::NOT_ACCEPTABLE), None);
    }
    let window = match Window::parse(query) {
        Ok(Some(_)) if key != Key::List => Err(Unsupported),
        window => window,
    };
    let Ok(window) = window else {
        return (Response::problem(&problem::UNSUPPORTED_QUERY), None);
    };
    let wanted = Wanted {
        window,
        counts: window.is_some() && window::counts(&headers.get("prefer")),
        is_head: *method == Method::HEAD,
        preconditions: &Preconditions::of(headers),
        settings,
    };
    read(key, &wanted).await
}

async fn read(key: Key, wanted: &Wanted<'_>) -> (Response, Option<AfterResponse>) {
    let (settings, now) = (wanted.settings, host::now());
    let lifetime = settings.lifetime;
    let (why, stale) = match lookup::lookup(&key, settings).await {
        Ok(Some(stored)) if stored.is_too_large() => {
            match lifetime.judge(stored.fetched_at(), now) {
                Freshness::Fresh => (Forward::TooLarge, None),
                // A refresh finds out whether the content has become smaller.
                _ => (Forward::Stale, None),
            }
        }
        Ok(Some(stored)) => {
            let fetched_at = stored.fetched_at();
            let status = CacheStatus::Hit {
                ttl: lifetime.ttl(fetched_at, now),
            };
            let (counter, after) = match lifetime.judge(fetched_at, now) {
                Freshness::Fresh => (metrics::READ_HIT, None),
                Freshness::Stale => {
                    let key = key.clone();
                    let request = AfterResponse::RequestRefresh { key, fetched_at };
                    (metrics::READ_STALE, Some(request))
                }
                Freshness::StaleIfError => {
                    return miss(key, Forward::Stale, Some(stored), wanted).await;
                }
                Freshness::Expired => return miss(key, Forward::Stale, None, wanted).await,
            };
            if let Some(response) = of_stored(stored, wanted, status, now).await {
                metrics::count(counter);
                return (response, after);
            }
            (Forward::UriMiss, None)
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
    miss(key, why, stale, wanted).await
}

/// The response from what is stored; `None` if a chunk of the list is missing.
async fn of_stored(
    stored: Stored,
    wanted: &Wanted<'_>,
    status: CacheStatus,
    now: u64,
) -> Option<Response> {
    let ages = Ages::stored(stored.fetched_at(), now);
    match (stored, wanted.window) {
        (Stored::Entry(entry), None) => Some(representation::of_entry(
            entry,
            wanted.preconditions,
            wanted.settings,
            ages,
            status,
        )),
        (Stored::Entry(entry), Some(window)) => {
            Some(wanted.part_of_entry(&entry, window, ages, status))
        }
        (Stored::Directory(directory), _) => {
            match wanted.of_directory(directory, ages, status).await {
                Ok(response) => Some(response),
                Err(missing) => {
                    let message = format!("could not read {missing} of the list");
                    let line = log::event(event::ENTRY_NOT_READ, message);
                    line.key(Key::List).emit();
                    None
                }
            }
        }
    }
}

async fn miss(
    key: Key,
    why: Forward,
    stale: Option<Stored>,
    wanted: &Wanted<'_>,
) -> (Response, Option<AfterResponse>) {
    let settings = wanted.settings;
    let missed = miss::miss(key.clone(), wanted.window, why, stale, settings);
    let (mut outcome, mut status, mut after) = missed.await;
    let counter = outcome.counter(status);
    if let Outcome::Stored(stored) = outcome {
        if let Some(response) = of_stored(stored, wanted, status, host::now()).await {
            metrics::count(counter);
            return (response, after);
        }
        // Another reader found the same list, of which a chunk is missing.
        let bypassed = miss::miss(key, wanted.window, Forward::Bypass, None, settings);
        (outcome, status, after) = bypassed.await;
    }
    metrics::count(outcome.counter(status));
    let response = match (outcome, wanted.window) {
        (Outcome::Stored(_), _) => Response::problem(&problem::ORIGIN_UNAVAILABLE),
        (Outcome::Fetched(entry, _), window) => {
            let ages = Ages::fetched(entry.fetched_at, status);
            match window {
                Some(window) => wanted.fetched_part(entry, window, ages, status),
                None => {
                    representation::of_entry(entry, wanted.preconditions, settings, ages, status)
                }
            }
        }
        (Outcome::Failed(failure) | Outcome::Remembered(failure), _) => {
            representation::failed(&failure, status)
        }
    };
    (response, after)
}
