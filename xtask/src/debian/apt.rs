//! Fetches Debian packages and unpacks them into a folder, without touching the machine.
//!
//! It runs apt with its own lists and cache, and optionally its own sources and dpkg status. That
//! needs no privileges, and installs and starts nothing.

use std::path::{Path, PathBuf};
use std::time::Duration;

use afterword_stack::find_program;
use anyhow::{Context, Result, ensure};
use tokio::process::Command;

use crate::workspace::output;

/// Clears the machine's hooks, which are for installations. Only a configuration file can clear a
/// list.
const HOOKS: &str = "#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Pre-Invoke;
#clear DPkg::Post-Invoke;
";

const OPTIONS: [&str; 9] = [
    // apt's own user may not write to the user's folder.
    "APT::Sandbox::User=root",
    "Debug::NoLocking=true",
    // By default, `update` succeeds although a source was unreachable.
    "APT::Update::Error-Mode=any",
    "APT::Install-Recommends=false",
    "Acquire::Languages=none",
    "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false",
    "Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled=false",
    "Acquire::Retries=2",
    "Acquire::http::Timeout=30",
];

const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);
const MB: u64 = 1_000_000;

/// A private apt.
#[derive(Debug)]
pub struct Apt {
    dir: PathBuf,
    options: Vec<String>,
}

/// Why this machine has no usable apt, if so.
pub fn obstacle() -> Option<String> {
    ["apt-get", "dpkg"]
        .into_iter()
        .find(|program| find_program(program).is_none())
        .map(|program| format!("this is no Debian-like machine (there is no {program})"))
}

impl Apt {
    /// An apt with its files in `dir`, and with the machine's sources and installed packages.
    ///
    /// # Errors
    ///
    /// When there is no apt, or `dir` is not writable.
    pub fn new(dir: &Path) -> Result<Self> {
        if let Some(obstacle) = obstacle() {
            anyhow::bail!(obstacle);
        }
        for folder in ["lists/partial", "cache/archives/partial"] {
            let folder = dir.join(folder);
            std::fs::create_dir_all(&folder)
                .with_context(|| format!("making {}", folder.display()))?;
        }
        let mut apt = Self {
            dir: dir.to_owned(),
            options: OPTIONS.map(str::to_owned).into(),
        };
        apt.write("hooks.conf", HOOKS)?;
        apt.option("Dir::State", dir);
        apt.option("Dir::State::lists", &dir.join("lists"));
        apt.option("Dir::State::status", Path::new("/var/lib/dpkg/status"));
        apt.option("Dir::Cache", &dir.join("cache"));
        Ok(apt)
    }

    /// Replaces the sources by a file with this name and text. The name's ending, `.sources` or
    /// `.list`, tells apt the format.
    ///
    /// # Errors
    ///
    /// When the file is not writable.
    pub fn with_sources(mut self, name: &str, sources: &str) -> Result<Self> {
        let file = self.write(name, sources)?;
        self.option("Dir::Etc::sourcelist", &file);
        self.option("Dir::Etc::sourceparts", Path::new("-"));
        Ok(self)
    }

    /// Replaces the installed packages by those in `status` (dpkg's format).
    ///
    /// # Errors
    ///
    /// When the file is not writable.
    pub fn with_status(mut self, status: &str) -> Result<Self> {
        let file = self.write("status", status)?;
        self.option("Dir::State::status", &file);
        Ok(self)
    }

    /// Fetches the newest version of `packages` and of their dependencies that are not installed,
    /// and unpacks them into `root`. apt checks signatures and hashes as usual. Progress goes to
    /// standard error, after `label`.
    ///
    /// # Errors
    ///
    /// When apt or dpkg fails. The error shows their messages.
    pub async fn unpack(&self, label: &str, packages: &[&str], root: &Path) -> Result<()> {
        eprintln!("{label}: reading the package lists");
        output(self.get("update")).await.context("apt-get update")?;

        let mut install = self.get("install");
        install
            .args(["-qq", "--yes", "--download-only"])
            .args(packages);
        let mut list = self.get("install");
        list.args(["-qq", "--yes", "--print-uris"]).args(packages);
        let (count, bytes) = total(&output(list).await.context("apt-get install --print-uris")?);
        eprintln!(
            "{label}: fetching {count} packages, {} MB",
            bytes.div_ceil(MB)
        );
        tokio::select! {
            fetched = output(install) => drop(fetched.context("apt-get install --download-only")?),
            () = self.progress(label, bytes) => {}
        }

        let archives = archives(&self.dir)?;
        ensure!(!archives.is_empty(), "apt fetched nothing");
        eprintln!("{label}: unpacking");
        for archive in archives {
            let mut dpkg = Command::new("dpkg");
            dpkg.arg("--extract").arg(archive).arg(root);
            output(dpkg).await?;
        }
        Ok(())
    }

    fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let file = self.dir.join(name);
        std::fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
        Ok(file)
    }

    fn option(&mut self, name: &str, value: &Path) {
        self.options.push(format!("{name}={}", value.display()));
    }

    fn get(&self, verb: &str) -> Command {
        let mut command = Command::new("apt-get");
        command.arg("-c").arg(self.dir.join("hooks.conf"));
        command.args(self.options.iter().flat_map(|option| ["-o", option]));
        command
            .arg(verb)
            .env("LC_ALL", "C")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .kill_on_drop(true);
        command
    }

    /// Reports the progress of the download. Never returns.
    async fn progress(&self, label: &str, bytes: u64) {
        loop {
            tokio::time::sleep(PROGRESS_INTERVAL).await;
            let folder = self.dir.join("cache/archives");
            let fetched = size(&folder) + size(&folder.join("partial"));
            eprintln!("{label}: {} of {} MB", fetched / MB, bytes.div_ceil(MB));
        }
    }
}

/// The number and total bytes of packages. apt prints `'<uri>' <file> <bytes> <hash>`.
fn total(uris: &str) -> (usize, u64) {
    let sizes = uris
        .lines()
        .filter_map(|line| line.split(' ').nth(2)?.parse::<u64>().ok());
    sizes.fold((0, 0), |(count, bytes), size| (count + 1, bytes + size))
}

fn archives(dir: &Path) -> Result<Vec<PathBuf>> {
    let folder = dir.join("cache/archives");
    let files =
        std::fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))?;
    Ok(files
        .filter_map(|file| Some(file.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .collect())
}

fn size(folder: &Path) -> u64 {
    let Ok(files) = std::fs::read_dir(folder) else {
        return 0;
    };
    files
        .filter_map(|file| file.ok()?.metadata().ok())
        .filter(|file| file.is_file())
        .map(|file| file.len())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_packages_sizes_are_added_up() {
        let uris = "'http://mirror/pool/a_1%3a2_amd64.deb' a_1%3a2_amd64.deb 1500000 SHA256:0a\n\
                    'http://mirror/pool/b_3_all.deb' b_3_all.deb 500 SHA256:0b\n";
        assert_eq!(total(uris), (2, 1_500_500));
        assert_eq!(total(""), (0, 0));
    }
}
