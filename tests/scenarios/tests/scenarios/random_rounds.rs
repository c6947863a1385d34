//! The number of rounds and the random numbers of the fault tests.

use fastrand::Rng;

/// The number of rounds: `AFTERWORD_ROUNDS`, or `default`, so that all scenarios together take
/// minutes.
pub fn rounds(default: usize) -> usize {
    match std::env::var("AFTERWORD_ROUNDS") {
        Ok(rounds) => rounds.parse().expect("AFTERWORD_ROUNDS is a number"),
        Err(_) => default,
    }
}

/// Random numbers from the seed `AFTERWORD_SEED`, or from a random seed. Prints the seed, so that a
/// failure can be replayed.
pub fn seeded() -> Rng {
    let seed = match std::env::var("AFTERWORD_SEED") {
        Ok(seed) => seed.parse().expect("AFTERWORD_SEED is a number"),
        Err(_) => Rng::new().u64(..),
    };
    eprintln!("AFTERWORD_SEED={seed}");
    Rng::with_seed(seed)
}
