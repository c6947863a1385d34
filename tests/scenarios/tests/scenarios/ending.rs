//! The end of a process that is asked to end.

use afterword_scenarios::{Setup, host_has_dials};
use afterword_stack::Signal;
use futures_util::future::join_all;

#[tokio::test]
async fn a_process_that_is_asked_to_end_reports_no_panic() {
    // What Spin says at its own end is not ours to change.
    if !host_has_dials() {
        return;
    }
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let afterword = Setup::default().no_worker().start().await;
        // Their instances wait for more requests for a second.
        join_all((0..50).map(|_| afterword.get("/articles/7"))).await;
        afterword.http().signal(signal).unwrap();
        afterword.http().wait().await;
        let said = afterword.http().output();
        assert!(!said.contains("panicked"), "{signal}: {said}");
    }
}
