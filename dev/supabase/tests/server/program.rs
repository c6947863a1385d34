use std::process::Stdio;

use afterword_supabase::Keys;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
};

/// The program. Read at run time, since the checkout may be moved after this was compiled.
fn program() -> String {
    std::env::var("CARGO_BIN_EXE_afterword-supabase").expect("cargo sets it")
}

#[tokio::test]
async fn the_program_prints_its_url_and_ends_on_sigterm() {
    let mut program = Command::new(program())
        .args(["--listen", "127.0.0.1:0", "--row-cap", "2", "--verbose"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(program.stdout.take().unwrap()).lines();
    let line = lines.next_line().await.unwrap().unwrap();
    let url = line.strip_prefix("serving: ").unwrap();

    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let key = Keys::default().publishable;
    let request = client.get(format!(
        "{url}/rest/v1/articles?select=id&order=id&apikey={key}"
    ));
    let body = request.send().await.unwrap().text().await.unwrap();
    assert_eq!(body, "[{\"id\":1}, \n {\"id\":2}]");

    let id = i32::try_from(program.id().unwrap()).unwrap();
    kill(Pid::from_raw(id), Signal::SIGTERM).unwrap();
    let output = program.wait_with_output().await.unwrap();
    assert!(output.status.success(), "{output:?}");
    let log = String::from_utf8(output.stderr).unwrap();
    assert_eq!(log, "GET /rest/v1/articles?select=id&order=id 200\n");
}

#[tokio::test]
async fn an_error_about_a_taken_address_gives_advice() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = Command::new(program())
        .args(["--listen", &address])
        .output()
        .await
        .unwrap();
    assert!(!output.status.success());
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(
        message.contains(&format!(
            "cannot listen on {address}: choose another address"
        )),
        "{message}"
    );
}
