//! The answers as pages of other origins may read them, or not ([`afterword::cors`] says which).

use afterword::answer::Answer;
use afterword::cors;
use afterword::fields::Fields;
use afterword::variables::Reading;

/// The answer to `OPTIONS`, with the methods that are allowed; it may be a browser's question whether a page may read.
pub fn options(allow: &str, fields: &Fields, reading: &Reading) -> Answer {
    let answer = Answer::options(allow);
    let asks = !fields.lines("access-control-request-method").is_empty();
    match asks && allowed(fields, reading).is_some() {
        true => cors::preflight(answer),
        false => answer,
    }
}

/// The answer as pages of other origins may read it, or not.
pub fn shared(mut answer: Answer, fields: &Fields, reading: &Reading) -> Answer {
    if reading.cors.varies() {
        answer = answer.with("vary", "Origin");
    }
    match allowed(fields, reading) {
        Some(allow) => cors::readable(answer, allow),
        None => answer,
    }
}

/// The value of `Access-Control-Allow-Origin`, if the page that asks may read.
fn allowed<'a>(fields: &Fields, reading: &'a Reading) -> Option<&'a str> {
    // Asked for only where it counts: most applications have no list.
    let lines = match reading.cors.varies() {
        true => fields.lines("origin"),
        false => Vec::new(),
    };
    let origin = match &lines[..] {
        [origin] => Some(&origin[..]),
        _ => None,
    };
    reading.cors.allow(origin)
}
