//! PostgreSQL from Debian's packages, for the tests of `supabase/`.

use std::path::PathBuf;

use anyhow::Result;

use super::apt;
use super::unpacked::Unpacked;

const UNPACKED: Unpacked = Unpacked {
    folder: "debian-postgresql",
    program: "postgresql",
};

/// Runs one of its programs with its own libraries: `postgresql initdb …`.
const SCRIPT: &str = r#"#!/bin/sh
root=${0%/*}
libraries=$(uname -m)-linux-gnu
export LD_LIBRARY_PATH="$root/usr/lib/$libraries:$root/lib/$libraries"
case $1 in
  --version) program=postgres ;;
  *) program=$1; shift ;;
esac
exec "$root"/usr/lib/postgresql/*/bin/"$program" "$@"
"#;

/// The programs in `target/debian-postgresql`.
pub struct PostgreSql;

impl PostgreSql {
    /// Whether this machine has the programs, where Debian installs them.
    pub fn is_installed() -> bool {
        let Ok(versions) = std::fs::read_dir("/usr/lib/postgresql") else {
            return false;
        };
        versions
            .flatten()
            .any(|version| version.path().join("bin/initdb").is_file())
    }

    /// Why this machine cannot fetch them, if so.
    pub fn obstacle() -> Option<String> {
        apt::obstacle()
    }

    /// The script that runs them. Fetches and unpacks them, unless they exist.
    ///
    /// # Errors
    ///
    /// When apt or dpkg fails, or PostgreSQL does not run here.
    pub async fn get() -> Result<PathBuf> {
        match UNPACKED.existing() {
            Some(script) => Ok(script),
            None => {
                UNPACKED
                    .set_up("postgresql", &["postgresql"], Ok, SCRIPT)
                    .await
            }
        }
    }
}
