//! The names of what this workspace builds.

/// The components, each a package.
pub const COMPONENTS: [&str; 5] = [
    "articles",
    "revalidate",
    "status",
    "refresh",
    "refresh-http",
];

/// The target that components are compiled for: Rust's name of WASI components.
pub const WASM_TARGET: &str = "wasm32-wasip2";

/// The cargo feature of a component that builds it for WASI 0.2.
pub const WASI_02: &str = "wasi-02";

/// The program of the embedded host.
pub const HOST: &str = "afterword-host";

/// The program of the embedded host with fault dials.
pub const HOST_WITH_FAULTS: &str = "afterword-host-with-faults";

/// The cargo feature that [`HOST_WITH_FAULTS`] needs.
pub const FAULTS: &str = "faults";

/// The program of the stand-in for Supabase.
pub const SUPABASE: &str = "afterword-supabase";

/// The package of the benchmark's baselines. Each is an example.
pub const LIMIT: &str = "afterword-limit";

/// The same for WASI 0.2.
pub const LIMIT_02: &str = "afterword-limit-wasi02";

/// The program of the benchmark.
pub const BENCH: &str = "afterword-bench";

/// The test program of the scenarios.
pub const SCENARIOS: &str = "scenarios";
