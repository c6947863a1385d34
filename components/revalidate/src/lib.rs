//! `POST /revalidate`: takes a Supabase database webhook, marks what it says has changed, and acknowledges at once. It waits
//! for Redis and for nothing else, but for the outbox where Redis is away; the refresh is the worker's.

use afterword::answer::{self, Answer, Noted};
use afterword::key::Key;
use afterword::{marks, outbox, store, variables, webhook};
use http::{Method, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use spin_sdk::wasip3;
use spin_sdk::wasip3::exports::http::handler::Guest;
use spin_sdk::wasip3::http::types::{ErrorCode, Request, Response};
use spin_sdk::wasip3::http_compat::IncomingRequestBody;
use subtle::ConstantTimeEq;

/// The longest body, in bytes. pg_net sends a row and its old values; PostgreSQL's own limits are higher, a cache's need not be.
const MAX_BODY: usize = 4 << 20;

struct Revalidate;

wasip3::http::service::export!(Revalidate);

// What `#[spin_sdk::http_service]` would write, but for the request: that is left in its WASI form. Turned into an `http::Request`,
// one with an odd `Host` would fail before it got here.
impl Guest for Revalidate {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let method = Method::try_from(request.get_method()).unwrap_or_default();
        let answer = match acknowledge(&method, request).await {
            Ok(answer) | Err(answer) => answer,
        };
        answer::send(answer).await
    }
}

async fn acknowledge(method: &Method, request: Request) -> Result<Answer, Answer> {
    if *method != Method::POST {
        return Err(answer::method_not_allowed("POST"));
    }
    let secret = variables::webhook_secret().await.map_err(not_set_up)?;
    if !authorized(&request, &secret) {
        return Err(answer::unauthorized());
    }
    let table = variables::table().await.map_err(not_set_up)?;
    let body = body(request).await?;
    let keys = webhook::marked(&body, &table)
        .map_err(|refused| answer::problem(StatusCode::BAD_REQUEST, &refused.to_string()))?;
    if keys.is_empty() {
        println!("sending response: nothing marked, the webhook is about another table");
        return Ok(answer::received(&Noted::Nothing));
    }
    let redis_url = variables::redis_url().await.map_err(not_set_up)?;
    let names = names(&keys);
    let noted = match marks::changed(&redis_url, &keys).await {
        Ok(sequence) => {
            println!("sending response: change {sequence} marked {names}");
            Noted::Marked(sequence)
        }
        Err(error) => {
            outbox::put(&keys)
                .await
                .map_err(|full| neither(&names, &error, &full))?;
            println!("sending response: {names} kept in the outbox, for want of Redis: {error}");
            Noted::Outbox
        }
    };
    Ok(answer::received(&noted))
}

fn neither(names: &str, redis: &marks::Error, store: &store::Error) -> Answer {
    eprintln!("could not note {names}: {redis}; {store}");
    let detail = "Neither Redis nor the key-value store took the change. Nothing was kept of it: send it again.";
    answer::problem(StatusCode::SERVICE_UNAVAILABLE, detail)
}

/// RFC 6750, section 2.1: `Authorization: Bearer <webhook_secret>`, compared in constant time.
fn authorized(request: &Request, secret: &str) -> bool {
    let fields = request.get_headers().get("authorization");
    let [field] = &fields[..] else { return false };
    let Some((scheme, token)) = field.split_at_checked("Bearer ".len()) else {
        return false;
    };
    scheme.eq_ignore_ascii_case(b"Bearer ") && bool::from(token.ct_eq(secret.as_bytes()))
}

async fn body(request: Request) -> Result<bytes::Bytes, Answer> {
    let cut_short = || answer::problem(StatusCode::BAD_REQUEST, "The body did not arrive whole.");
    let incoming = IncomingRequestBody::new(request).map_err(|_| cut_short())?;
    match Limited::new(incoming, MAX_BODY).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(answer::problem(
            StatusCode::PAYLOAD_TOO_LARGE,
            "A webhook's body has at most 4 MiB.",
        )),
        Err(_) => Err(cut_short()),
    }
}

fn not_set_up(error: variables::Error) -> Answer {
    eprintln!("{error}");
    answer::problem(
        StatusCode::INTERNAL_SERVER_ERROR,
        "This application is not set up; its log says why.",
    )
}

fn names(keys: &[Key]) -> String {
    keys.iter()
        .map(Key::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}
