//! What a leader and its learners send each other on the quorum port.
//!
//! Packets follow each other with no framing around them: a packet ends where its last field ends.
//! Only behind a SNAP packet comes something else, a snapshot stream.
//!
//! | field | type |
//! |---|---|
//! | type | int |
//! | zxid | long |
//! | data | buffer, may be null |
//! | authinfo | vector of {scheme string, id string}, may be null |

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::acl::Id;
use crate::ids::{Epoch, SessionId, Sid, Xid, Zxid};
use crate::jute::{DecodeError, Put, Reader};

macro_rules! kinds {
    ($($name:ident = $number:literal, $doc:literal;)*) => {
        /// What a packet is for.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum PacketKind {
            $(
                #[doc = $doc]
                $name,
            )*
            /// A number without a meaning; such packets are ignored.
            Unknown(i32),
        }

        impl PacketKind {
            /// The kind of this number.
            #[must_use]
            pub fn from_number(number: i32) -> Self {
                match number {
                    $($number => Self::$name,)*
                    other => Self::Unknown(other),
                }
            }

            /// The number on the wire.
            #[must_use]
            pub fn number(self) -> i32 {
                match self {
                    $(Self::$name => $number,)*
                    Self::Unknown(number) => number,
                }
            }
        }
    };
}

kinds! {
    Request = 1, "Learner to leader: carry this out. [`ForwardedRequest`].";
    Proposal = 2, "Leader to follower: log this. Data as in the log.";
    Ack = 3, "Learner to leader: it is on disk.";
    Commit = 4, "Leader to follower: a quorum has it.";
    Ping = 5, "Both ways; the answer carries [`Touched`] entries.";
    Revalidate = 6, "Is this session alive? [`Touched`]; the answer has a bool in place of the int.";
    Sync = 7, "Leader to learner: everything up to your sync has been sent.";
    Inform = 8, "Leader to observer: proposal and commit in one.";
    CommitAndActivate = 9, "A commit of a new configuration.";
    NewLeader = 10, "Leader to learner: this is the whole history before my epoch.";
    FollowerInfo = 11, "Follower to leader, first. [`LearnerInfo`].";
    UpToDate = 12, "Leader to learner: serve.";
    Diff = 13, "Leader to learner: what you lack follows.";
    Trunc = 14, "Leader to learner: drop what lies behind this zxid.";
    Snap = 15, "Leader to learner: a snapshot stream follows.";
    ObserverInfo = 16, "Observer to leader, first. [`LearnerInfo`].";
    LeaderInfo = 17, "Leader to learner: the epoch that I propose; data is the protocol version.";
    AckEpoch = 18, "Learner to leader: accepted; data is the int of its current epoch, or -1.";
    InformAndActivate = 19, "An inform of a new configuration.";
}

/// One packet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct QuorumPacket {
    /// What it is for.
    pub kind: PacketKind,
    /// Its meaning depends on the kind.
    pub zxid: Zxid,
    /// What else there is. Shared, since a proposal goes to every follower and to the log.
    pub data: Option<Arc<[u8]>>,
    /// Who is behind a [`PacketKind::Request`]; written as null when empty.
    pub ids: Vec<Id>,
}

impl QuorumPacket {
    /// A packet of nothing but kind and zxid.
    #[must_use]
    pub fn bare(kind: PacketKind, zxid: Zxid) -> Self {
        Self { kind, zxid, data: None, ids: Vec::new() }
    }

    /// A packet with data.
    #[must_use]
    pub fn with_data(kind: PacketKind, zxid: Zxid, data: impl Into<Arc<[u8]>>) -> Self {
        Self { kind, zxid, data: Some(data.into()), ids: Vec::new() }
    }

    /// Appends the packet.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.put_int(self.kind.number());
        out.put_long(self.zxid.0);
        out.put_buffer(self.data.as_deref());
        if self.ids.is_empty() {
            out.put_int(-1);
        } else {
            out.put_count(self.ids.len());
            for id in &self.ids {
                out.put_string(&id.scheme);
                out.put_string(&id.id);
            }
        }
    }

    /// The packet at the start of `bytes` and its length, or `None` if more bytes are needed.
    ///
    /// # Errors
    /// When no continuation could make it a packet: a negative length, data or a text longer than
    /// `max_bytes`, or texts that together go on for longer than that.
    pub fn first(bytes: &[u8], max_bytes: usize) -> Result<Option<(Self, usize)>, DecodeError> {
        let mut from = Reader::new(bytes);
        let result = Self::read(&mut from, max_bytes);
        // Of a packet that is not complete, everything was looked at and more is to come.
        let length = match result {
            Ok(_) => bytes.len() - from.rest().len(),
            Err(_) => bytes.len(),
        };
        match result {
            // Data and texts may be this long each, not every one of any number of texts.
            _ if length > HEADER_BYTES + 2 * max_bytes => Err(too_long(length)),
            Ok(packet) => Ok(Some((packet, length))),
            Err(DecodeError::Truncated) => Ok(None),
            // A length beyond the input is what an unfinished packet looks like.
            Err(DecodeError::BadLength(length))
                if usize::try_from(length).is_ok_and(|length| length <= max_bytes) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn read(from: &mut Reader<'_>, max_bytes: usize) -> Result<Self, DecodeError> {
        let kind = PacketKind::from_number(from.int()?);
        let zxid = Zxid(from.long()?);
        let data = from.buffer()?;
        if let Some(long) = data.filter(|data| data.len() > max_bytes) {
            return Err(too_long(long.len()));
        }
        let text = |from: &mut Reader<'_>| {
            let before = from.rest().len();
            let text = from.string()?.unwrap_or_default().into_owned();
            // As it stands there: what is repaired may be longer.
            let length = before - from.rest().len() - size_of::<i32>();
            if length > max_bytes { Err(too_long(length)) } else { Ok(text) }
        };
        let ids = from.vector(|from| Ok(Id { scheme: text(from)?, id: text(from)? }))?;
        // Copied last: what is not complete yet will be read again.
        Ok(Self { kind, zxid, data: data.map(Arc::from), ids: ids.unwrap_or_default() })
    }
}

