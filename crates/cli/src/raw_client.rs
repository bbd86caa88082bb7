//! One blocking connection to a server, with every byte in the caller's hands.
//!
//! What it does by itself: it counts xids, joins bytes to frames and remembers the session and the
//! last zxid. What it does not: it sends no pings, never reconnects and gives no meaning to what
//! arrives. Notifications come out of [`RawClient::receive`] between the replies, in the order in
//! which the server sent them.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use ostler_wire::acl::Acl;
use ostler_wire::connect::{ConnectRequest, ConnectResponse, Password};
use ostler_wire::error::ErrorCode;
use ostler_wire::frame;
use ostler_wire::ids::{SessionId, Xid, Zxid};
use ostler_wire::jute::Reader;
use ostler_wire::reply::{ReplyHeader, WatcherEvent};
use ostler_wire::request::{CreateRequest, Request, acl_entries};
use ostler_wire::stat::Stat;

/// No server sends frames near this length; a longer one means that the stream is not frames.
const FRAME_BYTES_MAX: usize = 1 << 30;

/// How long a blocking read or write waits before it fails.
const IO_TIMEOUT: Duration = Duration::from_secs(60);

/// How a session is asked for.
#[derive(Clone, Copy, Debug)]
pub struct SessionRequest {
    /// The timeout that the client would like.
    pub timeout_ms: i32,
    /// The session to resume; [`SessionId::NONE`] for a new one.
    pub session: SessionId,
    /// The password of the session to resume; ignored for a new one.
    pub password: Password,
    /// What the client has seen of history.
    pub last_zxid: Zxid,
}

impl SessionRequest {
    /// Asks for a new session.
    #[must_use]
    pub fn new(timeout_ms: i32) -> Self {
        Self { timeout_ms, session: SessionId::NONE, password: [0; 16], last_zxid: Zxid::ZERO }
    }

    /// Appends the frame that opens a connection.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: self.last_zxid,
            timeout_ms: self.timeout_ms,
            session: self.session,
            password: Some(&self.password),
            read_only: Some(false),
        };
        frame::put(out, |out| request.encode(out));
    }
}

/// A connection; see the module's documentation.
#[derive(Debug)]
pub struct RawClient {
    stream: TcpStream,
    /// Bytes that arrived and belong to no frame that was handed out yet.
    input: Vec<u8>,
    session: SessionId,
    password: Password,
    timeout_ms: i32,
    last_zxid: Zxid,
    xid: i32,
}

impl RawClient {
    /// Opens a connection and sends nothing.
    pub fn dial(server: impl ToSocketAddrs) -> io::Result<Self> {
        let stream = TcpStream::connect(server)?;
        stream.set_nodelay(true)?;
        let client = Self {
            stream,
            input: Vec::new(),
            session: SessionId::NONE,
            password: [0; 16],
            timeout_ms: 0,
            last_zxid: Zxid::ZERO,
            xid: 0,
        };
        client.set_io_timeout(IO_TIMEOUT)?;
        Ok(client)
    }

    /// Opens a connection and a new session on it.
    pub fn connect(server: impl ToSocketAddrs, timeout_ms: i32) -> io::Result<Self> {
        let mut client = Self::dial(server)?;
        let response = client.handshake(&SessionRequest::new(timeout_ms))?;
        if response.timeout_ms <= 0 {
            return Err(io::Error::other("the server refuses a new session"));
        }
        Ok(client)
    }

    /// Opens a connection and resumes a session on it; `None` if the session is gone.
    pub fn resume(
        server: impl ToSocketAddrs,
        request: &SessionRequest,
    ) -> io::Result<Option<Self>> {
        let mut client = Self::dial(server)?;
        let response = client.handshake(request)?;
        Ok((response.timeout_ms > 0).then_some(client))
    }

    /// Sends a connect request and waits for its answer.
    pub fn handshake(&mut self, request: &SessionRequest) -> io::Result<ConnectResponse> {
        self.send_connect(request)?;
        self.receive_connect()
    }

    /// Sends a connect request.
    pub fn send_connect(&mut self, request: &SessionRequest) -> io::Result<()> {
        let mut bytes = Vec::new();
        request.encode(&mut bytes);
        self.last_zxid = self.last_zxid.max(request.last_zxid);
        self.send_bytes(&bytes)
    }

    /// Waits for the answer to a connect request.
    pub fn receive_connect(&mut self) -> io::Result<ConnectResponse> {
        let body = self.receive_frame()?;
        let response = ConnectResponse::decode(&body).map_err(io::Error::other)?;
        self.session = response.session;
        self.password = response.password;
        self.timeout_ms = response.timeout_ms;
        Ok(response)
    }

