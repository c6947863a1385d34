//! Faults of the origin and of the host, and what the application did under them.

use std::net::SocketAddr;

use afterword_stack::eventually;
use afterword_supabase::{Dials, Fault, RestDial, WebhookDials};
use anyhow::ensure;
use serde_json::{Value, json};

use crate::afterword::{Afterword, PATIENCE};

impl Afterword {
    /// Makes the origin fail as these dials say; without any, it works again.
    ///
    /// # Panics
    /// A dial is invalid.
    pub fn set_origin_faults(&self, rest: Vec<RestDial>) {
        let dials = Dials {
            rest,
            ..self.supabase().dials()
        };
        self.supabase()
            .set_dials(dials)
            .expect("the dials are valid");
    }

    /// Sets one fault of the origin.
    pub fn set_origin_fault(&self, fault: RestDial) {
        self.set_origin_faults(vec![fault]);
    }

    /// Makes every request to the origin fail with this status.
    pub fn fail_origin(&self, status: u16) {
        self.fail_origin_with(Fault::Status(status));
    }

    /// Makes every request to the origin fail.
    pub fn fail_origin_with(&self, fault: Fault) {
        self.set_origin_fault(RestDial {
            fault: Some(fault),
            ..RestDial::default()
        });
    }

    /// Delays every response of the origin.
    pub fn slow_origin(&self, delay_ms: u64) {
        self.slow_origin_requests("", delay_ms);
    }

    /// Delays the responses to the requests whose path and query contain `matching`.
    pub fn slow_origin_requests(&self, matching: &str, delay_ms: u64) {
        self.set_origin_fault(RestDial {
            matching: matching.to_owned(),
            delay_ms,
            ..RestDial::default()
        });
    }

    /// Makes the origin work again.
    pub fn heal_origin(&self) {
        self.set_origin_faults(Vec::new());
    }

    /// Sets the faults of the origin's webhooks.
    ///
    /// # Panics
    /// A fault is invalid.
    pub fn set_webhook_faults(&self, webhooks: WebhookDials) {
        let dials = Dials {
            webhooks,
            ..self.supabase().dials()
        };
        self.supabase()
            .set_dials(dials)
            .expect("the dials are valid");
    }

    /// The number of requests to the origin since the last `clear_requests`.
    pub fn count_origin_requests(&self) -> usize {
        self.supabase().requests().len()
    }

    /// The number of requests to the origin whose query contains `text`.
    pub fn count_origin_requests_with(&self, text: &str) -> usize {
        let requests = self.supabase().requests();
        let with_text = requests.iter().filter(|it| it.query.contains(text));
        with_text.count()
    }

    /// The number of requests to the origin that got this status.
    pub fn count_origin_responses(&self, status: u16) -> usize {
        let requests = self.supabase().requests();
        let with_status = requests.iter().filter(|it| it.status == Some(status));
        with_status.count()
    }

    /// Asserts that the origin has got no request since the requests were cleared.
    ///
    /// # Panics
    /// It has got one.
    pub fn assert_no_origin_request(&self) {
        let requests = self.supabase().requests();
        assert_eq!(requests, [], "responses were not from the store");
    }

    /// Waits until the origin has got a request whose query contains `text`.
    ///
    /// # Panics
    /// That does not happen.
    pub async fn wait_for_origin_request(&self, text: &str) {
        let waited = eventually(
            PATIENCE,
            "waiting for a request to the origin",
            async || {
                let requests = self.supabase().requests();
                ensure!(
                    requests.iter().any(|request| request.query.contains(text)),
                    "no {text} in {requests:?}"
                );
                Ok(())
            },
        );
        waited.await.unwrap_or_else(|error| panic!("{error:#}"));
    }

    /// Sets the fault dials of the HTTP side: a JSON object of faults by host call, such as
    /// `{"key-value.get": {"fail": true}}`.
    ///
    /// # Panics
    /// The host refuses them.
    pub async fn set_http_faults(&self, faults: Value) {
        let settings = json!({ "faults": faults });
        self.set_dials(self.app.dials, settings).await;
    }

    /// Sets the dials of the first worker: `{"faults": …, "die": …}`.
    ///
    /// # Panics
    /// The host refuses them.
    pub async fn set_worker_dials(&self, settings: Value) {
        self.set_dials(self.worker_dials, settings).await;
    }

    /// Sets the fault dials of the first worker: a JSON object of faults by host call.
    ///
    /// # Panics
    /// The host refuses them.
    pub async fn set_worker_faults(&self, faults: Value) {
        self.set_worker_dials(json!({ "faults": faults })).await;
    }

    /// Kills the first worker right before or after the nth host call of a kind, such as
    /// `key-value.set`.
    ///
    /// # Panics
    /// The host refuses the setting.
    pub async fn kill_worker_at(&self, call: &str, nth: u32, when: &str) {
        let settings = json!({"die": {"call": call, "nth": nth, "when": when}});
        self.set_worker_dials(settings).await;
    }

    async fn set_dials(&self, dials: Option<SocketAddr>, settings: Value) {
        let dials = dials.expect("the setup has dials");
        let request = self.client.put(format!("http://{dials}/dials"));
        let response = request.json(&settings).send().await;
        let response = response.expect("the dials respond");
        let status = response.status();
        let text = response.text().await.unwrap_or_default();
        assert!(status.is_success(), "{text}");
    }

    /// The number of calls of a kind, such as `key-value.get`, that the HTTP side has made.
    ///
    /// # Panics
    /// The host does not respond.
    pub async fn http_calls(&self, kind: &str) -> u64 {
        let dials = self.app.dials.expect("the setup has dials");
        let request = self.client.get(format!("http://{dials}/calls"));
        let response = request.send().await.expect("the dials respond");
        let calls: Value = response.json().await.expect("calls are JSON");
        calls[kind].as_u64().unwrap_or(0)
    }
}
