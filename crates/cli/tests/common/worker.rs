//! Workers that write under load and know afterwards what must be there.
//!
//! A worker owns a part of the tree and sends pipelined creates, sets and deletes on a session that
//! lives as long as the worker. When its connection ends, the requests that had no answer may have
//! been carried out or not, but only in their order: the tree must show the acknowledged state plus
//! some number of the unanswered requests, from their start.

use std::collections::{BTreeMap, VecDeque};
use std::io;

use ostler_cli::raw_client::{
    RawClient, Reply, SessionRequest, create, get_children, get_data, is_closed,
};
use ostler_wire::error::ErrorCode;
use ostler_wire::ids::{SessionId, Xid};
use ostler_wire::request::Request;

/// A znode as a worker knows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Known {
    pub data: Vec<u8>,
    pub version: i32,
    pub owner: SessionId,
}

pub type Tree = BTreeMap<String, Known>;

#[derive(Clone, Debug)]
pub enum Op {
    Create { path: String, known: Known },
    Set { path: String, known: Known },
    Delete { path: String },
}

impl Op {
    fn path(&self) -> &str {
        match self {
            Self::Create { path, .. } | Self::Set { path, .. } | Self::Delete { path } => path,
        }
    }

    fn apply(&self, tree: &mut Tree) {
        match self {
            Self::Create { path, known } | Self::Set { path, known } => {
                tree.insert(path.clone(), known.clone());
            }
            Self::Delete { path } => {
                tree.remove(path);
            }
        }
    }

    fn request(&self) -> Request<'_> {
        match self {
            Self::Create { path, known } => {
                create(path, &known.data, i32::from(known.owner != SessionId::NONE))
            }
            Self::Set { path, known } => Request::SetData {
                path: path.into(),
                data: Some(&known.data),
                version: known.version - 1,
            },
            Self::Delete { path } => Request::Delete { path: path.into(), version: -1 },
        }
    }
}

/// One session that writes below a znode of its own.
pub struct Worker {
    pub home: String,
    random: Random,
    count: u64,
    pub resumption: Option<SessionRequest>,
    /// What was acknowledged.
    acknowledged: Tree,
    /// The same with everything that was sent.
    sent: Tree,
    pub pending: VecDeque<(Xid, Op)>,
}

/// Requests under way.
const DEPTH: usize = 24;
/// Znodes of one worker.
const NODES_MAX: usize = 400;
/// Long enough to live through a test without a ping.
pub const LONG_MS: i32 = 120_000;

impl Worker {
    pub fn new(id: u64, seed: u64) -> Self {
        Self {
            home: format!("/w{id}"),
            random: Random(seed | 1),
            count: 0,
            resumption: None,
            acknowledged: Tree::new(),
            sent: Tree::new(),
            pending: VecDeque::new(),
        }
    }

    /// Opens or resumes the session and checks what the last round left.
    pub fn prepare(&mut self, address: &str) -> RawClient {
        if self.resumption.is_none() {
            return self.begin(address);
        }
        let mut client = self.resume(address);
        self.check(&mut client);
        client
    }

    /// Writes until the server is gone, or until `acknowledged`, which hears of every
    /// acknowledgement, says that it is enough.
    pub fn work(&mut self, client: &mut RawClient, acknowledged: impl FnMut() -> bool) {
        if let Err(error) = self.write(client, acknowledged) {
            assert!(is_closed(&error), "{}: {error}", self.home);
        }
        self.resumption = Some(client.resumption());
    }

    pub fn begin(&mut self, address: &str) -> RawClient {
        let mut client = RawClient::connect(address, LONG_MS).expect("a new session");
        assert_eq!(client.timeout_ms(), LONG_MS);
        client.call(&create(&self.home, b"", 0)).unwrap().ok().expect("nobody else makes it");
        self.resumption = Some(client.resumption());
        client
    }

    pub fn resume(&self, address: &str) -> RawClient {
        let resumption = self.resumption.expect("it had a session");
        let client = RawClient::resume(address, &resumption)
            .unwrap_or_else(|error| panic!("{}: cannot resume {resumption:?}: {error}", self.home))
            .unwrap_or_else(|| panic!("{}: session {:?} is lost", self.home, resumption.session));
        assert_eq!(client.session(), resumption.session);
        client
    }

