//! What Afterword does, sentence by sentence, with everything running for real.

mod acknowledging;
mod authority;
mod coding;
mod conditional;
mod cors;
mod crowds;
mod door;
mod ending;
mod equal;
mod explaining;
mod failing;
mod faults;
mod hiding;
mod hostile;
mod ids;
mod leaving;
mod lists;
mod model;
mod origin_failing;
mod progress;
mod reading;
mod recorded_webhooks;
mod refreshing;
mod replicas;
mod shared_redis;
mod stale;
mod store_file;
mod wake_ups;
mod work_queue;

use store_file as stored;
