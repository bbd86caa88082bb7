//! Telling systemd how far the server is, as `Type=notify` units want it.
//!
//! One datagram of text for each state, to the socket that the environment names; without it
//! nothing is told. A member of an ensemble is ready when its ports are open: whether it finds a
//! leader is up to others, and an init system that starts them one after the other must not wait.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The server serves, or would with a leader.
pub(crate) fn ready() {
    tell("READY=1");
}

/// The server is about to end because it was asked to.
pub(crate) fn stopping() {
    tell("STOPPING=1");
}

fn tell(state: &str) {
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else {
        return;
    };
    if let Err(error) = send(&socket, state) {
        tracing::warn!("cannot tell {} that {state}: {error}", socket.display());
    }
}

fn send(socket: &OsStr, state: &str) -> io::Result<()> {
    let to = match socket.as_bytes() {
        #[cfg(target_os = "linux")]
        [b'@', name @ ..] => {
            <SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(name)?
        }
        _ => SocketAddr::from_pathname(socket)?,
    };
    let from = UnixDatagram::unbound()?;
    // Who starts servers reads this at once; if it does not, serving is more important.
    from.set_nonblocking(true)?;
    from.send_to_addr(state.as_bytes(), &to).map(|_| ())
}
