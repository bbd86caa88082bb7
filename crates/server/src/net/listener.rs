//! The client port.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};

use mio::net::TcpListener;
use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, sockopt};

/// Listens on `port` of `host`, or of every address, for both families where there are two.
///
/// Connections have the options of the socket that they come in by, so that none has to be set up
/// by itself: they send at once, and keep themselves alive if `keep_alive` says so.
pub(crate) fn listen(
    host: Option<&str>,
    port: u16,
    backlog: i32,
    keep_alive: bool,
) -> io::Result<TcpListener> {
    let Some(host) = host else {
        let any = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port);
        return bind(any, backlog, keep_alive).or_else(|error| match error.kind() {
            io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied => Err(error),
            // A system without the newer family.
            _ => {
                let any = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port);
                bind(any, backlog, keep_alive)
            }
        });
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let address = (host, port).to_socket_addrs()?.next();
    bind(address.ok_or_else(|| io::Error::other("the name has no address"))?, backlog, keep_alive)
}

fn bind(address: SocketAddr, backlog: i32, keep_alive: bool) -> io::Result<TcpListener> {
    let family = if address.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let socket = rustix::net::socket_with(
        family,
        SocketType::STREAM,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        Some(ipproto::TCP),
    )?;
    // A server that restarts must not wait for connections that linger in the system.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    sockopt::set_tcp_nodelay(&socket, true)?;
    sockopt::set_socket_keepalive(&socket, keep_alive)?;
    if address.ip().is_unspecified() && address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, false)?;
    }
    rustix::net::bind(&socket, &address)?;
    rustix::net::listen(&socket, if backlog > 0 { backlog } else { BACKLOG })?;
    Ok(TcpListener::from_std(socket.into()))
}

/// Thousands of clients come at once when a server comes back.
const BACKLOG: i32 = 4096;

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn connections_have_the_options_of_the_listener() {
        for keep_alive in [false, true] {
            let listener = listen(Some("127.0.0.1"), 0, -1, keep_alive).expect("a port");
            let address = listener.local_addr().expect("it is bound");
            let _client = TcpStream::connect(address).expect("it listens");
            let (accepted, _) = loop {
                match listener.accept() {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    other => break other.expect("somebody has come"),
                }
            };
            assert!(accepted.nodelay().expect("it is open"));
            assert_eq!(sockopt::socket_keepalive(&accepted).expect("it is open"), keep_alive);
        }
    }
}
