//! `--stub`: a server without a tree, to see how much of a figure is the machine.
//!
//! One thread answers every request at once with a reply of the right form and length: it reads
//! once and writes once for each turn of a connection, as the load does, and does nothing in
//! between but copy bytes. No server of the protocol can use less of a machine.
//!
//! It keeps nothing and checks nothing. Paths of two names, which are the bench's parents, have a
//! hundred children, all others none.

use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token};
use ostler_wire::connect::ConnectResponse;
use ostler_wire::error::ErrorCode;
use ostler_wire::frame;
use ostler_wire::ids::{SessionId, Xid, Zxid};
use ostler_wire::jute::{Put, Reader};
use ostler_wire::op::OpCode;
use ostler_wire::reply::ReplyHeader;
use ostler_wire::stat::Stat;

use super::conn::{Conn, Intake};

const LISTENER: Token = Token(usize::MAX - 1);

/// How long it waits for something to do; nothing happens then.
const WAIT: Duration = Duration::from_secs(1);

/// Children of a parent.
const CHILDREN: usize = 100;

/// Serves on this port of this machine alone, with so many bytes in each znode, until it is
/// killed. 0 is a free port.
pub(super) fn serve(port: u16, size_bytes: usize) -> io::Result<()> {
    let mut listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    let mut told = io::stdout();
    writeln!(told, "{}", listener.local_addr()?)?;
    told.flush()?;
    let mut poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut events = Events::with_capacity(1024);
    let mut clients: Vec<Option<Client>> = Vec::new();
    let mut stub =
        Stub { replies: Replies::new(size_bytes), intake: Intake::new(), output: Vec::new() };
    loop {
        match poll.poll(&mut events, Some(WAIT)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            result => result?,
        }
        for event in &events {
            if event.token() == LISTENER {
                accept(&listener, &poll, &mut clients)?;
                continue;
            }
            let slot = &mut clients[event.token().0];
            // A client that goes is no error.
            if slot.as_mut().is_some_and(|client| stub.turn(client).is_err()) {
                *slot = None;
            }
        }
    }
}

/// A connection, and whether its session is open.
struct Client {
    conn: Conn,
    open: bool,
}

fn accept(
    listener: &TcpListener,
    poll: &Poll,
    clients: &mut Vec<Option<Client>>,
) -> io::Result<()> {
    loop {
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            // It was gone before it was taken.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
            Err(error) => return Err(error),
        };
        stream.set_nodelay(true)?;
        let free = clients.iter().position(Option::is_none).unwrap_or(clients.len());
        if free == clients.len() {
            clients.push(None);
        }
        let mut conn = Conn::new(stream);
        conn.register(poll.registry(), Token(free))?;
        clients[free] = Some(Client { conn, open: false });
    }
}

/// What all connections share.
struct Stub {
    replies: Replies,
    intake: Intake,
    output: Vec<u8>,
}

impl Stub {
    /// Answers what has come on a connection.
    fn turn(&mut self, client: &mut Client) -> io::Result<()> {
        let now = Instant::now();
        client.conn.flush(now)?;
        let mut more = true;
        while more {
            let (open, output) = (&mut client.open, &mut self.output);
            let replies = &self.replies;
            more = client.conn.read(&mut self.intake, |body, _| {
                if *open {
                    return replies.answer(body, output);
                }
                *open = true;
                frame::put(output, |out| GREETING.encode(out));
                Ok(())
            })?;
            let sent = client.conn.send(&self.output, now);
            self.output.clear();
            sent?;
        }
        Ok(())
    }
}

const GREETING: ConnectResponse = ConnectResponse {
    timeout_ms: 30_000,
    session: SessionId(1),
    password: [0; 16],
    read_only: Some(false),
};

/// Bodies behind the header, ready to be copied.
struct Replies {
    stat: Vec<u8>,
    data: Vec<u8>,
    children: Vec<u8>,
}

impl Replies {
    fn new(size_bytes: usize) -> Self {
        let (mut stat, mut data, mut children) = (Vec::new(), Vec::new(), Vec::new());
        Stat::default().write(&mut stat);
        data.put_buffer(Some(&vec![0; size_bytes]));
        data.extend_from_slice(&stat);
        children.put_count(CHILDREN);
        for child in 0..CHILDREN {
            children.put_string(&format!("n{child:010}"));
        }
        Self { stat, data, children }
    }

    /// Appends the reply to a request.
    fn answer(&self, body: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        let from = &mut Reader::new(body);
        let (Ok(xid), Ok(op)) = (from.int(), from.int()) else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        let header = ReplyHeader { xid: Xid(xid), zxid: Zxid(1), err: ErrorCode::OK };
        // Most requests begin with a path, and a create is answered with it.
        let path = from.buffer().ok().flatten().unwrap_or_default();
        frame::put(out, |out| {
            header.write(out);
            match OpCode::from_number(op) {
                Some(OpCode::GetData) => out.extend_from_slice(&self.data),
                Some(OpCode::SetData | OpCode::Exists) => out.extend_from_slice(&self.stat),
                Some(OpCode::Create) => out.put_buffer(Some(path)),
                Some(OpCode::Create2) => {
                    out.put_buffer(Some(path));
                    out.extend_from_slice(&self.stat);
                }
                Some(op @ (OpCode::GetChildren | OpCode::GetChildren2)) => {
                    if path.iter().filter(|byte| **byte == b'/').count() == 2 {
                        out.extend_from_slice(&self.children);
                    } else {
                        out.put_count(0);
                    }
                    if op == OpCode::GetChildren2 {
                        out.extend_from_slice(&self.stat);
                    }
                }
                _ => {}
            }
        });
        Ok(())
    }
}
