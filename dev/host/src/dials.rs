//! Fault dials: a test turns them to make calls fail, wait or kill the host. Spin has no such
//! switches. They also count the calls of each kind, for tests of what something costs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::call::Call;

/// What happens to every call of one kind.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
struct Fault {
    /// Milliseconds to wait before the call is made or fails.
    delay_ms: u64,
    /// Whether the call fails instead of being made.
    fail: bool,
    /// For `key-value.get`: whether every key seems absent, as in a store that lists a key before
    /// it has the value.
    absent: bool,
    /// For `key-value.get-keys`: milliseconds to wait before each key, as in a large store in
    /// Redis.
    each_ms: u64,
}

/// Whether the process dies before or after the call.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
enum When {
    /// The call is not made.
    Before,
    /// The call is made, but the component does not learn of it.
    After,
}

/// The call at which the process aborts.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
struct Death {
    /// The kind of call.
    call: Call,
    /// The number of that call, counted from 1 since the dials were set.
    nth: u64,
    /// Whether the call is made first.
    when: When,
}

/// The position of every dial. The default does nothing.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    /// The faults by kind of call. A kind without an entry works.
    faults: BTreeMap<Call, Fault>,
    /// Where the process dies, if anywhere.
    die: Option<Death>,
}

/// A handle on the dials. Clones turn the same dials.
#[derive(Clone, Debug, Default)]
pub(crate) struct Dials(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    settings: Settings,
    /// Calls of the kind in [`Settings::die`] since the dials were set.
    calls_before_death: u64,
    /// Calls of each kind since the process started.
    calls: BTreeMap<Call, u64>,
}

impl Dials {
    /// Replaces all settings and restarts the count for [`Settings::die`].
    pub(crate) fn set(&self, settings: Settings) {
        let mut state = self.state();
        state.settings = settings;
        state.calls_before_death = 0;
    }

    /// The current settings.
    pub(crate) fn settings(&self) -> Settings {
        self.state().settings.clone()
    }

    /// The number of calls of each kind since the process started. A kind without an entry was not
    /// called.
    pub(crate) fn calls(&self) -> BTreeMap<Call, u64> {
        self.state().calls.clone()
    }

    /// Makes a call as far as the dials allow. `failure` makes the error of a failing dial.
    ///
    /// A [`Death`] aborts the whole process: nothing is flushed, no destructor runs.
    pub(crate) async fn around<T, E>(
        &self,
        call: Call,
        failure: impl FnOnce() -> E,
        make_call: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let (fault, death) = self.count(call);
        if death == Some(When::Before) {
            die(call, When::Before);
        }
        if fault.delay_ms > 0 {
            tokio::time::sleep(Duration::from_millis(fault.delay_ms)).await;
        }
        let result = if fault.fail {
            Err(failure())
        } else {
            make_call.await
        };
        if death == Some(When::After) {
            die(call, When::After);
        }
        result
    }

    /// Whether every key seems absent.
    pub(crate) fn hide_keys(&self) -> bool {
        self.fault(Call::KeyValueGet).absent
    }

    /// The pause before each key of a listing.
    pub(crate) fn pause_per_key(&self) -> Duration {
        Duration::from_millis(self.fault(Call::KeyValueGetKeys).each_ms)
    }

    fn fault(&self, call: Call) -> Fault {
        let faults = &self.state().settings.faults;
        faults.get(&call).copied().unwrap_or_default()
    }

    fn count(&self, call: Call) -> (Fault, Option<When>) {
        let mut state = self.state();
        *state.calls.entry(call).or_default() += 1;
        let fault = state.settings.faults.get(&call).copied();
        let death = state.settings.die.filter(|death| death.call == call);
        let death = death.and_then(|death| {
            state.calls_before_death += 1;
            (state.calls_before_death == death.nth).then_some(death.when)
        });
        (fault.unwrap_or_default(), death)
    }

    /// A panic elsewhere leaves the settings whole, so a poisoned lock is usable.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn die(call: Call, when: When) -> ! {
    eprintln!("afterword-host: the dials say to die {when:?} {call:?}");
    std::process::abort()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(json: &str) -> Settings {
        serde_json::from_str(json).unwrap()
    }

    async fn set_call(dials: &Dials) -> Result<&'static str, &'static str> {
        let call = async { Ok("made") };
        dials.around(Call::KeyValueSet, || "failed", call).await
    }

    #[tokio::test]
    async fn a_call_without_a_dial_is_made() {
        let dials = Dials::default();
        dials.set(settings(r#"{"faults":{"redis.open":{"fail":true}}}"#));
        assert_eq!(set_call(&dials).await, Ok("made"));
    }

    #[tokio::test]
    async fn a_failing_call_is_not_made() {
        let dials = Dials::default();
        dials.set(settings(r#"{"faults":{"key-value.set":{"fail":true}}}"#));
        let call = async { unreachable!() };
        let result: Result<(), _> = dials.around(Call::KeyValueSet, || "failed", call).await;
        assert_eq!(result, Err("failed"));
        dials.set(Settings::default());
        assert_eq!(set_call(&dials).await, Ok("made"));
    }

    #[test]
    fn the_process_dies_at_the_nth_call_of_a_kind_only() {
        let dials = Dials::default();
        let death = r#"{"die":{"call":"key-value.set","nth":2,"when":"after"}}"#;
        dials.set(settings(death));
        assert_eq!(dials.count(Call::KeyValueSet).1, None);
        assert_eq!(dials.count(Call::KeyValueGet).1, None);
        assert_eq!(dials.count(Call::KeyValueSet).1, Some(When::After));
        assert_eq!(dials.count(Call::KeyValueSet).1, None);
        dials.set(settings(death));
        assert_eq!(dials.count(Call::KeyValueSet).1, None);
    }

    #[tokio::test]
    async fn failed_calls_are_counted_too() {
        let dials = Dials::default();
        let _ = set_call(&dials).await;
        dials.set(settings(r#"{"faults":{"key-value.set":{"fail":true}}}"#));
        let _ = set_call(&dials).await;
        assert_eq!(dials.calls(), BTreeMap::from([(Call::KeyValueSet, 2)]));
    }

    #[test]
    fn an_error_names_an_unknown_dial() {
        let error = serde_json::from_str::<Settings>(r#"{"faults":{"redis.publish":{}}}"#);
        assert!(error.unwrap_err().to_string().contains("redis.publish"));
    }
}
