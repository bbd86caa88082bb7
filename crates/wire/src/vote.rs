//! What servers say to each other on the election port: once who dials, then notifications.
//!
//! Every notification stands behind an int with its length.

use alloc::string::String;
use alloc::vec::Vec;

use crate::ids::{Epoch, Sid, Zxid};
use crate::jute::{DecodeError, Put, Reader};

/// What a server is doing, as it says in a notification.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ServerState {
    /// It looks for a leader.
    Looking,
    /// It follows.
    Following,
    /// It leads.
    Leading,
    /// It observes.
    Observing,
}

impl ServerState {
    fn from_number(number: i32) -> Result<Self, DecodeError> {
        match number {
            0 => Ok(Self::Looking),
            1 => Ok(Self::Following),
            2 => Ok(Self::Leading),
            3 => Ok(Self::Observing),
            other => Err(DecodeError::BadValue(other)),
        }
    }

    fn number(self) -> i32 {
        match self {
            Self::Looking => 0,
            Self::Following => 1,
            Self::Leading => 2,
            Self::Observing => 3,
        }
    }
}

/// A vote and who casts it in which round.
///
/// | offset | field | type | since |
/// |---|---|---|---|
/// | 0 | state of the sender | int | |
/// | 4 | leader voted for | long | |
/// | 12 | its last zxid | long | |
/// | 20 | round | long | |
/// | 28 | its epoch | long | 3.4.0 |
/// | 36 | version, 2 | int | 3.4.6 |
/// | 40 | length of what follows | int | 3.5.0 |
/// | 44 | configuration text | bytes | 3.5.0 |
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Notification {
    /// What the sender is doing.
    pub state: ServerState,
    /// Whom it votes for.
    pub leader: Sid,
    /// The last zxid of that server; `i64::MIN` from observers, -1 from servers without data.
    pub zxid: Zxid,
    /// The sender's round of elections.
    pub round: i64,
    /// The current epoch of the server voted for; `i64::MIN` from observers.
    pub peer_epoch: i64,
    /// 0 from old servers, [`NOTIFICATION_VERSION`] from new ones; votes of settled servers compare
    /// differently when only one of two has a version.
    pub version: i32,
    /// The sender's configuration as a text; empty from old servers.
    pub config: String,
}

/// What is sent here.
pub const NOTIFICATION_VERSION: i32 = 2;

impl Notification {
    /// Appends it without the length before it.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.put_int(self.state.number());
        out.put_long(self.leader.0);
        out.put_long(self.zxid.0);
        out.put_long(self.round);
        out.put_long(self.peer_epoch);
        out.put_int(NOTIFICATION_VERSION);
        out.put_buffer(Some(self.config.as_bytes()));
    }

    /// Reads the message of any version, without the length before it.
    ///
    /// # Errors
    /// When it is too short for its version or says something without a meaning; such a message is
    /// dropped.
    // Java: FastLeaderElection.WorkerReceiver, which takes 40 bytes for a message without a version
    // although there is one.
    pub fn decode(message: &[u8]) -> Result<Self, DecodeError> {
        let mut from = Reader::new(message);
        let state = ServerState::from_number(from.int()?)?;
        let leader = Sid(from.long()?);
        let zxid = Zxid(from.long()?);
        let round = from.long()?;
        let mut notification = Self {
            state,
            leader,
            zxid,
            round,
            // Java shifts the sign along.
            peer_epoch: zxid.0 >> 32,
            version: 0,
            config: String::new(),
        };
        if message.len() == 28 {
            return Ok(notification);
        }
        notification.peer_epoch = from.long()?;
        if message.len() == 40 {
            return Ok(notification);
        }
        notification.version = from.int()?;
        if notification.version > 1 {
            let config = from.string()?.ok_or(DecodeError::UnexpectedNull)?;
            notification.config = config.into_owned();
        }
        Ok(notification)
    }
}

/// What the dialler of an election connection says first.
///
/// | field | type |
/// |---|---|
/// | protocol | long, -65536 for one address, -65535 for several; a number >= 0 is the sid of a 3.4 server and the end of the message |
/// | sid | long |
/// | length | int, 1 to 2048 |
/// | election addresses | `host:port`, several joined by a bar |
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hello {
    /// Who dials.
    pub sid: Sid,
    /// Where it can be dialled: `host:port` texts as they came; none from 3.4 servers.
    pub addresses: Vec<String>,
}

impl Hello {
    /// Its bytes. Java reads them with a single call, so they must go out in one write.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let addresses = self.addresses.join("|");
        let mut out = Vec::with_capacity(20 + addresses.len());
        out.put_long(if self.addresses.len() > 1 { MANY_ADDRESSES } else { ONE_ADDRESS });
        out.put_long(self.sid.0);
        out.put_buffer(Some(addresses.as_bytes()));
        out
    }

    /// The message at the start of `bytes` and its length, or `None` if more bytes are needed.
    ///
    /// # Errors
    /// When it can be none.
    pub fn first(bytes: &[u8]) -> Result<Option<(Self, usize)>, DecodeError> {
        let mut from = Reader::new(bytes);
        let Ok(protocol) = from.long() else { return Ok(None) };
        if protocol >= 0 {
            return Ok(Some((Self { sid: Sid(protocol), addresses: Vec::new() }, 8)));
        }
        if protocol != ONE_ADDRESS && protocol != MANY_ADDRESSES {
            return Err(DecodeError::BadValue(-1));
        }
        let Ok(sid) = from.long() else { return Ok(None) };
        let Ok(length) = Reader::new(from.rest()).int() else { return Ok(None) };
        if !(1..=HELLO_ADDRESSES_MAX_BYTES).contains(&length) {
            return Err(DecodeError::BadLength(length));
        }
        let Ok(Some(text)) = from.string() else { return Ok(None) };
        let addresses = text.split('|').map(String::from).collect();
        let length = bytes.len() - from.rest().len();
        Ok(Some((Self { sid: Sid(sid), addresses }, length)))
    }
}

/// The epoch of a vote as it stands in a notification.
#[must_use]
pub fn peer_epoch(epoch: Epoch) -> i64 {
    i64::from(epoch.0)
}

const ONE_ADDRESS: i64 = -65536;
const MANY_ADDRESSES: i64 = -65535;
const HELLO_ADDRESSES_MAX_BYTES: i32 = 2048;

/// The longest notification that is read.
pub const NOTIFICATION_MAX_BYTES: usize = 512 * 1024;