    /// Changes how long a blocking read or write waits before it fails; a minute at first.
    pub fn set_io_timeout(&self, timeout: Duration) -> io::Result<()> {
        self.stream.set_read_timeout(Some(timeout))?;
        self.stream.set_write_timeout(Some(timeout))
    }

    /// The session of this connection.
    #[must_use]
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// The negotiated timeout.
    #[must_use]
    pub fn timeout_ms(&self) -> i32 {
        self.timeout_ms
    }

    /// The last zxid that a reply carried.
    #[must_use]
    pub fn last_zxid(&self) -> Zxid {
        self.last_zxid
    }

    /// What resumes this session on another connection.
    #[must_use]
    pub fn resumption(&self) -> SessionRequest {
        SessionRequest {
            timeout_ms: self.timeout_ms,
            session: self.session,
            password: self.password,
            last_zxid: self.last_zxid,
        }
    }

    /// Gives up the connection for its socket. Bytes that were not handed out are lost.
    #[must_use]
    pub fn into_stream(self) -> TcpStream {
        self.stream
    }

    /// Sends bytes as they are.
    pub fn send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends `body` as a frame.
    pub fn send_frame(&mut self, body: &[u8]) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(body.len() + frame::PREFIX_BYTES);
        frame::put(&mut bytes, |out| out.extend_from_slice(body));
        self.send_bytes(&bytes)
    }

    /// Sends a request under the next xid.
    pub fn send(&mut self, request: &Request<'_>) -> io::Result<Xid> {
        let mut bytes = Vec::new();
        let xid = self.encode(request, &mut bytes);
        self.send_bytes(&bytes)?;
        Ok(xid)
    }

    /// Appends the frame of a request to `out`, which the caller sends.
    pub fn encode(&mut self, request: &Request<'_>, out: &mut Vec<u8>) -> Xid {
        self.xid = self.xid.checked_add(1).unwrap_or(1);
        let xid = match request {
            Request::Ping => Xid::PING,
            Request::Auth { .. } => Xid::AUTH,
            _ => Xid(self.xid),
        };
        frame::put(out, |out| request.encode(xid, out));
        xid
    }

    /// The body of the next frame. The end of the stream is [`io::ErrorKind::UnexpectedEof`].
    pub fn receive_frame(&mut self) -> io::Result<Vec<u8>> {
        loop {
            let found = frame::first(&self.input, FRAME_BYTES_MAX);
            let found = found.map_err(|bad| {
                io::Error::new(io::ErrorKind::InvalidData, format!("a frame of {} bytes", bad.0))
            })?;
            if let Some(body) = found {
                let body = body.to_vec();
                self.input.drain(..frame::PREFIX_BYTES + body.len());
                return Ok(body);
            }
            let mut chunk = [0; 16 * 1024];
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(length) => self.input.extend_from_slice(&chunk[..length]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The next reply or notification.
    pub fn receive(&mut self) -> io::Result<Reply> {
        let reply = Reply::decode(self.receive_frame()?)?;
        if reply.header.xid != Xid::NOTIFICATION && reply.header.zxid > self.last_zxid {
            self.last_zxid = reply.header.zxid;
        }
        Ok(reply)
    }

    /// The next frame, which must be a notification.
    pub fn receive_event(&mut self) -> io::Result<WatcherEvent> {
        let reply = self.receive()?;
        reply.event()
    }

    /// Sends a request and waits for its reply. A notification in between is an error: a caller
    /// that has watches uses [`send`](Self::send) and [`receive`](Self::receive).
    pub fn call(&mut self, request: &Request<'_>) -> io::Result<Reply> {
        let xid = self.send(request)?;
        let reply = self.receive()?;
        if reply.header.xid == xid {
            Ok(reply)
        } else {
            Err(io::Error::other(format!("waited for {xid:?}, got {:?}", reply.header)))
        }
    }

    /// Sends many requests with up to `depth` of them unanswered, and hands out each reply.
    pub fn call_all<'r>(
        &mut self,
        requests: impl IntoIterator<Item = Request<'r>>,
        depth: usize,
        mut on_reply: impl FnMut(Reply),
    ) -> io::Result<()> {
        let mut sent = VecDeque::new();
        let mut bytes = Vec::new();
        let mut requests = requests.into_iter();
        loop {
            // Half of the window at a time, so that one write carries many requests.
            if sent.len() <= depth / 2 {
                while sent.len() < depth.max(1) {
                    let Some(request) = requests.next() else { break };
                    sent.push_back(self.encode(&request, &mut bytes));
                }
                self.send_bytes(&bytes)?;
                bytes.clear();
            }
            let Some(xid) = sent.pop_front() else { return Ok(()) };
            let reply = self.receive()?;
            if reply.header.xid != xid {
                return Err(io::Error::other(format!("{xid:?} answered by {:?}", reply.header)));
            }
            on_reply(reply);
        }
    }

    /// Waits for the server to close the connection; the frames that came before are returned.
    ///
    /// A reset counts as closed: servers that close with unread input cause it.
    pub fn receive_until_closed(&mut self) -> io::Result<Vec<Vec<u8>>> {
        let mut frames = Vec::new();
        loop {
            match self.receive_frame() {
                Ok(body) => frames.push(body),
                Err(error) if is_closed(&error) => return Ok(frames),
                Err(error) => return Err(error),
            }
        }
    }

    /// Closes the session and waits for the server to confirm it.
    pub fn close_session(mut self) -> io::Result<Zxid> {
        let xid = self.send(&Request::CloseSession)?;
        loop {
            let reply = self.receive()?;
            if reply.header.xid == xid {
                return Ok(reply.header.zxid);
            }
        }
    }
}

/// Whether an error says that the other end is gone, rather than silent or talking nonsense.
#[must_use]
pub fn is_closed(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
    )
}

