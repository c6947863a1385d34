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
mod leaving;
mod lists;
mod marking;
mod model;
mod origin_failing;
mod reading;
mod refreshing;
mod replaying;
mod replicating;
mod stored;
mod timers;
