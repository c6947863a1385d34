//! What an instance costs: the fuel that it burns and the memory that it grows to. For measurements
//! only, with [`Options::measure`](crate::Options::measure).
//!
//! Wasmtime burns about one unit of fuel for each WebAssembly instruction, so the number does not
//! depend on the machine or its load. The host's own work burns none.

use wasmtime::{ResourceLimiter, Result, Store};

use crate::instance::State;

/// More fuel than any instance burns.
const FUEL: u64 = u64::MAX;

/// The size that the largest linear memory of an instance has grown to, in bytes.
#[derive(Default)]
pub(crate) struct PeakMemory(usize);

impl ResourceLimiter for PeakMemory {
    fn memory_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> Result<bool> {
        self.0 = self.0.max(desired);
        Ok(true)
    }

    fn table_growing(&mut self, _: usize, _: usize, _: Option<usize>) -> Result<bool> {
        Ok(true)
    }
}

/// Begins to measure a new instance, whose engine has to count fuel.
///
/// # Errors
/// When the engine does not count fuel.
pub(crate) fn begin(store: &mut Store<State>) -> Result<()> {
    store.set_fuel(FUEL)?;
    store.limiter(|state| &mut state.peak_memory);
    Ok(())
}

/// Logs what an instance has cost, if it was measured.
pub(crate) fn log(store: &Store<State>, requests: usize) {
    let state = store.data();
    if !state.component.measure {
        return;
    }
    // The engine counts fuel, or `begin` would have failed.
    let fuel = FUEL - store.get_fuel().unwrap_or(FUEL);
    let memory = state.peak_memory.0;
    state.component.log(format_args!(
        "measured: {requests} requests, {fuel} fuel, {memory} bytes of memory"
    ));
}
