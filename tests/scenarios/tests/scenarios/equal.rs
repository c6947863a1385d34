//! What the fault tests share: whether the cache equals the origin, random numbers that can be replayed, and how long to go on.

use afterword_scenarios::Afterword;
use fastrand::Rng;
use serde_json::Value;

/// Reads the list and these articles, and compares each with what PostgREST answers to the anonymous key. All that it answers has
/// to come from the store; what it does not answer has to be 404. No mark may be left, and no reconciliation come meanwhile.
pub async fn cache_equals_origin(afterword: &Afterword, ids: impl Iterator<Item = u32>) {
    let rows = afterword.origin("?order=id.asc").await;
    let (there, gone): (Vec<u32>, Vec<u32>) = ids.partition(|id| row(&rows, *id).is_some());
    assert!(!there.is_empty(), "there is something to compare");
    afterword.supabase().clear_requests();
    assert_eq!(afterword.get("/articles").await.json(), rows);
    let mut different = Vec::new();
    for id in there {
        let answer = afterword.get(&format!("/articles/{id}")).await;
        if answer.status != 200 || Some(&answer.json()) != row(&rows, id) {
            different.push((id, answer.status, answer.body));
        }
    }
    assert!(
        different.is_empty(),
        "the store has {different:?}, the origin {rows}"
    );
    assert_eq!(
        afterword.supabase().requests(),
        [],
        "all of it came from the store"
    );
    answers_equal_origin(afterword, gone.into_iter()).await;
}

/// Reads these articles, and compares each with what PostgREST answers to the anonymous key, whether it comes from the store or not.
pub async fn answers_equal_origin(afterword: &Afterword, ids: impl Iterator<Item = u32>) {
    let rows = afterword.origin("?order=id.asc").await;
    for id in ids {
        let answer = afterword.get(&format!("/articles/{id}")).await;
        match row(&rows, id) {
            Some(row) => assert_eq!(&answer.json(), row, "{id}"),
            None => assert_eq!(answer.status, 404, "{id}: {answer:?}"),
        }
    }
}

fn row(rows: &Value, id: u32) -> Option<&Value> {
    let rows = rows.as_array().expect("PostgREST answers with an array");
    rows.iter().find(|row| row["id"] == id)
}

/// How many rounds to go: `AFTERWORD_ROUNDS`, or few, so that all the scenarios together take minutes.
pub fn rounds(few: usize) -> usize {
    match std::env::var("AFTERWORD_ROUNDS") {
        Ok(rounds) => rounds.parse().expect("AFTERWORD_ROUNDS is a number"),
        Err(_) => few,
    }
}

/// Random numbers that start at `AFTERWORD_SEED`, else somewhere, and print where: a failure shows it.
pub fn seeded() -> Rng {
    let seed = match std::env::var("AFTERWORD_SEED") {
        Ok(seed) => seed.parse().expect("AFTERWORD_SEED is a number"),
        Err(_) => Rng::new().u64(..),
    };
    eprintln!("AFTERWORD_SEED={seed}");
    Rng::with_seed(seed)
}
