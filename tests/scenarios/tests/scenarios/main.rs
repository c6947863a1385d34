//! What Afterword does, sentence by sentence, with everything running for real.

mod acknowledging;
mod equal;
mod failing;
mod faults;
mod hiding;
mod leaving;
mod lists;
mod marking;
mod model;
mod origin_failing;
mod reading;
mod refreshing;
mod replaying;
mod replicating;
mod timers;
