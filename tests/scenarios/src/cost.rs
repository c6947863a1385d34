//! What an instance has cost, as the embedded host logs it with `--measure`.

use afterword_stack::eventually;
use anyhow::ensure;

use crate::afterword::{Afterword, PATIENCE};

/// The requests of the runs that are compared. They differ so much that the instances' shares do,
/// too. An instance takes 128.
const REQUESTS: [u64; 2] = [20, 120];

/// How often to start again when other requests were measured, too.
const MAX_TRIES: usize = 10;

/// What an instance has cost in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// The requests or messages that it took.
    pub requests: u64,
    /// The fuel that it burned: about one unit for each WebAssembly instruction.
    pub fuel: u64,
    /// What its memory has grown to, in bytes.
    pub memory: u64,
}

impl Cost {
    /// The cost in a line of the host about an instance of `component`.
    fn parse(line: &str, component: &str) -> Option<Self> {
        let line = line.strip_prefix("afterword-host: ")?;
        let numbers = line.strip_prefix(component)?.strip_prefix(": measured: ")?;
        let mut words = numbers.split(' ').map(str::parse);
        let mut number = || words.find_map(Result::ok);
        Some(Self {
            requests: number()?,
            fuel: number()?,
            memory: number()?,
        })
    }
}

impl Afterword {
    /// What the instances of a component have cost that have ended so far.
    pub fn costs(&self, component: &str) -> Vec<Cost> {
        let lines = self.printed();
        let costs = lines.iter().filter_map(|line| Cost::parse(line, component));
        costs.collect()
    }

    /// What the instances of `component` cost that take `requests` requests, one after another.
    /// There is one, or a few: the host takes another one when the first is not ready again.
    ///
    /// # Panics
    /// The setup does not measure, or instances also take other requests.
    pub async fn costs_of(
        &self,
        component: &str,
        requests: u64,
        request: impl AsyncFn(),
    ) -> Vec<Cost> {
        for _ in 0..MAX_TRIES {
            let before = self.costs(component).len();
            for _ in 0..requests {
                request().await;
            }
            let what = format!("waiting for the end of the instances of {component}");
            let costs = eventually(PATIENCE, &what, async || {
                let costs = self.costs(component).split_off(before);
                ensure!(count(&costs) >= requests, "ended are {costs:?}");
                Ok(costs)
            });
            let costs = costs.await.unwrap_or_else(|error| panic!("{error:#}"));
            // An instance that lived before has taken more.
            if count(&costs) == requests {
                return costs;
            }
        }
        panic!("instances of {component} always take other requests than these {requests}");
    }

    /// The fuel that one more request costs an instance of `component`: the slope between the
    /// instances that have taken the fewest and the most requests. If each request has an instance
    /// of its own, the fuel of most of them: one in 64 also reports what the others counted.
    ///
    /// # Panics
    /// As [`costs_of`](Self::costs_of).
    pub async fn fuel_of(&self, component: &str, request: impl AsyncFn()) -> u64 {
        let mut costs = Vec::new();
        for requests in REQUESTS {
            costs.extend(self.costs_of(component, requests, &request).await);
        }
        costs.sort_by_key(|cost| cost.requests);
        let (Some(few), Some(many)) = (costs.first(), costs.last()) else {
            panic!("no instance of {component} has ended");
        };
        if many.requests == 1 {
            let mut fuel: Vec<u64> = costs.iter().map(|cost| cost.fuel).collect();
            fuel.sort_unstable();
            return fuel[fuel.len() / 2];
        }
        (many.fuel - few.fuel) / (many.requests - few.requests)
    }
}

fn count(costs: &[Cost]) -> u64 {
    costs.iter().map(|cost| cost.requests).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_about_the_component_count() {
        let line = "afterword-host: get: measured: 3 requests, 58810 fuel, 1114112 bytes of memory";
        let cost = Cost {
            requests: 3,
            fuel: 58_810,
            memory: 1_114_112,
        };
        assert_eq!(Cost::parse(line, "get"), Some(cost));
        assert_eq!(Cost::parse(line, "articles"), None);
        assert_eq!(Cost::parse("afterword-host: get: hello", "get"), None);
    }
}
