//! `GET /metrics`: the Prometheus text format, version 0.0.4.

use crate::snapshot::BreakerState;
use crate::state::{self, Report, StoreState, field, whole};
use afterword::metrics::ALL;
use std::fmt::{Display, Write};

/// The media type of the text.
pub const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The prefix of all names.
const PREFIX: &str = "afterword_";

/// The upper bounds of the histogram of refreshes, in milliseconds, and as Prometheus writes them in
/// seconds. `complete.lua` counts in the same buckets.
const BUCKETS: [(&str, &str); 12] = [
    ("50", "0.05"),
    ("100", "0.1"),
    ("250", "0.25"),
    ("500", "0.5"),
    ("1000", "1"),
    ("2500", "2.5"),
    ("5000", "5"),
    ("10000", "10"),
    ("30000", "30"),
    ("60000", "60"),
    ("300000", "300"),
    ("inf", "+Inf"),
];

/// The counters that the components count ([`ALL`]), and their explanations.
const COUNTERS: [(&str, &str); 5] = [
    (
        "reads_total",
        "Reads of /articles and /articles/{id} by where the response came from.",
    ),
    ("webhooks_total", "Webhooks by what became of them."),
    (
        "origin_requests_total",
        "Requests to Supabase by who sent them and whether they succeeded.",
    ),
    (
        "entries_written_total",
        "Entries that the worker wrote to the key-value store.",
    ),
    (
        "entries_removed_total",
        "Entries that the worker removed from the key-value store.",
    ),
];

/// The counters that the script counts: their names in Redis, and their explanations.
const SCRIPT_COUNTERS: [(&str, &str); 4] = [
    (
        "retries",
        "Failed attempts to refresh a key, each of which is retried.",
    ),
    ("breaker_trips", "How often the circuit breaker opened."),
    (
        "reconciliations",
        "Comparisons of the stored entries with the table.",
    ),
    (
        "reconciled_outdated",
        "Entries that a reconciliation found to differ from the table.",
    ),
];

/// The text. Without a report, Redis does not respond, and what it knows is left out.
pub fn text(report: Option<&Report>, store: StoreState) -> String {
    let mut page = Page::default();
    page.gauge(
        "redis_up",
        "Whether the Redis of the work queue responds.",
        report.is_some(),
    );
    page.gauge(
        "store_up",
        "Whether the key-value store responds.",
        store.is_up,
    );
    if store.is_up {
        let help = "Whether webhooks that Redis did not accept wait in the key-value store.";
        page.gauge("outbox_pending", help, store.outbox_pending);
    }
    if let Some(report) = report {
        page.counters(report);
        page.refreshes(report);
        page.gauges(report);
    }
    page.0
}

/// The text so far.
#[derive(Default)]
struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(
            self.0,
            "# HELP {PREFIX}{name} {help}\n# TYPE {PREFIX}{name} {kind}"
        );
    }

    fn sample(&mut self, sample: &str, value: impl Display) {
        let _ = writeln!(self.0, "{PREFIX}{sample} {value}");
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl Into<f64>) {
        self.family(name, "gauge", help);
        self.sample(name, value.into());
    }

    fn counters(&mut self, report: &Report) {
        let count = |name: &str| field(&report.metrics, name).unwrap_or_default();
        for (family, help) in COUNTERS {
            self.family(family, "counter", help);
            let name = |sample: &str| sample.split('{').next() == Some(family);
            for counter in ALL.iter().filter(|counter| name(counter.sample())) {
                self.sample(counter.sample(), count(counter.sample()));
            }
        }
        for (name, help) in SCRIPT_COUNTERS {
            let family = format!("{name}_total");
            self.family(&family, "counter", help);
            self.sample(&family, count(name));
        }
    }

    fn refreshes(&mut self, report: &Report) {
        let name = "refresh_seconds";
        let help = "Time from the queueing of a key until the key-value store held its content.";
        self.family(name, "histogram", help);
        let mut total = 0;
        for (milliseconds, seconds) in BUCKETS {
            let bucket = format!("refresh_ms:{milliseconds}");
            total += field(&report.metrics, &bucket).unwrap_or_default();
            self.sample(&format!("{name}_bucket{{le=\"{seconds}\"}}"), total);
        }
        let sum = field(&report.metrics, "refresh_ms:sum").unwrap_or_default();
        self.sample(&format!("{name}_sum"), in_seconds(sum));
        self.sample(&format!("{name}_count"), total);
    }

    fn gauges(&mut self, report: &Report) {
        let help = "How long the key that has been queued longest has been queued.";
        self.gauge("lag_seconds", help, in_seconds(whole(report.lag)));
        self.family("queue_keys", "gauge", "Queued keys by what they wait for.");
        let count = |name| report.counts.get(name).copied().unwrap_or_default();
        for state in ["due", "claimed", "waiting", "backing_off"] {
            self.sample(&format!("queue_keys{{state=\"{state}\"}}"), count(state));
        }
        let help = "Queued keys whose requests fail while others succeed.";
        self.gauge("queue_suspects", help, count("suspects"));
        let is_open = state::breaker(report).state != BreakerState::Closed;
        let help = "Whether the circuit breaker is open or half-open, because Supabase fails.";
        self.gauge("breaker_open", help, is_open);
        let help = "Whether a worker has given a sign of life within 150 s.";
        self.gauge("worker_up", help, report.alive > 0.0);
        let times = [
            (
                "worker_seen_timestamp_seconds",
                "worker_at",
                "The worker's last sign of life.",
            ),
            (
                "reconciliation_timestamp_seconds",
                "reconciled_at",
                "The end of the last reconciliation.",
            ),
        ];
        for (name, at, help) in times {
            if let Some(at) = field(&report.health, at) {
                self.gauge(name, help, in_seconds(at));
            }
        }
        let sizes = [
            ("entries", "Stored entries, as of the last reconciliation."),
            (
                "entries_bytes",
                "Bytes of the stored entries, as of the last reconciliation.",
            ),
        ];
        for ((name, help), in_redis) in sizes.into_iter().zip(["entries", "bytes"]) {
            if let Some(count) = field(&report.health, in_redis) {
                self.gauge(name, help, count as f64);
            }
        }
    }
}

