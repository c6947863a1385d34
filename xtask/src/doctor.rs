//! `cargo xtask doctor`: shows what is installed, what is missing, and what `up` would do about it.

use std::process::ExitCode;

use anyhow::Result;

use crate::host::Spin;
use crate::packages::WASM_TARGET;
use crate::prerequisite::Prerequisite;
use crate::wasi::Wasi;
use crate::wasm_target::{self, TargetSource};
use crate::{browser, fuzz, node, redis_server, workspace};

/// Prints a table of what `up` and the tests need. Fails if `up` could not work.
///
/// # Errors
///
/// When the Rust compiler does not run.
pub async fn run(source: TargetSource) -> Result<ExitCode> {
    print_row(
        "Workspace",
        "here",
        &workspace::root().display().to_string(),
    );
    let mut rustc = workspace::rustc();
    rustc.arg("--version");
    print_row("Rust", "here", &workspace::output(rustc).await?);
    let required = [
        (WASM_TARGET, wasm_target::prerequisite(source).await?),
        ("Redis", redis_server::prerequisite()),
    ];
    for (name, prerequisite) in &required {
        match prerequisite {
            Prerequisite::Installed(text) => print_row(name, "here", text),
            Prerequisite::Fetchable(text) => print_row(name, "fetched", text),
            Prerequisite::Missing(text) => print_row(name, "missing", text),
        }
    }
    for (name, prerequisite) in [
        ("Node.js", node::prerequisite().await?),
        ("Chromium", browser::prerequisite()),
        ("C++ compiler", fuzz::prerequisite()),
    ] {
        match prerequisite {
            Prerequisite::Installed(text) => print_row(name, "here", &text),
            Prerequisite::Fetchable(text) => print_row(name, "fetched", &text),
            Prerequisite::Missing(text) => print_row(name, "optional", &text),
        }
    }
    let (state, text) = match Spin::find(Wasi::V03).await {
        Ok(Spin::Usable { program, version }) => {
            ("here", format!("{version}, {}", program.display()))
        }
        Ok(Spin::TooOld { version }) => (
            "too old",
            format!("{version}, but 4.1 is needed (3.6 for WASI 0.2); `up` uses the embedded host"),
        ),
        Ok(Spin::Missing) => (
            "optional",
            "4.1 or later; without it, `up` uses the embedded host".to_owned(),
        ),
        Err(error) => ("broken", format!("{error:#}; use `up --host embedded`")),
    };
    print_row("Spin", state, &text);
    let works = !required
        .iter()
        .any(|(_, prerequisite)| matches!(prerequisite, Prerequisite::Missing(_)));
    Ok(if works {
        println!("\n`cargo xtask up` can work here.");
        ExitCode::SUCCESS
    } else {
        println!("\n`cargo xtask up` cannot work here yet: see what is missing.");
        ExitCode::FAILURE
    })
}

fn print_row(name: &str, state: &str, text: &str) {
    println!("{name:<14} {state:<9} {text}");
}
