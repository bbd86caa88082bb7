//! What servers send: the connect response, replies and notifications.

use std::time::Duration;

use ostler_wire::connect::ConnectResponse;
use ostler_wire::error::ErrorCode;
use ostler_wire::frame;
use ostler_wire::ids::{Xid, Zxid};
use ostler_wire::jute::Reader;
use ostler_wire::reply::{ReplyHeader, WatcherEvent};

use crate::error::Error;
use crate::event::WatchKind;
use crate::reply::Answer;
use crate::session::core::{Core, Established};
use crate::session::queue::{Entry, Purpose};
use crate::state::State;

/// Why a connection is not worth keeping.
type Broken = &'static str;

impl Core {
    /// Takes bytes from the server: whole frames from where they are, the rest is kept.
    pub(super) fn receive(&mut self, now: Duration, bytes: &[u8]) {
        self.last_received = now;
        let mut kept = core::mem::take(&mut self.inbox);
        kept.extend_from_slice(if kept.is_empty() { &[] } else { bytes });
        let all = if kept.is_empty() { bytes } else { &kept[..] };
        let mut taken_bytes = 0;
        while self.is_shaking_hands() || self.is_up() {
            let rest = &all[taken_bytes..];
            match frame::first(rest, self.settings.frame_max) {
                Ok(None) => break,
                Ok(Some(body)) => {
                    if let Err(why) = self.take_frame(now, body) {
                        return self.hang_up(now, why);
                    }
                    taken_bytes += frame::PREFIX_BYTES + body.len();
                }
                Err(length) => {
                    if self.refuse_frame(length, rest) {
                        return self.hang_up(now, "a frame is longer than allowed");
                    }
                    break;
                }
            }
        }
        if !self.is_shaking_hands() && !self.is_up() {
            return;
        }
        if kept.is_empty() {
            kept.extend_from_slice(&bytes[taken_bytes..]);
        } else {
            kept.drain(..taken_bytes);
        }
        self.inbox = kept;
    }

    /// A frame is too long. If it is known whose answer it is, that caller hears why; `false` while
    /// that is not known yet.
    fn refuse_frame(&mut self, length: frame::BadLength, rest: &[u8]) -> bool {
        let Some(xid) = rest.get(frame::PREFIX_BYTES..).and_then(<[u8]>::first_chunk) else {
            return false;
        };
        let xid = Xid(i32::from_be_bytes(*xid));
        if self.is_up()
            && let Some(entry) = self.queue.answered(xid)
        {
            let max = self.settings.frame_max;
            self.finish(entry, Err(Error::TooLarge { bytes: i64::from(length.0), max }));
        }
        true
    }

    fn take_frame(&mut self, now: Duration, body: &[u8]) -> Result<(), Broken> {
        if self.is_shaking_hands() { self.connected(now, body) } else { self.replied(body) }
    }

    fn connected(&mut self, now: Duration, body: &[u8]) -> Result<(), Broken> {
        let response = ConnectResponse::decode(body).map_err(|_| "not a connect response")?;
        let Some(timeout_ms) = u64::try_from(response.timeout_ms).ok().filter(|ms| *ms > 0) else {
            self.end(State::Lost, &Error::SessionExpired);
            return Ok(());
        };
        let read_only = response.read_only == Some(true);
        let was_global =
            self.session.is_some_and(|session| session.is_global && session.id == response.session);
        let session = Established {
            id: response.session,
            password: response.password,
            timeout: Duration::from_millis(timeout_ms),
            is_global: was_global || !read_only,
        };
        self.established(now, session, read_only);
        Ok(())
    }

    fn replied(&mut self, body: &[u8]) -> Result<(), Broken> {
        let from = &mut Reader::new(body);
        let header = ReplyHeader::read(from).map_err(|_| "a reply without a header")?;
        match header.xid {
            Xid::PING => {
                self.proof.pong(self.state == State::Connected);
                Ok(())
            }
            Xid::NOTIFICATION => {
                let event = WatcherEvent::read(from).map_err(|_| "an event that is none")?;
                self.watches.fire(event.event_type, &event.path, header.zxid, &self.chroot);
                Ok(())
            }
            Xid::AUTH => {
                self.authenticated(header.err);
                Ok(())
            }
            xid => {
                let entry = self.queue.answered(xid).ok_or("a reply out of order")?;
                let is_doubted =
                    matches!(header.err, ErrorCode::SESSION_EXPIRED | ErrorCode::SESSION_MOVED);
                if self.state == State::Connected && !is_doubted {
                    self.proof.answered(entry.sent);
                }
                if header.zxid > Zxid::ZERO {
                    self.last_zxid = self.last_zxid.max(header.zxid);
                }
                let answer = match header.err {
                    ErrorCode::OK => Ok(from.rest().to_vec()),
                    err => Err(Error::from_code(err.0)),
                };
                self.finish(entry, answer);
                if header.err == ErrorCode::SESSION_CLOSED_REQUIRE_SASL_AUTH {
                    self.end(State::AuthFailed, &Error::AuthFailed);
                }
                Ok(())
            }
        }
    }

    fn authenticated(&mut self, err: ErrorCode) {
        let place = self.auths_sent.pop_front();
        if err != ErrorCode::OK {
            return self.end(State::AuthFailed, &Error::AuthFailed);
        }
        let answer = place.and_then(|place| self.auths[place].answer.take());
        if let Some(answer) = answer {
            drop(answer.send(Ok(Vec::new())));
        }
    }

    /// Draws the consequences of an answer, or of there being none, and hands it over.
    pub(super) fn finish(&mut self, entry: Entry, answer: Answer) {
        let answer = match entry.purpose {
            Purpose::Plain | Purpose::Tidy | Purpose::Restore => answer,
            Purpose::Watch { path, table, subscriber, is_exists } => {
                let on_missing = is_exists && matches!(answer, Err(Error::NoNode));
                let unwanted = if answer.is_ok() || on_missing {
                    self.watches.arrive(&path, table, subscriber, on_missing)
                } else {
                    self.watches.fail(&path, table)
                };
                if unwanted {
                    self.tidy(&path, table);
                }
                answer
            }
            Purpose::Unwatch { path, kind, local } => {
                let is_gone =
                    answer.is_ok() || (local && matches!(answer, Err(Error::ConnectionLoss)));
                if is_gone { self.unwatch(&path, kind) } else { answer }
            }
            Purpose::Close => {
                self.end(State::Closed, &Error::Closed);
                answer
            }
        };
        if let Some(sender) = entry.answer {
            // Whoever dropped the reply does not hear it.
            drop(sender.send(answer));
        }
        self.make_room();
    }

    /// Takes watches away here.
    pub(crate) fn unwatch(&mut self, path: &str, kind: WatchKind) -> Answer {
        if self.watches.remove(path, kind, &self.chroot) {
            Ok(Vec::new())
        } else {
            Err(Error::NoWatcher)
        }
    }
}
