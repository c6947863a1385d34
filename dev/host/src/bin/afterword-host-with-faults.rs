//! `afterword-host` with fault dials, for tests. It has a name of its own, so that a host which
//! `cargo xtask up` builds does not replace the one that running tests start.

fn main() -> std::process::ExitCode {
    afterword_host::run_program()
}