    fn write(
        &mut self,
        client: &mut RawClient,
        mut acknowledged: impl FnMut() -> bool,
    ) -> io::Result<()> {
        loop {
            let mut bytes = Vec::new();
            while self.pending.len() < DEPTH {
                let op = self.draw(client.session());
                let xid = client.encode(&op.request(), &mut bytes);
                op.apply(&mut self.sent);
                self.pending.push_back((xid, op));
            }
            client.send_bytes(&bytes)?;
            for _ in 0..DEPTH / 2 {
                let reply = client.receive()?;
                let (xid, op) = self.pending.pop_front().expect("it was asked for");
                assert_eq!((reply.header.xid, reply.header.err), (xid, ErrorCode::OK), "{op:?}");
                if let Op::Set { known, .. } = &op {
                    assert_eq!(reply.stat()?.version, known.version, "{op:?}");
                }
                op.apply(&mut self.acknowledged);
                if !acknowledged() {
                    return Ok(());
                }
            }
        }
    }

    fn draw(&mut self, session: SessionId) -> Op {
        self.count += 1;
        let draw = self.random.below(100);
        let data = format!("{} {}", self.home, self.count).into_bytes();
        // Few enough that checking all of them in every round takes no time.
        let creates = if self.sent.len() < NODES_MAX { 50 } else { 10 };
        let target = if draw < creates || self.sent.len() < 20 {
            None
        } else {
            let nth = usize::try_from(self.random.below(self.sent.len() as u64)).unwrap();
            self.sent.iter().nth(nth)
        };
        match target {
            None => {
                let owner = if draw.is_multiple_of(25) { session } else { SessionId::NONE };
                let path = format!("{}/n{}", self.home, self.count);
                Op::Create { path, known: Known { data, version: 0, owner } }
            }
            Some((path, known)) if draw < creates + 35 => {
                let known = Known { data, version: known.version + 1, owner: known.owner };
                Op::Set { path: path.clone(), known }
            }
            Some((path, _)) => Op::Delete { path: path.clone() },
        }
    }

    /// Compares the worker's part of the tree with what it may be.
    pub fn check(&mut self, client: &mut RawClient) {
        let paths: Vec<String> = self.pending.iter().map(|(_, op)| op.path().to_owned()).collect();
        let found = read_all(client, paths.iter());
        let mut tree = self.acknowledged.clone();
        let mut ops = self.pending.drain(..);
        while !paths.iter().all(|path| tree.get(path) == found.get(path)) {
            let Some((_, op)) = ops.next() else {
                panic!("{}: no number of unanswered requests leads to {found:?}", self.home);
            };
            op.apply(&mut tree);
        }
        drop(ops);
        let names = client.call(&get_children(&self.home, false)).unwrap().ok().unwrap();
        let mut names: Vec<_> = names.names().unwrap();
        names.iter_mut().for_each(|name| *name = format!("{}/{name}", self.home));
        names.sort();
        let expected: Vec<_> = tree.keys().cloned().collect();
        assert_eq!(names, expected, "children of {}", self.home);
        let all = read_all(client, names.iter());
        for (path, known) in &tree {
            assert_eq!(all.get(path), Some(known), "{path}");
        }
        self.acknowledged = tree.clone();
        self.sent = tree;
        self.resumption = Some(client.resumption());
    }
}

fn read_all<'p>(client: &mut RawClient, paths: impl Iterator<Item = &'p String> + Clone) -> Tree {
    let mut replies = Vec::new();
    let requests = paths.clone().map(|path| get_data(path, false));
    client.call_all(requests, 200, |reply: Reply| replies.push(reply)).expect("the server reads");
    let mut tree = Tree::new();
    for (path, reply) in paths.zip(replies) {
        if reply.header.err == ErrorCode::NO_NODE {
            continue;
        }
        assert_eq!(reply.header.err, ErrorCode::OK, "{path}");
        let (data, stat) = reply.data().expect("getData answers data and stat");
        let known = Known {
            data: data.unwrap_or_default().to_vec(),
            version: stat.version,
            owner: stat.ephemeral_owner,
        };
        tree.insert(path.clone(), known);
    }
    tree
}

/// Seeded numbers, so that a run can be repeated.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        (self.next() >> 11) % end
    }
}
