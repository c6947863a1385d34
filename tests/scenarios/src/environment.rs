//! What `cargo xtask test` passes to the scenarios, by environment variables.

use std::path::PathBuf;
use std::sync::OnceLock;

use afterword_stack::{Host, Redis};
use afterword_supabase::Upstream;
use serde_json::{Value, json};

use crate::manifest::{Manifest, Trigger, Wasi};

/// The host that `cargo xtask test` chose.
///
/// # Panics
/// There is no environment of `cargo xtask test`.
pub fn host() -> Host {
    let program = |name| {
        PathBuf::from(
            std::env::var_os(name)
                .unwrap_or_else(|| panic!("{name} is not set; run `cargo xtask test`")),
        )
    };
    match std::env::var("AFTERWORD_TEST_HOST").as_deref() {
        Ok("spin") => Host::Spin(program("AFTERWORD_SPIN_PROGRAM")),
        _ => Host::Embedded(program("AFTERWORD_HOST_PROGRAM")),
    }
}

/// Whether the host has fault dials: the embedded host has, Spin has not. If not, prints that the
/// scenario is skipped.
pub fn host_has_dials() -> bool {
    let embedded = matches!(host(), Host::Embedded(_));
    if !embedded {
        eprintln!(
            "skipped: this scenario needs the embedded host's fault dials, which Spin does not have"
        );
    }
    embedded
}

/// Whether the host counts the fuel and the memory of instances: the embedded host does, Spin does
/// not. If not, prints that the scenario is skipped.
pub fn host_measures() -> bool {
    let embedded = matches!(host(), Host::Embedded(_));
    if !embedded {
        eprintln!("skipped: this scenario needs the fuel that only the embedded host counts");
    }
    embedded
}

/// The manifest that `cargo xtask test` chose.
pub(crate) fn manifest() -> Manifest {
    Manifest {
        trigger: match std::env::var("AFTERWORD_TEST_MANIFEST").as_deref() {
            Ok("http") => Trigger::Http,
            _ => Trigger::Redis,
        },
        wasi: match std::env::var("AFTERWORD_TEST_WASI").as_deref() {
            Ok("0.2") => Wasi::V02,
            _ => Wasi::V03,
        },
    }
}

/// Whether the host reuses instances: with WASI 0.3. If not, prints that the scenario is skipped.
pub fn instances_are_reused() -> bool {
    let reused = reuses_instances();
    if !reused {
        eprintln!("skipped: this scenario needs reused instances, which WASI 0.2 lacks");
    }
    reused
}

/// Whether the host reuses instances: with WASI 0.3.
pub fn reuses_instances() -> bool {
    manifest().wasi == Wasi::V03
}

/// Faults of a call of Redis or of the key-value store: it fails, or it hangs. With WASI 0.2, such
/// a call has no time limit.
pub fn failing_calls() -> Vec<Value> {
    let mut faults = vec![json!({"fail": true})];
    if reuses_instances() {
        faults.push(json!({"delay_ms": 600_000}));
    }
    faults
}

/// Whether Redis wakes the worker. If not, prints that the scenario is skipped.
pub fn redis_wakes_workers() -> bool {
    let wakes = manifest().trigger == Trigger::Redis;
    if !wakes {
        eprintln!("skipped: this scenario is about the Redis trigger, which this manifest lacks");
    }
    wakes
}

/// The manifest of the commit that `cargo xtask test --rollout-from` named. Without one, prints that
/// the scenario is skipped.
pub fn former_manifest() -> Option<PathBuf> {
    let manifest = std::env::var_os("AFTERWORD_TEST_FORMER").map(PathBuf::from);
    if manifest.is_none() {
        eprintln!("skipped: this scenario needs `cargo xtask test --rollout-from COMMIT`");
    }
    manifest
}

/// The Redis server's program.
///
/// # Panics
/// There is none on the `PATH`.
pub fn redis_program() -> PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM
        .get_or_init(|| Redis::find().expect("redis-server is on the PATH; run `cargo xtask test`"))
        .clone()
}

/// The real PostgREST with this *Max rows*, if the scenarios run against one, as in CI. `None`
/// means the stand-in.
///
/// # Panics
/// There is none with this *Max rows*.
pub(crate) fn real_postgrest(row_cap: u64) -> Option<Upstream> {
    let database = std::env::var("AFTERWORD_TEST_DATABASE").ok()?;
    let name = match row_cap {
        1_000 => "AFTERWORD_TEST_POSTGREST".to_owned(),
        rows => format!("AFTERWORD_TEST_POSTGREST_{rows}"),
    };
    let postgrest = std::env::var(&name).unwrap_or_else(|_| panic!("{name} is not set"));
    Some(Upstream {
        postgrest,
        database,
    })
}
