//! `cargo xtask fuzz`: libFuzzer on what takes bytes from strangers (`tests/fuzz`), by way of cargo-fuzz. No sanitizer, so that a stable
//! compiler will do: there is no `unsafe` to look into.

use std::path::PathBuf;

use afterword_stack::find_program;
use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};
use tokio::process::Command;

use crate::doctor::Outlook;
use crate::workspace;

const CARGO_FUZZ: &str = "0.13.2";

const ADVICE: &str = "install one (`apt-get install g++`, `xcode-select --install`), for libFuzzer is written in C++";

/// A fuzz target: a function of `tests/fuzz/src/lib.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Target {
    /// A webhook's body
    Webhook,
    /// What is stored for a key
    Entry,
    /// A request's path
    Path,
    /// Conditional and negotiation headers
    Headers,
}

impl Target {
    fn name(self) -> String {
        self.to_possible_value()
            .map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

#[derive(Args)]
#[command(after_help = "Examples:
  cargo xtask fuzz                        a minute for each target
  cargo xtask fuzz webhook --seconds 3600

What it finds is in tests/fuzz/artifacts, what it has learned in tests/fuzz/corpus; git ignores both.")]
pub struct Flags {
    /// The target to fuzz [default: each in turn]
    #[arg(value_enum)]
    target: Option<Target>,

    /// For how long, in seconds
    #[arg(long, default_value_t = 60)]
    seconds: u32,
}

/// How long a target is fuzzed.
enum Until {
    /// So many seconds have passed.
    Seconds(u32),
    /// So many inputs have been tried, from the same seed each time.
    Runs(u32),
}

/// Whether there is a C++ compiler for it.
pub fn outlook() -> Outlook {
    let compiler = std::env::var_os("CXX").map(PathBuf::from);
    let compiler =
        compiler.or_else(|| ["c++", "g++", "clang++"].into_iter().find_map(find_program));
    match compiler {
        Some(compiler) => Outlook::Here(compiler.display().to_string()),
        None => Outlook::Missing(format!("{ADVICE}; it is for the tests")),
    }
}

/// Fuzzes until the time is up.
///
/// # Errors
///
/// When a target does not hold, or cannot be built.
pub async fn run(flags: Flags) -> Result<()> {
    let targets = flags
        .target
        .map_or_else(|| Target::value_variants().to_vec(), |it| vec![it]);
    fuzz(&targets, &Until::Seconds(flags.seconds)).await
}

/// Tries each target with so many inputs: for the tests, which are to take as much each time.
///
/// # Errors
///
/// As [`run`].
pub async fn briefly() -> Result<()> {
    fuzz(Target::value_variants(), &Until::Runs(20_000)).await
}

async fn fuzz(targets: &[Target], until: &Until) -> Result<()> {
    if let Outlook::Missing(advice) = outlook() {
        bail!("there is no C++ compiler: {advice}");
    }
    let cargo_fuzz = cargo_fuzz().await?;
    for target in targets {
        let name = target.name();
        let limits = match until {
            Until::Seconds(seconds) => {
                println!("fuzzing {name} for {seconds} s");
                vec![format!("-max_total_time={seconds}")]
            }
            Until::Runs(runs) => {
                println!("fuzzing {name} with {runs} inputs");
                vec![format!("-runs={runs}"), "-seed=1".to_owned()]
            }
        };
        let status = Command::new(&cargo_fuzz)
            .args(["fuzz", "run", "--fuzz-dir", "tests/fuzz"])
            .args(["--features", "libfuzzer", "--sanitizer", "none", "--dev"])
            .arg("--target-dir")
            .arg(workspace::target().join("fuzz"))
            .args([&name, "--", "-verbosity=0"])
            .args(limits)
            .current_dir(workspace::root())
            .kill_on_drop(true)
            .status()
            .await
            .context("starting cargo-fuzz")?;
        ensure!(
            status.success(),
            "{name} does not hold for every input; the one that it found is named above"
        );
    }
    println!("no input was found for which something does not hold");
    Ok(())
}

/// The program cargo-fuzz: on the `PATH`, or installed below `target`.
async fn cargo_fuzz() -> Result<PathBuf> {
    if let Some(program) = find_program("cargo-fuzz") {
        return Ok(program);
    }
    let root = workspace::target().join("tools");
    let program = root.join("bin/cargo-fuzz");
    if !program.is_file() {
        println!("installing cargo-fuzz {CARGO_FUZZ} into {}", root.display());
        let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args([
                "install",
                "cargo-fuzz",
                "--version",
                CARGO_FUZZ,
                "--locked",
                "--root",
            ])
            .arg(&root)
            .kill_on_drop(true)
            .status()
            .await
            .context("starting cargo")?;
        ensure!(
            status.success(),
            "cargo-fuzz cannot be installed; cargo's messages are above"
        );
    }
    Ok(program)
}