/// A reply or a notification.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Its header.
    pub header: ReplyHeader,
    frame: Vec<u8>,
}

impl Reply {
    /// Takes a frame apart.
    pub fn decode(frame: Vec<u8>) -> io::Result<Self> {
        let header = ReplyHeader::read(&mut Reader::new(&frame)).map_err(io::Error::other)?;
        Ok(Self { header, frame })
    }

    /// What stands behind the header.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.frame[ReplyHeader::SIZE_BYTES..]
    }

    /// This reply, if it reports success.
    pub fn ok(self) -> io::Result<Self> {
        match self.header.err {
            ErrorCode::OK => Ok(self),
            err => Err(io::Error::other(format!("the server answers {err:?}"))),
        }
    }

    /// The body as a path (create).
    pub fn path(&self) -> io::Result<String> {
        let path = Reader::new(self.body()).text().map_err(io::Error::other)?;
        Ok(path.into_owned())
    }

    /// The body as a stat (exists, setData).
    pub fn stat(&self) -> io::Result<Stat> {
        Stat::read(&mut Reader::new(self.body())).map_err(io::Error::other)
    }

    /// The body as data and stat (getData).
    pub fn data(&self) -> io::Result<(Option<&[u8]>, Stat)> {
        let from = &mut Reader::new(self.body());
        let data = from.buffer().map_err(io::Error::other)?;
        Ok((data, Stat::read(from).map_err(io::Error::other)?))
    }

    /// The body as a list of names (getChildren, getEphemerals).
    pub fn names(&self) -> io::Result<Vec<String>> {
        let names = Reader::new(self.body())
            .vector(|from| from.text().map(Cow::into_owned))
            .map_err(io::Error::other)?;
        Ok(names.unwrap_or_default())
    }

    /// The body as a watch event; an error if this is not a notification.
    pub fn event(&self) -> io::Result<WatcherEvent> {
        if self.header.xid != Xid::NOTIFICATION {
            return Err(io::Error::other(format!("not a notification: {:?}", self.header)));
        }
        WatcherEvent::read(&mut Reader::new(self.body())).map_err(io::Error::other)
    }
}

/// A create request with an open ACL. `flags` is ZooKeeper's: 0 persistent, 1 ephemeral, plus 2
/// for sequential.
#[must_use]
pub fn create<'a>(path: &'a str, data: &'a [u8], flags: i32) -> Request<'a> {
    static OPEN: std::sync::LazyLock<Vec<Acl>> = std::sync::LazyLock::new(Acl::open);
    let acl = Some(acl_entries(&OPEN));
    Request::Create(CreateRequest { path: path.into(), data: Some(data), acl, flags, ttl_ms: -1 })
}

/// A delete request for any version.
#[must_use]
pub fn delete(path: &str) -> Request<'_> {
    Request::Delete { path: path.into(), version: -1 }
}

/// An exists request.
#[must_use]
pub fn exists(path: &str, watch: bool) -> Request<'_> {
    Request::Exists { path: path.into(), watch }
}

/// A getData request.
#[must_use]
pub fn get_data(path: &str, watch: bool) -> Request<'_> {
    Request::GetData { path: path.into(), watch }
}

/// A setData request for any version.
#[must_use]
pub fn set_data<'a>(path: &'a str, data: &'a [u8]) -> Request<'a> {
    Request::SetData { path: path.into(), data: Some(data), version: -1 }
}

/// A getChildren request.
#[must_use]
pub fn get_children(path: &str, watch: bool) -> Request<'_> {
    Request::GetChildren { path: path.into(), watch }
}
