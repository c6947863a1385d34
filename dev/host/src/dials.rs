//! Fault dials: what a test sets to make the host fail, wait or die where Spin cannot be made to. And how often each kind of call was
//! made, for a test that says what something costs.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The kinds of call from a component to the outside that a dial can act on.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub enum Call {
    /// Opening the store: the components do it once in an instance, so that this counts their instances.
    #[serde(rename = "key-value.open")]
    KeyValueOpen,
    /// Reading a key.
    #[serde(rename = "key-value.get")]
    KeyValueGet,
    /// Writing a key.
    #[serde(rename = "key-value.set")]
    KeyValueSet,
    /// Removing a key.
    #[serde(rename = "key-value.delete")]
    KeyValueDelete,
    /// Listing all keys: the call itself, before the first key. One that fails gives no key, and then the error.
    #[serde(rename = "key-value.get-keys")]
    KeyValueGetKeys,
    /// Connecting to Redis.
    #[serde(rename = "redis.open")]
    RedisOpen,
    /// Sending a command to Redis and waiting for its reply.
    #[serde(rename = "redis.execute")]
    RedisExecute,
    /// Sending an HTTP request and waiting for the head of its response.
    #[serde(rename = "http.send")]
    HttpSend,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// What happens to every call of one kind.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fault {
    /// Milliseconds to wait before the call is carried out or fails.
    pub delay_ms: u64,
    /// Whether the call fails instead of being carried out.
    pub fail: bool,
    /// Of `key-value.get`: whether every key seems not to be there, as in a store that lists a key
    /// before it has the value.
    pub absent: bool,
    /// Of `key-value.get-keys`: milliseconds to wait before each key, as in a large store in Redis.
    pub each_ms: u64,
}

/// The side of a call on which the process dies.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum When {
    /// The call is not carried out.
    Before,
    /// The call has been carried out, but the component does not learn of it.
    After,
}

/// The call at which the process aborts.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Death {
    /// The kind of call.
    pub call: Call,
    /// Which call of that kind, counted from 1 since the dials were set.
    pub nth: u64,
    /// Whether that call is carried out first.
    pub when: When,
}

/// The position of every dial. The default does nothing.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The faults, by kind of call; a kind that is not named works.
    pub faults: BTreeMap<Call, Fault>,
    /// Where the process dies, if anywhere.
    pub die: Option<Death>,
}

/// A handle on the dials; clones turn the same ones.
#[derive(Clone, Debug, Default)]
pub struct Dials(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    settings: Settings,
    /// Calls of the kind that [`Settings::die`] names, since the dials were set.
    counted: u64,
    /// Calls of each kind, since the process began.
    calls: BTreeMap<Call, u64>,
}

impl Dials {
    /// Replaces all settings and starts the count for [`Settings::die`] anew.
    pub fn set(&self, settings: Settings) {
        let mut state = self.state();
        state.settings = settings;
        state.counted = 0;
    }

    /// The present settings.
    pub fn settings(&self) -> Settings {
        self.state().settings.clone()
    }

    /// How many calls of each kind the components have made since the process began; a kind that is not named was not called.
    pub fn calls(&self) -> BTreeMap<Call, u64> {
        self.state().calls.clone()
    }

    /// Carries a call out, as far as the dials let it; `failure` makes the error that a failing dial gives.
    ///
    /// A [`Death`] aborts the whole process: nothing is flushed, no destructor runs.
    pub(crate) async fn around<T, E>(
        &self,
        call: Call,
        failure: impl FnOnce() -> E,
        carry_out: impl Future<Output = Result<T, E>>,
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
            carry_out.await
        };
        if death == Some(When::After) {
            die(call, When::After);
        }
        result
    }

    /// What happens to every call of a kind.
    pub(crate) fn fault(&self, call: Call) -> Fault {
        let faults = &self.state().settings.faults;
        faults.get(&call).copied().unwrap_or_default()
    }

    fn count(&self, call: Call) -> (Fault, Option<When>) {
        let mut state = self.state();
        *state.calls.entry(call).or_default() += 1;
        let fault = state.settings.faults.get(&call).copied();
        let death = state.settings.die.filter(|death| death.call == call);
        let death = death.and_then(|death| {
            state.counted += 1;
            (state.counted == death.nth).then_some(death.when)
        });
        (fault.unwrap_or_default(), death)
    }

    /// A panic elsewhere leaves the settings whole, so a poisoned lock is as good as a sound one.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn die(call: Call, when: When) -> ! {
    let side = match when {
        When::Before => "before",
        When::After => "after",
    };
    eprintln!("afterword-host: dying {side} {call}, as the dials say");
    std::process::abort()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(json: &str) -> Settings {
        serde_json::from_str(json).unwrap()
    }

    async fn set_call(dials: &Dials) -> Result<&'static str, &'static str> {
        let call = async { Ok("carried out") };
        dials.around(Call::KeyValueSet, || "failed", call).await
    }

    #[tokio::test]
    async fn a_call_that_no_dial_names_is_carried_out() {
        let dials = Dials::default();
        dials.set(settings(r#"{"faults":{"redis.open":{"fail":true}}}"#));
        assert_eq!(set_call(&dials).await, Ok("carried out"));
    }

    #[tokio::test]
    async fn a_failing_call_is_not_carried_out() {
        let dials = Dials::default();
        dials.set(settings(r#"{"faults":{"key-value.set":{"fail":true}}}"#));
        let call = async { unreachable!() };
        let result: Result<(), _> = dials.around(Call::KeyValueSet, || "failed", call).await;
        assert_eq!(result, Err("failed"));
        dials.set(Settings::default());
        assert_eq!(set_call(&dials).await, Ok("carried out"));
    }

    #[test]
    fn death_comes_at_the_nth_call_of_its_kind_and_at_no_other() {
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
    async fn calls_are_counted_whatever_becomes_of_them() {
        let dials = Dials::default();
        let _ = set_call(&dials).await;
        dials.set(settings(r#"{"faults":{"key-value.set":{"fail":true}}}"#));
        let _ = set_call(&dials).await;
        assert_eq!(dials.calls(), BTreeMap::from([(Call::KeyValueSet, 2)]));
    }

    #[test]
    fn an_unknown_dial_is_refused_by_name() {
        let error = serde_json::from_str::<Settings>(r#"{"faults":{"redis.publish":{}}}"#);
        assert!(error.unwrap_err().to_string().contains("redis.publish"));
    }
}
