//! `cargo xtask fuzz`: runs cargo-fuzz and libFuzzer on the parsers of untrusted input
//! (`tests/fuzz`).
//!
//! It uses no sanitizer, so that a stable compiler suffices. The parsers contain no `unsafe`.

use std::path::PathBuf;

use afterword_stack::find_program;
use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};
use tokio::process::Command;

use crate::prerequisite::Prerequisite;
use crate::workspace;

const CARGO_FUZZ_VERSION: &str = "0.13.2";

const ADVICE: &str = "install one (`apt-get install g++`, `xcode-select --install`), since \
                      libFuzzer is written in C++";

/// A fuzz target: a function of `tests/fuzz/src/lib.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Target {
    /// A webhook's body
    Webhook,
    /// A stored entry
    Entry,
    /// A stored directory or chunk of a long list
    LongList,
    /// A request's path
    Path,
    /// A request's query
    Query,
    /// Conditional and content negotiation headers
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

tests/fuzz/artifacts holds failing inputs, tests/fuzz/corpus interesting ones. Git ignores both.")]
pub struct Flags {
    /// The target to fuzz [default: each in turn]
    #[arg(value_enum)]
    target: Option<Target>,

    /// How long to fuzz each target, in seconds
    #[arg(long, default_value_t = 60)]
    seconds: u32,
}

/// When to stop fuzzing a target.
enum Limit {
    /// After this many seconds.
    Seconds(u32),
    /// After this many inputs, always from the same seed.
    Inputs(u32),
}

/// Whether a C++ compiler is installed.
pub fn prerequisite() -> Prerequisite {
    let compiler = std::env::var_os("CXX").map(PathBuf::from);
    let compiler =
        compiler.or_else(|| ["c++", "g++", "clang++"].into_iter().find_map(find_program));
    match compiler {
        Some(compiler) => Prerequisite::Installed(compiler.display().to_string()),
        None => Prerequisite::Missing(format!("{ADVICE}; for the tests")),
    }
}

/// Fuzzes each target for some time.
///
/// # Errors
///
/// When a target fails or does not compile.
pub async fn run(flags: Flags) -> Result<()> {
    let targets = flags
        .target
        .map_or_else(|| Target::value_variants().to_vec(), |it| vec![it]);
    fuzz(&targets, &Limit::Seconds(flags.seconds)).await
}

/// Fuzzes each target with the same number of inputs each time, for the tests.
///
/// # Errors
///
/// As [`run`].
pub async fn briefly() -> Result<()> {
    fuzz(Target::value_variants(), &Limit::Inputs(20_000)).await
}

async fn fuzz(targets: &[Target], limit: &Limit) -> Result<()> {
    if let Prerequisite::Missing(advice) = prerequisite() {
        bail!("there is no C++ compiler: {advice}");
    }
    let cargo_fuzz = cargo_fuzz().await?;
    for target in targets {
        let name = target.name();
        let arguments = match limit {
            Limit::Seconds(seconds) => {
                println!("fuzzing {name} for {seconds} s");
                vec![format!("-max_total_time={seconds}")]
            }
            Limit::Inputs(inputs) => {
                println!("fuzzing {name} with {inputs} inputs");
                vec![format!("-runs={inputs}"), "-seed=1".to_owned()]
            }
        };
        let status = Command::new(&cargo_fuzz)
            .args(["fuzz", "run", "--fuzz-dir", "tests/fuzz"])
            .args(["--features", "libfuzzer", "--sanitizer", "none", "--dev"])
            .arg("--target-dir")
            .arg(workspace::target().join("fuzz"))
            .args([&name, "--", "-verbosity=0"])
            .args(arguments)
            .current_dir(workspace::root())
            .kill_on_drop(true)
            .status()
            .await
            .context("starting cargo-fuzz")?;
        ensure!(
            status.success(),
            "{name} failed; libFuzzer names the input above"
        );
    }
    println!("found no failing input");
    Ok(())
}

/// The program cargo-fuzz: on the `PATH`, or else installed below `target`.
async fn cargo_fuzz() -> Result<PathBuf> {
    if let Some(program) = find_program("cargo-fuzz") {
        return Ok(program);
    }
    let root = workspace::target().join("tools");
    let program = root.join("bin/cargo-fuzz");
    if !program.is_file() {
        println!(
            "installing cargo-fuzz {CARGO_FUZZ_VERSION} into {}",
            root.display()
        );
        let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args([
                "install",
                "cargo-fuzz",
                "--version",
                CARGO_FUZZ_VERSION,
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
            "cannot install cargo-fuzz; cargo's messages are above"
        );
    }
    Ok(program)
}
