//! `GET`, `HEAD` and `OPTIONS` on `/articles` and `/articles/{id}`: read from the key-value store, from Supabase if it is not there.
//!
//! A read never waits for the refresh that it causes: what is missing or too old is marked *wanted* after the response.
//!
//! - this file: from a request to an answer
//! - [`representation`]: an entry in the coding and on the conditions that the reader asks for
//! - [`miss`]: what the store does not have, or not fresh enough
//! - [`failure`]: why there is no content, and for how long
//! - [`after`]: what is done after the response
//! - [`collapse`]: many who miss the same, in one instance
//! - [`sharing`]: the answers as pages of other origins may read them

mod after;
mod collapse;
mod failure;
mod miss;
mod representation;
mod sharing;

use after::After;
use afterword::answer::Answer;
use afterword::cache_status::{CacheStatus, Forward};
use afterword::entry::Entry;
use afterword::fields::Fields;
use afterword::freshness::{self, Freshness};
use afterword::key::Key;
use afterword::limit::limit;
use afterword::marks;
use afterword::store::{self, Store};
use afterword::variables::Reading;
use afterword::{accept, problem, variables};
use http::Method;
use miss::{Outcome, miss};
use representation::Asked;
use spin_sdk::wasip3;
use spin_sdk::wasip3::exports::http::handler::Guest;
use spin_sdk::wasip3::http::types::{ErrorCode, Request, Response};

/// The methods that are answered.
const ALLOW: &str = "GET, HEAD, OPTIONS";

struct Articles;

wasip3::http::service::export!(Articles);

// What `#[spin_sdk::http_service]` would write, but for the request: that is left in its WASI form. Turned into an `http::Request`,
// one with an odd `Host` would fail before it got here, and every read would pay for the copy of all its fields.
impl Guest for Articles {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let method = Method::try_from(request.get_method()).unwrap_or_default();
        let target = request.get_path_with_query().unwrap_or_default();
        let path = target.split('?').next().unwrap_or_default();
        let fields = Fields::of(&request);
        let (answer, after) = match variables::reading().await {
            Ok(reading) => {
                let (answer, after) = respond(&method, path, &fields, &reading).await;
                (sharing::shared(answer, &fields, &reading), after)
            }
            Err(error) => {
                eprintln!("{error}");
                (Answer::problem(&problem::NOT_SET_UP), None)
            }
        };
        let response = answer.send().await?;
        if let Some(after) = after {
            wasip3::spawn(after.carry_out());
        }
        Ok(response)
    }
}

/// The answer, and what is to be done after it.
async fn respond(
    method: &Method,
    path: &str,
    fields: &Fields,
    reading: &Reading,
) -> (Answer, Option<After>) {
    // First, so that a page learns which problem it is.
    if *method == Method::OPTIONS {
        return (sharing::options(ALLOW, fields, reading), None);
    }
    let Some(key) = Key::requested(path) else {
        return (Answer::problem(&problem::NO_SUCH_PATH), None);
    };
    match *method {
        Method::GET | Method::HEAD if accept::json(&fields.lines("accept")) => {
            read(key, &Asked::by(fields), reading).await
        }
        Method::GET | Method::HEAD => (Answer::problem(&problem::NOT_ACCEPTABLE), None),
        _ => (Answer::method_not_allowed(ALLOW), None),
    }
}

async fn read(key: Key, asked: &Asked, reading: &Reading) -> (Answer, Option<After>) {
    let (lifetime, now) = (reading.lifetime, freshness::now());
    let (why, held) = match stored(&key, reading).await {
        Ok(Some(entry)) => {
            let ttl = lifetime.ttl(entry.fetched_at, now);
            let hit =
                || representation::stored(&entry, asked, reading, CacheStatus::Hit { ttl }, now);
            match lifetime.judge(entry.fetched_at, now) {
                Freshness::Fresh => {
                    let after = marks::check_is_due(now).then_some(After::Fresh(key));
                    return (hit(), after);
                }
                Freshness::Stale => return (hit(), Some(After::Stale(key, entry.fetched_at))),
                Freshness::StaleIfError => (Forward::Stale, Some(entry)),
                Freshness::Expired => (Forward::Stale, None),
            }
        }
        Ok(None) => (Forward::UriMiss, None),
        Err(error) => {
            eprintln!("could not read the entry of {key}: {error}");
            (Forward::Bypass, None)
        }
    };
    let (outcome, status, after) = miss(key, why, held, reading).await;
    let answer = match outcome {
        Outcome::Stored(entry) => {
            representation::stored(&entry, asked, reading, status, freshness::now())
        }
        Outcome::Fetched(entry, _) => representation::fetched(&entry, asked, reading, status),
        Outcome::Failed(failure) | Outcome::Known(failure) => {
            representation::failed(&failure, status)
        }
    };
    (answer, after)
}

/// The stored entry, if it is an answer to this configuration. A store that is dead in whatever way
/// holds a read for a second at most.
async fn stored(key: &Key, reading: &Reading) -> Result<Option<Entry>, store::Error> {
    let value = async { Store::open().await?.get(&key.to_string()).await };
    let entry = limit(store::LIMIT, value).await??.and_then(Entry::decode);
    Ok(entry.filter(|entry| entry.source == reading.source(key)))
}
