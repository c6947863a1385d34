//! The program as a person runs it.

use std::process::Command;

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
        let said = Command::new(env!("CARGO_BIN_EXE_xtask"))
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
