//! TCP ports that other programs of this workspace leave alone.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::Result;

/// The ports to choose from. They are below the range from which Linux (32768–60999) and macOS
/// (49152–65535) give an outgoing connection its port, so that no client takes one while its server
/// is away.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

/// How many ports [`on_free_port`] tries.
const TRIES: usize = 10;

static NEXT: AtomicU16 = AtomicU16::new(0);

/// A port of 127.0.0.1 for a server that is told its port, and may be away for a while.
///
/// While this lives, no other program of this workspace gets the port: this holds the UDP port of
/// the same number, which the system gives to one process only, and takes back when that ends.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _reserved: UdpSocket,
}

impl Port {
    /// A port on which nothing listened a moment ago.
    ///
    /// # Panics
    ///
    /// When each of the 12,000 ports is taken.
    pub fn free() -> Self {
        // Test programs run side by side, so each starts somewhere else.
        let start = std::process::id().wrapping_mul(61) % u32::from(COUNT);
        let numbers = (0..COUNT).map(|_| {
            let turn = u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
            FIRST + ((start + turn) % u32::from(COUNT)) as u16
        });
        Self::first(numbers).expect("a port between 20000 and 32000 is free")
    }

    fn first(numbers: impl IntoIterator<Item = u16>) -> Option<Self> {
        numbers.into_iter().find_map(|number| {
            let reserved = UdpSocket::bind((Ipv4Addr::LOCALHOST, number)).ok()?;
            TcpListener::bind((Ipv4Addr::LOCALHOST, number)).ok()?;
            Some(Self {
                number,
                _reserved: reserved,
            })
        })
    }

    /// Its number.
    pub fn number(&self) -> u16 {
        self.number
    }

    /// 127.0.0.1 with this port.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.number).into()
    }
}

/// Starts a server on a free port, and on another where a program that is none of ours has taken
/// the port meanwhile.
///
/// # Errors
///
/// What `start` says.
pub async fn on_free_port<T>(
    mut start: impl AsyncFnMut(SocketAddr) -> Result<T>,
) -> Result<(Port, T)> {
    let mut tries = 1;
    loop {
        let port = Port::free();
        match start(port.address()).await {
            Err(error) if tries < TRIES && is_taken(&error) => tries += 1,
            started => return Ok((port, started?)),
        }
    }
}

/// Whether a server's own words, or the system's, say that its address is in use (EADDRINUSE).
fn is_taken(error: &anyhow::Error) -> bool {
    format!("{error:#}").contains("ddress already in use")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_held_by_one_holder_at_a_time() {
        let (first, second) = (Port::free(), Port::free());
        assert_ne!(first.number(), second.number());
        let number = first.number();
        assert!(Port::first([number]).is_none());
    }

    /// A stranger may take one of the ports meanwhile, but not each.
    #[test]
    fn a_server_can_listen_on_a_free_port() {
        assert!((0..100).any(|_| TcpListener::bind(Port::free().address()).is_ok()));
    }

    #[test]
    fn a_port_that_is_taken_is_passed_over() {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let taken = [
            tcp.local_addr().unwrap().port(),
            udp.local_addr().unwrap().port(),
        ];
        assert!(Port::first(taken).is_none());
    }

    #[tokio::test]
    async fn a_server_whose_port_a_stranger_took_is_started_on_another() {
        let mut strangers = Vec::new();
        let mut tried = Vec::new();
        let (port, _listener) = on_free_port(async |address| {
            tried.push(address.port());
            if strangers.len() < 2 {
                strangers.extend(TcpListener::bind(address));
            }
            Ok(TcpListener::bind(address)?)
        })
        .await
        .unwrap();
        assert_eq!(tried.last(), Some(&port.number()));
        assert!(tried.len() > 2, "{tried:?}");
    }

    #[tokio::test]
    async fn another_failure_is_told_at_once() {
        let mut starts = 0;
        let error = on_free_port(async |_| -> Result<()> {
            starts += 1;
            anyhow::bail!("no room")
        })
        .await
        .unwrap_err();
        assert_eq!((starts, error.to_string()), (1, "no room".to_owned()));
    }
}
