//! A session of ZooKeeper's protocol, just large enough for the series: requests are queued, sent
//! together and answered in order. It blocks, and has no idea of reconnecting.
//!
//! ```text
//! request  length | xid | type | path | …          reply  length | xid | zxid | error | …
//! ```

use std::io::{BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Result, bail, ensure};

/// What servers with ticks of two seconds grant at most.
const TIMEOUT_MS: i32 = 40_000;

/// How long a server may be silent.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Requests without an answer while something is filled in.
const WINDOW: usize = 800;

const PING_XID: i32 = -2;
const PING: i32 = 11;
const NO_NODE: i32 = -101;

/// What is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Op {
    Create,
    Delete,
    Read,
    /// Whether there is a znode, with a watch.
    Watch,
    Write,
}

/// An open session.
pub(super) struct Session {
    input: BufReader<TcpStream>,
    output: Vec<u8>,
    xid: i32,
    unanswered: usize,
    reply: Vec<u8>,
}

impl Session {
    /// Opens a session at `address`.
    pub(super) fn open(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(SILENCE_MAX))?;
        let input = BufReader::with_capacity(64 * 1024, stream);
        let mut session =
            Self { input, output: Vec::new(), xid: 0, unanswered: 0, reply: Vec::new() };
        let mut ask = Vec::new();
        ask.extend_from_slice(&[0; 4 + 8]);
        ask.extend_from_slice(&TIMEOUT_MS.to_be_bytes());
        ask.extend_from_slice(&[0; 8]);
        put_buffer(&mut ask, &[0; 16]);
        ask.push(0);
        put_buffer(&mut session.output, &ask);
        session.send()?;
        session.read_frame()?;
        ensure!(session.int(4) > 0, "the server opens no session");
        Ok(session)
    }

    /// Queues a request.
    pub(super) fn ask(&mut self, op: Op, path: &str, data: &[u8]) {
        let start = self.output.len();
        self.xid += 1;
        self.unanswered += 1;
        let number: i32 = match op {
            Op::Create => 1,
            Op::Delete => 2,
            Op::Watch => 3,
            Op::Read => 4,
            Op::Write => 5,
        };
        let out = &mut self.output;
        // The length, which is known only at the end.
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.xid.to_be_bytes());
        out.extend_from_slice(&number.to_be_bytes());
        put_buffer(out, path.as_bytes());
        match op {
            Op::Create => {
                put_buffer(out, data);
                // Everybody may do everything; persistent.
                out.extend_from_slice(&1i32.to_be_bytes());
                out.extend_from_slice(&31i32.to_be_bytes());
                put_buffer(out, b"world");
                put_buffer(out, b"anyone");
                out.extend_from_slice(&0i32.to_be_bytes());
            }
            Op::Write => {
                put_buffer(out, data);
                out.extend_from_slice(&(-1i32).to_be_bytes());
            }
            Op::Delete => out.extend_from_slice(&(-1i32).to_be_bytes()),
            Op::Read => out.push(0),
            Op::Watch => out.push(1),
        }
        let length = length(out.len() - start - 4);
        out[start..start + 4].copy_from_slice(&length);
    }

    /// Sends what is queued.
    pub(super) fn send(&mut self) -> Result<()> {
        self.input.get_mut().write_all(&self.output)?;
        self.output.clear();
        Ok(())
    }

    /// Takes the next answer. That a znode is not there is no error: so are those that are watched.
    pub(super) fn take(&mut self) -> Result<()> {
        loop {
            self.read_frame()?;
            if self.int(0) >= 0 {
                break;
            }
        }
        self.unanswered -= 1;
        match self.int(12) {
            0 | NO_NODE => Ok(()),
            error => bail!("the server answers {error}"),
        }
    }

    /// Asks one thing and waits for the answer.
    pub(super) fn call(&mut self, op: Op, path: &str, data: &[u8]) -> Result<()> {
        self.ask(op, path, data);
        self.send()?;
        self.take()
    }

    /// Asks one thing after the other, with many of them under way.
    pub(super) fn stream(
        &mut self,
        op: Op,
        paths: impl Iterator<Item = String>,
        data: &[u8],
    ) -> Result<()> {
        for path in paths {
            self.ask(op, &path, data);
            if self.unanswered >= WINDOW {
                self.send()?;
                while self.unanswered > WINDOW / 2 {
                    self.take()?;
                }
            }
        }
        self.send()?;
        while self.unanswered > 0 {
            self.take()?;
        }
        Ok(())
    }

    /// Keeps the session alive; the answer is passed over later.
    pub(super) fn ping(&mut self) -> Result<()> {
        let frame = [PING_XID.to_be_bytes(), PING.to_be_bytes()].concat();
        put_buffer(&mut self.output, &frame);
        self.send()
    }

    fn read_frame(&mut self) -> Result<()> {
        let mut length = [0; 4];
        self.input.read_exact(&mut length)?;
        self.reply.resize(usize::try_from(i32::from_be_bytes(length))?, 0);
        self.input.read_exact(&mut self.reply)?;
        Ok(())
    }

    /// The number at `at` of the last frame.
    fn int(&self, at: usize) -> i32 {
        let bytes = self.reply.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        i32::from_be_bytes(bytes.unwrap_or_default())
    }
}

fn put_buffer(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&length(bytes.len()));
    out.extend_from_slice(bytes);
}

fn length(bytes: usize) -> [u8; 4] {
    i32::try_from(bytes).expect("nothing here is large").to_be_bytes()
}
