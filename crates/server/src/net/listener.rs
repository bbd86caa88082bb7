//! The client port.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};

use mio::net::TcpListener;
use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, sockopt};

/// Listens on `port` of `host`, or of every address, for both families where there are two.
pub(crate) fn listen(host: Option<&str>, port: u16, backlog: i32) -> io::Result<TcpListener> {
    let Some(host) = host else {
        let any = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port);
        return bind(any, backlog).or_else(|error| match error.kind() {
            io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied => Err(error),
            // A system without the newer family.
            _ => bind(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port), backlog),
        });
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let address = (host, port).to_socket_addrs()?.next();
    bind(address.ok_or_else(|| io::Error::other("the name has no address"))?, backlog)
}

fn bind(address: SocketAddr, backlog: i32) -> io::Result<TcpListener> {
    let family = if address.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let socket = rustix::net::socket_with(
        family,
        SocketType::STREAM,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        Some(ipproto::TCP),
    )?;
    // A server that restarts must not wait for connections that linger in the system.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if address.ip().is_unspecified() && address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, false)?;
    }
    rustix::net::bind(&socket, &address)?;
    rustix::net::listen(&socket, if backlog > 0 { backlog } else { BACKLOG })?;
    Ok(TcpListener::from_std(socket.into()))
}

/// Thousands of clients come at once when a server comes back.
const BACKLOG: i32 = 4096;
