//! `afterword-host`, without fault dials.

fn main() -> std::process::ExitCode {
    afterword_host::run_program()
}
