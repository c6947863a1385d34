//! Debian packages unpacked below `target`, with a script that runs one of their programs.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use anyhow::{Context, Result};
use tokio::process::Command;

use super::apt::Apt;
use crate::workspace;

/// A folder below `target` and its script.
#[derive(Clone, Copy, Debug)]
pub struct Unpacked {
    /// The folder's name.
    pub folder: &'static str,
    /// The program's name, also the script's.
    pub program: &'static str,
}

impl Unpacked {
    /// The script, if an earlier [`set_up`](Self::set_up) has finished.
    pub fn existing(self) -> Option<PathBuf> {
        Some(self.path()).filter(|script| script.is_file())
    }

    /// Fetches and unpacks `packages`, writes `script` and runs it with `--version`.
    ///
    /// `configure` chooses apt's sources. `label` marks the progress on standard error. First
    /// removes the remains of an interrupted attempt.
    ///
    /// # Errors
    ///
    /// When apt or dpkg fails, or the program does not run on this machine.
    pub async fn set_up(
        self,
        label: &str,
        packages: &[&str],
        configure: impl FnOnce(Apt) -> Result<Apt>,
        script: &str,
    ) -> Result<PathBuf> {
        let folder = workspace::target().join(self.folder);
        if folder.exists() {
            std::fs::remove_dir_all(&folder)
                .with_context(|| format!("removing {}", folder.display()))?;
        }
        let apt_folder = folder.join("apt");
        configure(Apt::new(&apt_folder)?)?
            .unpack(label, packages, &folder)
            .await?;
        std::fs::remove_dir_all(apt_folder)?;

        let new = folder.join(format!("{}.new", self.program));
        std::fs::write(&new, script)?;
        std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o755))?;
        let mut version = Command::new(&new);
        version.arg("--version");
        workspace::output(version)
            .await
            .with_context(|| format!("Debian's {} does not run here", self.program))?;
        // Last, since the script marks a finished set-up.
        std::fs::rename(new, self.path())?;
        eprintln!("{label}: unpacked into {}", folder.display());
        Ok(self.path())
    }

    fn path(self) -> PathBuf {
        workspace::target().join(self.folder).join(self.program)
    }
}
