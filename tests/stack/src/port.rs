//! A free TCP port.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// The ports handed out: below the range from which Linux (32768–60999) and macOS (49152–65535) give an outgoing
/// connection its port, so that no client takes one between here and the server that is told to use it.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

static NEXT: AtomicU16 = AtomicU16::new(0);

/// A port of 127.0.0.1 on which nothing listens, and which this process has not handed out a moment ago.
///
/// # Panics
///
/// When each of the 12,000 ports in question is taken.
pub fn free_port() -> u16 {
    // Test programs run side by side, so each starts somewhere else.
    let start = std::process::id().wrapping_mul(61) % u32::from(COUNT);
    (0..COUNT)
        .map(|_| {
            let turn = u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
            FIRST + ((start + turn) % u32::from(COUNT)) as u16
        })
        .find(|&port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok())
        .expect("a port between 20000 and 32000 is free")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_free_and_not_handed_out_twice_in_a_row() {
        let (first, second) = (free_port(), free_port());
        assert_ne!(first, second);
        TcpListener::bind((Ipv4Addr::LOCALHOST, first)).expect("the port is free");
    }

    #[test]
    fn a_port_that_is_taken_is_passed_over() {
        let next = free_port() + 1;
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, next));
        assert_ne!(free_port(), next);
        drop(taken);
    }
}
