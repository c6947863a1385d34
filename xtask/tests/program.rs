//! Tests of the program.

use std::fs;
use std::process::Command;

/// The program. Read at run time, since the checkout may be moved after this was compiled.
fn program() -> String {
    std::env::var("CARGO_BIN_EXE_xtask").expect("cargo sets it")
}

#[test]
fn doctor_and_help_print_no_secret() {
    let secrets = [
        ("WEBHOOK_SECRET", "whsec_hush"),
        ("SUPABASE_ANON_KEY", "sb_publishable_hush"),
        ("SUPABASE_URL", "https://hush.supabase.co"),
        ("REDIS_URL", "redis://user:hush@127.0.0.1"),
        ("SPIN_VARIABLE_WEBHOOK_SECRET", "hush"),
    ];
    for arguments in [&["doctor"][..], &["up", "--help"], &["up", "--listen", "x"]] {
        let output = Command::new(program())
            .args(arguments)
            .envs(secrets)
            .output()
            .unwrap();
        assert!(!output.stdout.is_empty() || !output.stderr.is_empty());
        for text in [output.stdout, output.stderr] {
            let text = String::from_utf8_lossy(&text);
            assert!(!text.contains("hush"), "{text}");
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

    let outside_program = dir.path().join("xtask");
    fs::copy(program(), &outside_program).unwrap();
    let error = doctor(&outside_program, &outside);
    assert!(error.contains("no checkout of Afterword"), "{error}");
}
