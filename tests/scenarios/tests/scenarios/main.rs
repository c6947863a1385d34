//! What Afterword does, sentence by sentence, with everything running for real.

mod acknowledging;
mod failing;
mod hiding;
mod leaving;
mod lists;
mod marking;
mod origin_failing;
mod reading;
mod refreshing;
mod replaying;
mod replicating;
