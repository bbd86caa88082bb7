//! What a server tells the init system that started it.

mod common;

use std::ffi::OsStr;
use std::fs::File;
use std::net::TcpStream;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::process::Stdio;

use common::{
    PATIENCE, Server, TestDir, connect, free_port, is_foreign, poll_until, serve_command,
    write_config,
};
use rustix::process::Signal;

#[test]
fn readiness_and_the_end_are_told_wherever_the_socket_is() {
    if is_foreign() {
        return;
    }
    let dir = TestDir::new("notify");
    let path = dir.join("notify.socket");
    let at_path = UnixDatagram::bind(&path).expect("a socket");
    let name = format!("ostler-notify-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).expect("a name of the right length");
    let abstract_one = UnixDatagram::bind_addr(&address).expect("a socket");
    for (socket, named) in
        [(at_path, path.display().to_string()), (abstract_one, format!("@{name}"))]
    {
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let port = free_port();
        let config = write_config(&dir, port, &[]);
        let mut server = start(&dir, &config, port, named.as_ref());
        assert_eq!(hear(&socket), "READY=1");
        // Whoever waited for that may connect.
        drop(connect(&server));
        server.signal(Signal::TERM);
        assert_eq!(hear(&socket), "STOPPING=1");
        assert!(server.wait().success());
    }
}

#[test]
fn a_socket_that_is_gone_keeps_nobody_from_serving() {
    if is_foreign() {
        return;
    }
    let dir = TestDir::new("notify-nobody");
    let port = free_port();
    let config = write_config(&dir, port, &[]);
    let mut server = start(&dir, &config, port, dir.join("nobody").as_os_str());
    poll_until("it serves", || TcpStream::connect(&server.address).ok());
    server.signal(Signal::TERM);
    assert!(server.wait().success());
    assert!(server.log_text().contains("cannot tell"), "{}", server.log_text());
}

fn start(dir: &TestDir, config: &Path, port: u16, socket: &OsStr) -> Server {
    let log = dir.join("server.log");
    let output = File::create(&log).expect("a log");
    let child = serve_command()
        .arg(config)
        .env("NOTIFY_SOCKET", socket)
        .stdin(Stdio::null())
        .stdout(output.try_clone().expect("the log can be shared"))
        .stderr(output)
        .spawn()
        .expect("the server can be started");
    Server::of(child, port, log)
}

/// The next thing that is told.
fn hear(socket: &UnixDatagram) -> String {
    let mut bytes = [0; 256];
    let length = socket.recv(&mut bytes).expect("something is told in time");
    String::from_utf8_lossy(&bytes[..length]).into_owned()
}