fn in_seconds(milliseconds: u64) -> f64 {
    milliseconds as f64 / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::collections::HashSet;

    const STORE: StoreState = StoreState {
        is_up: true,
        outbox_pending: false,
        outbox_since: None,
    };

    fn report() -> Report {
        serde_json::from_value(json!({
            "now": 1_764_000_000_000_u64,
            "lag": 1_500,
            "alive": 1,
            "counts": {"due": 2, "claimed": 1},
            "health": {"worker_at": "1764000000000", "entries": "25", "bytes": "9000",
                "reconciled_at": "1764000000000"},
            "metrics": {"reads_total{outcome=\"hit\"}": "7", "retries": "3", "refresh_ms:50": "4",
                "refresh_ms:250": "1", "refresh_ms:sum": "320", "unknown": "9"},
        }))
        .unwrap()
    }

    /// The names of all families.
    fn families() -> Vec<String> {
        let text = text(Some(&report()), STORE);
        let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        types
            .map(|line| line.split(' ').next().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn the_text_has_the_counts_and_cumulative_buckets() {
        let text = text(Some(&report()), STORE);
        for line in [
            "# TYPE afterword_reads_total counter",
            "afterword_reads_total{outcome=\"hit\"} 7",
            "afterword_reads_total{outcome=\"miss\"} 0",
            "afterword_retries_total 3",
            "afterword_refresh_seconds_bucket{le=\"0.05\"} 4",
            "afterword_refresh_seconds_bucket{le=\"0.25\"} 5",
            "afterword_refresh_seconds_bucket{le=\"+Inf\"} 5",
            "afterword_refresh_seconds_sum 0.32",
            "afterword_refresh_seconds_count 5",
            "afterword_lag_seconds 1.5",
            "afterword_queue_keys{state=\"due\"} 2",
            "afterword_entries_bytes 9000",
            "afterword_breaker_open 0",
            "afterword_worker_seen_timestamp_seconds 1764000000",
        ] {
            assert!(text.lines().any(|other| other == line), "{line} in {text}");
        }
        assert!(!text.contains("unknown"));
    }

    #[test]
    fn every_counter_belongs_to_a_family() {
        let text = text(Some(&report()), STORE);
        for counter in ALL {
            assert!(
                text.contains(&format!("\nafterword_{} ", counter.sample())),
                "{counter:?}"
            );
        }
        let families = families();
        assert_eq!(
            families.iter().collect::<HashSet<_>>().len(),
            families.len()
        );
    }

    #[test]
    fn without_redis_only_what_is_known_is_shown() {
        let text = text(None, STORE);
        assert!(text.contains("\nafterword_redis_up 0\n"));
        assert!(!text.contains("lag_seconds"));
    }

    #[test]
    fn every_metric_is_documented() {
        const PAGE: &str = include_str!("../../../docs/monitoring.md");
        for family in families() {
            assert!(PAGE.contains(&format!("\n| `{family}` |")), "{family}");
        }
        let rows = PAGE
            .lines()
            .filter(|line| line.starts_with("| `afterword_"));
        assert_eq!(rows.count(), families().len());
    }
}
