//! `cargo xtask doctor`: what is installed, what is missing, and what would be done about it.

use std::process::ExitCode;

use anyhow::Result;

use crate::programs::{self, Spin};
use crate::wasm_target::{self, Way};
use crate::{contract, fuzz, workspace};

/// How `up` would come by something that it needs, with a sentence for the table.
#[derive(Debug)]
pub enum Outlook {
    /// It is there.
    Here(String),
    /// `up` would get it.
    Fetched(String),
    /// The user has to get it.
    Missing(String),
}

/// Prints a table of what `up` needs; fails if `up` could not work.
///
/// # Errors
///
/// When the Rust compiler cannot be asked.
pub async fn run(way: Way) -> Result<ExitCode> {
    row(
        "Workspace",
        "here",
        &workspace::root().display().to_string(),
    );
    let mut rustc = workspace::rustc();
    rustc.arg("--version");
    row("Rust", "here", &workspace::output(rustc).await?);
    let needs = [
        (wasm_target::NAME, wasm_target::outlook(way).await?),
        ("Redis", programs::redis_outlook()),
    ];
    for (what, outlook) in &needs {
        match outlook {
            Outlook::Here(how) => row(what, "here", how),
            Outlook::Fetched(how) => row(what, "fetched", how),
            Outlook::Missing(how) => row(what, "missing", how),
        }
    }
    for (what, outlook) in [
        ("Node.js", contract::outlook().await?),
        ("C++ compiler", fuzz::outlook()),
    ] {
        match outlook {
            Outlook::Here(how) | Outlook::Fetched(how) => row(what, "here", &how),
            Outlook::Missing(how) => row(what, "optional", &how),
        }
    }
    match Spin::find().await {
        Ok(Spin::Usable { program, version }) => {
            row("Spin", "here", &format!("{version}, {}", program.display()))
        }
        Ok(Spin::TooOld { version }) => {
            row(
                "Spin",
                "too old",
                &format!("{version}, and it takes 4.1; `up` uses the embedded host"),
            );
        }
        Ok(Spin::Missing) => row(
            "Spin",
            "optional",
            "4.1 or later; without it, `up` uses the embedded host",
        ),
        Err(error) => row(
            "Spin",
            "broken",
            &format!("{error:#}; use `up --host embedded`"),
        ),
    }
    Ok(
        if needs
            .iter()
            .any(|(_, outlook)| matches!(outlook, Outlook::Missing(_)))
        {
            println!("\n`cargo xtask up` cannot work here yet: see what is missing.");
            ExitCode::FAILURE
        } else {
            println!("\n`cargo xtask up` can work here.");
            ExitCode::SUCCESS
        },
    )
}

fn row(what: &str, state: &str, sentence: &str) {
    println!("{what:<14} {state:<9} {sentence}");
}