fn too_long(length: usize) -> DecodeError {
    DecodeError::BadLength(i32::try_from(length).unwrap_or(i32::MAX))
}

/// Kind, zxid, the length of the data and the number of ids.
const HEADER_BYTES: usize = 20;

/// What a learner says of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LearnerInfo {
    /// Its id.
    pub sid: Sid,
    /// [`PROTOCOL_VERSION`], 1 before ZooKeeper 3.4.
    pub protocol_version: i32,
    /// The version of the configuration that it holds; 0 before ZooKeeper 3.5.
    pub config_version: i64,
}

/// What servers since ZooKeeper 3.4 speak.
pub const PROTOCOL_VERSION: i32 = 0x1_0000;

impl LearnerInfo {
    /// Its bytes: sid long, protocol version int, configuration version long.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(20);
        out.put_long(self.sid.0);
        out.put_int(self.protocol_version);
        out.put_long(self.config_version);
        out
    }

    /// Reads what a learner of any version sends: later fields may be missing.
    ///
    /// # Errors
    /// When not even the id is there.
    pub fn decode(data: &[u8]) -> Result<Self, DecodeError> {
        let mut from = Reader::new(data);
        let sid = Sid(from.long()?);
        let protocol_version = from.int().unwrap_or(1);
        let config_version = from.long().unwrap_or(0);
        Ok(Self { sid, protocol_version, config_version })
    }
}

/// A request of a client that is connected to a learner.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ForwardedRequest {
    /// Whose.
    pub session: SessionId,
    /// The client's number for it.
    pub xid: Xid,
    /// The number of the operation.
    pub op: i32,
    /// The request as the client sent it, without its header.
    pub body: Vec<u8>,
}

impl ForwardedRequest {
    /// Its bytes: session long, xid int, op int, body without a length.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(16 + self.body.len());
        out.put_long(self.session.0);
        out.put_int(self.xid.0);
        out.put_int(self.op);
        out.extend_from_slice(&self.body);
        out
    }

    /// Reads the data of a [`PacketKind::Request`].
    ///
    /// # Errors
    /// When it is too short.
    pub fn decode(data: &[u8]) -> Result<Self, DecodeError> {
        let mut from = Reader::new(data);
        let session = SessionId(from.long()?);
        let xid = Xid(from.int()?);
        let op = from.int()?;
        Ok(Self { session, xid, op, body: from.rest().to_vec() })
    }
}

/// A session that a learner heard of, as in ping answers and revalidations.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Touched {
    /// Which session.
    pub session: SessionId,
    /// Its timeout.
    pub timeout_ms: i32,
}

impl Touched {
    /// Appends session long, timeout int.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.put_long(self.session.0);
        out.put_int(self.timeout_ms);
    }

    /// Reads one.
    ///
    /// # Errors
    /// When it is cut off.
    pub fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { session: SessionId(from.long()?), timeout_ms: from.int()? })
    }

    /// Reads as many as there are.
    ///
    /// # Errors
    /// When the last one is cut off.
    pub fn read_all(data: &[u8]) -> Result<Vec<Self>, DecodeError> {
        let mut from = Reader::new(data);
        let mut all = Vec::new();
        while !from.rest().is_empty() {
            all.push(Self::read(&mut from)?);
        }
        Ok(all)
    }
}

/// The data of a [`PacketKind::LeaderInfo`].
#[must_use]
pub fn leader_info_data() -> Vec<u8> {
    PROTOCOL_VERSION.to_be_bytes().to_vec()
}

/// The data of a [`PacketKind::AckEpoch`]: the current epoch, or -1 for "already accepted".
#[must_use]
pub fn ack_epoch_data(current_epoch: Option<Epoch>) -> Vec<u8> {
    let epoch = current_epoch.map_or(-1, |epoch| i32::from_be_bytes(epoch.0.to_be_bytes()));
    epoch.to_be_bytes().to_vec()
}
