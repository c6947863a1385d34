//! What the library of the scenarios (`tests/scenarios/src/environment.rs`) finds in its
//! environment.

use std::ffi::OsString;
use std::path::Path;

use afterword_stack::Host;
use anyhow::Result;

/// The host, and a `PATH` that begins with the folder of the Redis server at `redis`.
///
/// # Errors
///
/// When that folder cannot be in a `PATH`.
pub fn environment(host: &Host, redis: &Path) -> Result<[(&'static str, OsString); 3]> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folder = redis.parent().unwrap_or(Path::new("")).to_owned();
    let folders = std::iter::once(folder).chain(std::env::split_paths(&path));
    let path = ("PATH", std::env::join_paths(folders)?);
    Ok(match host {
        Host::Embedded(program) => [
            ("AFTERWORD_TEST_HOST", "embedded".into()),
            ("AFTERWORD_HOST_PROGRAM", program.into()),
            path,
        ],
        Host::Spin(program) => [
            ("AFTERWORD_TEST_HOST", "spin".into()),
            ("AFTERWORD_SPIN_PROGRAM", program.into()),
            path,
        ],
    })
}
