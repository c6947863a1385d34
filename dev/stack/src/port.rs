//! TCP ports that no other program of this workspace takes.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::Result;

/// The ports to choose from. They are below the ports of outgoing connections on Linux
/// (32768–60999) and macOS (49152–65535), so no client takes one while its server is down.
const FIRST_PORT: u16 = 20_000;
const PORT_COUNT: u16 = 12_000;

/// How many ports [`on_free_port`] tries.
const MAX_TRIES: usize = 10;

static NEXT_OFFSET: AtomicU16 = AtomicU16::new(0);

/// A port of 127.0.0.1 for a server that may be down for a while.
///
/// While this lives, no other program of this workspace gets the port. It reserves the UDP port of
/// the same number, which only one process can hold and which the system frees at its end.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _reserved: UdpSocket,
}

impl Port {
    /// A port without a listener.
    ///
    /// # Panics
    ///
    /// When all 12,000 ports are taken.
    pub fn free() -> Self {
        // Concurrent test programs start at different ports.
        let start = std::process::id().wrapping_mul(61) % u32::from(PORT_COUNT);
        let numbers = (0..PORT_COUNT).map(|_| {
            let offset = u32::from(NEXT_OFFSET.fetch_add(1, Ordering::Relaxed));
            FIRST_PORT + ((start + offset) % u32::from(PORT_COUNT)) as u16
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

    /// The port number.
    pub fn number(&self) -> u16 {
        self.number
    }

    /// The address: 127.0.0.1 and this port.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.number).into()
    }
}

/// Starts a server on a free port. If another program takes the port meanwhile, tries another port.
///
/// # Errors
///
/// The error of `start`.
pub async fn on_free_port<T>(
    mut start: impl AsyncFnMut(SocketAddr) -> Result<T>,
) -> Result<(Port, T)> {
    let mut tries = 1;
    loop {
        let port = Port::free();
        match start(port.address()).await {
            Err(error) if tries < MAX_TRIES && is_taken(&error) => tries += 1,
            started => return Ok((port, started?)),
        }
    }
}

/// Whether the server's or the system's error says that the address is in use (EADDRINUSE).
fn is_taken(error: &anyhow::Error) -> bool {
    format!("{error:#}").contains("ddress already in use")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserved_port_cannot_be_reserved_again() {
        let (first, second) = (Port::free(), Port::free());
        assert_ne!(first.number(), second.number());
        let number = first.number();
        assert!(Port::first([number]).is_none());
    }

    /// Another program may take one of the ports meanwhile, but not all.
    #[test]
    fn a_server_can_listen_on_a_free_port() {
        assert!((0..100).any(|_| TcpListener::bind(Port::free().address()).is_ok()));
    }

    #[test]
    fn a_taken_port_is_skipped() {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let taken = [
            tcp.local_addr().unwrap().port(),
            udp.local_addr().unwrap().port(),
        ];
        assert!(Port::first(taken).is_none());
    }

    #[tokio::test]
    async fn a_server_whose_port_is_taken_starts_on_another() {
        let mut others = Vec::new();
        let mut tried = Vec::new();
        let (port, _listener) = on_free_port(async |address| {
            tried.push(address.port());
            if others.len() < 2 {
                others.extend(TcpListener::bind(address));
            }
            Ok(TcpListener::bind(address)?)
        })
        .await
        .unwrap();
        assert_eq!(tried.last(), Some(&port.number()));
        assert!(tried.len() > 2, "{tried:?}");
    }

    #[tokio::test]
    async fn another_error_is_not_retried() {
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
