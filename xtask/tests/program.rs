//! The program as a person runs it.

use std::fs;
use std::process::Command;

/// The program. Cargo tells where it is now: where it lay when this was compiled means nothing.
fn program() -> String {
    std::env::var("CARGO_BIN_EXE_xtask").expect("cargo runs this test")
}

/// What is in the environment for `up` is none of doctor's business, nor of a help text's.
#[test]
fn no_secret_is_ever_printed() {
    let secrets = [
        ("WEBHOOK_SECRET", "whsec_hush"),
        ("SUPABASE_ANON_KEY", "sb_publishable_hush"),
        ("SUPABASE_URL", "https://hush.supabase.co"),
        ("REDIS_URL", "redis://user:hush@127.0.0.1"),
        ("SPIN_VARIABLE_WEBHOOK_SECRET", "hush"),
    ];
    for arguments in [&["doctor"][..], &["up", "--help"], &["up", "--listen", "x"]] {
        let said = Command::new(program())
            .args(arguments)
            .envs(secrets)
            .output()
            .unwrap();
        assert!(!said.stdout.is_empty() || !said.stderr.is_empty());
        for said in [said.stdout, said.stderr] {
            let said = String::from_utf8_lossy(&said);
            assert!(!said.contains("hush"), "{said}");
        }
    }
}

#[test]
fn a_copied_checkout_works_on_itself() {
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().canonicalize().unwrap().join("copy");
    for folder in ["xtask", "target/debug"] {
        fs::create_dir_all(copy.join(folder)).unwrap();
    }
    for file in ["spin.toml", "xtask/Cargo.toml"] {
        fs::write(copy.join(file), "").unwrap();
    }
    let copied = copy.join("target/debug/xtask");
    fs::copy(program(), &copied).unwrap();
    let doctor = |program: &std::path::Path, folder: &std::path::Path| {
        let mut command = Command::new(program);
        command.arg("doctor").current_dir(folder);
        command.env_remove("CARGO_MANIFEST_DIR");
        let output = command.output().unwrap();
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    };
    let outside = fs::canonicalize("/").unwrap();
    let here = format!("here      {}\n", copy.display());
    assert!(doctor(&copied, &outside).contains(&here));
    assert!(doctor(program().as_ref(), &copy.join("xtask")).contains(&here));

    let lost = dir.path().join("xtask");
    fs::copy(program(), &lost).unwrap();
    let said = doctor(&lost, &outside);
    assert!(said.contains("no checkout of Afterword"), "{said}");
}
