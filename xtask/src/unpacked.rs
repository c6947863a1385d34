//! Debian packages unpacked below `target`, and a script that runs one program of theirs from there.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use anyhow::{Context, Result};
use tokio::process::Command;

use crate::apt::Apt;
use crate::workspace;

/// A folder below `target` and the script in it.
#[derive(Clone, Copy, Debug)]
pub struct Unpacked {
    /// The folder's name.
    pub folder: &'static str,
    /// The script's name, the program's own.
    pub program: &'static str,
}

impl Unpacked {
    /// The script, if an earlier [`set_up`](Self::set_up) got to its end.
    pub fn existing(self) -> Option<PathBuf> {
        Some(self.path()).filter(|script| script.is_file())
    }

    /// Fetches and unpacks `packages`, writes `script` and tries it with `--version`. `apt` chooses what the packages are
    /// taken from; `label` is for the progress on standard error. What an interrupted attempt has left is removed first.
    ///
    /// # Errors
    ///
    /// apt's and dpkg's, or the program's when it does not run on this machine.
    pub async fn set_up(
        self,
        label: &str,
        packages: &[&str],
        apt: impl FnOnce(Apt) -> Result<Apt>,
        script: &str,
    ) -> Result<PathBuf> {
        let folder = workspace::target().join(self.folder);
        if folder.exists() {
            std::fs::remove_dir_all(&folder)
                .with_context(|| format!("removing {}", folder.display()))?;
        }
        let own = folder.join("apt");
        apt(Apt::new(&own)?)?
            .unpack(label, packages, &folder)
            .await?;
        std::fs::remove_dir_all(own)?;

        let new = folder.join(format!("{}.new", self.program));
        std::fs::write(&new, script)?;
        std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o755))?;
        let mut version = Command::new(&new);
        version.arg("--version");
        workspace::output(version)
            .await
            .with_context(|| format!("Debian's {} does not run here", self.program))?;
        // The script is there only when everything else is.
        std::fs::rename(new, self.path())?;
        eprintln!("{label}: unpacked into {}", folder.display());
        Ok(self.path())
    }

    fn path(self) -> PathBuf {
        workspace::target().join(self.folder).join(self.program)
    }
}
