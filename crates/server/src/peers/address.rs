//! Where servers find each other: `host:port`, looked up anew whenever it is dialled.
//!
//! A server that comes back under another address, as pods do, is found because no address is kept.

use std::fmt;
use std::io;
use std::net::{IpAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use rustix::net::sockopt;

/// A name or an address, and a port.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct HostPort {
    /// An IPv6 address stands here without its brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl fmt::Display for HostPort {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(out, "[{}]:{}", self.host, self.port)
        } else {
            write!(out, "{}:{}", self.host, self.port)
        }
    }
}

impl HostPort {
    pub(crate) fn new(host: &str, port: u16) -> Self {
        Self { host: host.to_owned(), port }
    }

    /// Reads the text that [`fmt::Display`] makes.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let port = port.parse().ok()?;
        let host = match host.strip_prefix('[') {
            Some(inside) => inside.strip_suffix(']')?,
            None => host,
        };
        (!host.is_empty()).then(|| Self::new(host, port))
    }

    /// Whether it stands for every address of its host, and so for none that can be dialled.
    pub(crate) fn is_any(&self) -> bool {
        self.host.parse().is_ok_and(|address: IpAddr| address.is_unspecified())
    }
}

/// Dials one after the other until one answers.
///
/// # Errors
/// The last of the reasons, with its address.
pub(crate) fn dial(addresses: &[HostPort], timeout: Duration) -> io::Result<TcpStream> {
    let deadline = Instant::now() + timeout;
    let mut last = io::Error::other("no address is known");
    for address in addresses {
        let tell = |error: io::Error| io::Error::new(error.kind(), format!("{address}: {error}"));
        let found = match (address.host.as_str(), address.port).to_socket_addrs() {
            Ok(found) => found,
            Err(error) => {
                last = tell(error);
                continue;
            }
        };
        for socket_address in found {
            let left = deadline.saturating_duration_since(Instant::now()).max(DIAL_LEAST);
            match TcpStream::connect_timeout(&socket_address, left) {
                // A port of one's own that nobody listens on can be connected with itself.
                Ok(stream) if stream.local_addr().ok() == stream.peer_addr().ok() => {
                    last = io::ErrorKind::ConnectionRefused.into();
                }
                Ok(stream) => return Ok(stream),
                Err(error) => last = tell(error),
            }
        }
    }
    Err(last)
}

/// Sets up a connection between servers: nothing waits to be joined with more, and a host that is
/// gone without a word is noticed when it does not confirm what was sent.
pub(crate) fn prepare(
    stream: &TcpStream,
    no_delay: bool,
    keep_alive: bool,
    unconfirmed: Duration,
) -> io::Result<()> {
    stream.set_nodelay(no_delay)?;
    if keep_alive {
        sockopt::set_socket_keepalive(stream, true)?;
    }
    let millis = u32::try_from(unconfirmed.as_millis()).unwrap_or(u32::MAX);
    sockopt::set_tcp_user_timeout(stream, millis)?;
    Ok(())
}

/// The second of two addresses gets at least this long when the first has used up the time.
const DIAL_LEAST: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::HostPort;

    #[test]
    fn texts_of_addresses() {
        for text in ["a.b:3888", "10.0.0.1:1", "[::1]:3888", "[fe80::1]:2"] {
            assert_eq!(HostPort::parse(text).map(|found| found.to_string()), Some(text.into()));
        }
        for text in ["", "a", ":1", "a:", "a:70000", "[::1:3888"] {
            assert_eq!(HostPort::parse(text), None, "{text}");
        }
        assert!(HostPort::new("0.0.0.0", 1).is_any());
        assert!(HostPort::new("::", 1).is_any());
        assert!(!HostPort::new("localhost", 1).is_any());
    }
}
