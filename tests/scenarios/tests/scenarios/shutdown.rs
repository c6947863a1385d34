//! The end of a process after a signal.

use afterword_scenarios::{Setup, host_has_dials};
use afterword_stack::Signal;
use futures_util::future::join_all;

#[tokio::test]
async fn a_process_that_gets_a_signal_ends_without_a_panic() {
    // Spin's own output at its end is not ours to change.
    if !host_has_dials() {
        return;
    }
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let afterword = Setup::default().no_worker().start().await;
        // Their instances wait for further requests for a second.
        join_all((0..50).map(|_| afterword.get("/articles/7"))).await;
        afterword.http().signal(signal).unwrap();
        afterword.http().wait().await;
        let log = afterword.http().output();
        assert!(!log.contains("panicked"), "{signal}: {log}");
    }
}
