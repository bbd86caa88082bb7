//! What happens while a leader reigns: proposals, acknowledgements, commits, and what learners ask.
//!
//! Acknowledgements are cumulative: who has a transaction on disk has all before it, since one
//! sequence goes to every learner and its log is written in order. So what is committed is one
//! number: the highest zxid that a quorum has.

use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;

use ostler_wire::ids::{Sid, Zxid};
use ostler_wire::op::OpCode;
use ostler_wire::quorum::{ForwardedRequest, PacketKind, QuorumPacket};

use super::feeding::proposal;
use super::link::Stage;
use super::{Leader, LeaderEffect, Phase, up_to_date};
use crate::LinkId;
use crate::clock::{Span, Time};
use crate::history::TxnBody;

impl Leader {
    /// Proposes a transaction, which is being logged here at the same time. Does nothing after
    /// [`LeaderEffect::GiveUp`].
    ///
    /// # Panics
    /// When it is not the next one of this leader's epoch, or the epoch has no more.
    pub fn propose(&mut self, now: Time, zxid: Zxid, body: &TxnBody, out: &mut Vec<LeaderEffect>) {
        if self.phase == Phase::Over {
            return;
        }
        assert!(self.phase == Phase::Broadcast, "only an established leader proposes");
        assert!(zxid == self.proposed.next(), "proposals leave no gaps");
        assert!(zxid.counter() < u32::MAX, "the last zxid of an epoch is never used");
        self.proposed = zxid;
        self.outstanding.push_back((zxid, Arc::clone(body)));
        for (id, link) in &mut self.links {
            if link.is_fed() && !link.observer {
                link.owe(now, zxid);
                let packet = proposal(PacketKind::Proposal, zxid, body);
                out.push(LeaderEffect::Send(*id, packet));
            }
        }
        if zxid.counter() >= ROLL_OVER_FROM && self.ends_at.is_none() {
            // A new epoch needs an election; one in which all are equal takes no time.
            self.ends_at = Some(now + Span::from_millis(self.settings.tick_ms));
        }
    }

    /// The log of this server is on disk up to here.
    pub fn log_synced(&mut self, _now: Time, zxid: Zxid, out: &mut Vec<LeaderEffect>) {
        self.synced = self.synced.max(zxid);
        self.advance(out);
    }

    /// An ACK: of NEWLEADER if its counter is 0, else of a proposal and all before it.
    pub(super) fn ack(
        &mut self,
        now: Time,
        id: LinkId,
        zxid: Zxid,
        out: &mut Vec<LeaderEffect>,
    ) -> Result<(), &'static str> {
        let Some(link) = self.links.get_mut(&id) else { return Ok(()) };
        if zxid.counter() != 0 {
            if zxid > self.proposed {
                return Err("the learner has acknowledged what was never proposed");
            }
            // Java: followers of 3.5.10 to 3.9.1 may send these before the one of NEWLEADER.
            link.ack(now, zxid, self.proposed);
            if link.voter {
                self.advance(out);
            }
        } else if link.stage == Stage::Fed && zxid == self.epoch.first_zxid() {
            link.stage = Stage::Synced;
            link.snapshot = false;
            // Its time to log what was sent before begins now.
            link.owed = link.owed.map(|(zxid, _)| (zxid, now));
            if self.phase == Phase::Broadcast {
                out.push(up_to_date(id));
            } else {
                self.establish(now, out);
            }
        }
        Ok(())
    }

    /// A client of a learner wants something.
    pub(super) fn request(
        &mut self,
        id: LinkId,
        packet: QuorumPacket,
        out: &mut Vec<LeaderEffect>,
    ) -> Result<(), &'static str> {
        if self.phase != Phase::Broadcast {
            return Err("a request before there is a leader");
        }
        let data = packet.data.as_deref().unwrap_or_default();
        let request = ForwardedRequest::decode(data).map_err(|_| "a request cannot be read")?;
        if request.op == OpCode::Sync.number() {
            if self.committed == self.proposed {
                out.push(synced(id));
            } else {
                self.syncs.push_back((self.proposed, id));
            }
        } else if self.ends_at.is_none() {
            // Who asks a leader that is about to end asks the next one.
            out.push(LeaderEffect::Request(id, request, packet.ids));
        }
        Ok(())
    }

    /// Ends an announced end as soon as nothing is outstanding.
    pub(super) fn end_if_due(&mut self, out: &mut Vec<LeaderEffect>) {
        if self.ends_at.is_some() && self.committed == self.proposed {
            self.give_up("the reign was ended", out);
        }
    }

    /// Commits what a quorum has.
    fn advance(&mut self, out: &mut Vec<LeaderEffect>) {
        if self.phase != Phase::Broadcast || self.committed == self.proposed {
            return;
        }
        let held = self.held_by_quorum().min(self.proposed);
        if held <= self.committed {
            return;
        }
        while let Some((zxid, body)) = self.outstanding.pop_front_if(|(zxid, _)| *zxid <= held) {
            for (id, link) in self.links.iter().filter(|(_, link)| link.is_fed()) {
                out.push(LeaderEffect::Send(
                    *id,
                    if link.observer {
                        proposal(PacketKind::Inform, zxid, &body)
                    } else {
                        QuorumPacket::bare(PacketKind::Commit, zxid)
                    },
                ));
            }
            // Between the commits, since what a session asked behind its sync may be next: Java's
            // learners wait for ever for a write whose commit comes before the sync before it.
            while let Some((_, id)) = self.syncs.pop_front_if(|(after, _)| *after <= zxid) {
                if self.links.contains_key(&id) {
                    out.push(synced(id));
                }
            }
        }
        self.committed = held;
        out.push(LeaderEffect::Committed(held));
        self.end_if_due(out);
    }

    /// The highest zxid that a quorum has on disk.
    fn held_by_quorum(&mut self) -> Zxid {
        let mut tally = core::mem::take(&mut self.tally);
        tally.clear();
        tally.push((self.synced, self.settings.my_sid));
        let voters = self.links.values().filter(|link| link.voter && link.is_fed());
        tally.extend(voters.map(|link| (link.acked, link.sid)));
        tally.sort_unstable_by_key(|(zxid, _)| core::cmp::Reverse(*zxid));
        let held = if self.config.groups.is_empty() {
            let majority = self.config.voters().count() / 2;
            tally.get(majority).map(|(zxid, _)| *zxid)
        } else {
            let mut holders: BTreeSet<Sid> = BTreeSet::new();
            let mut deciding = tally.iter().skip_while(|(_, sid)| {
                holders.insert(*sid);
                !self.config.contains_quorum(&holders)
            });
            deciding.next().map(|(zxid, _)| *zxid)
        };
        self.tally = tally;
        held.unwrap_or(Zxid::NONE)
    }
}

fn synced(id: LinkId) -> LeaderEffect {
    LeaderEffect::Send(id, QuorumPacket::bare(PacketKind::Sync, Zxid::ZERO))
}

/// From here on an end is announced. Far below the last zxid, so that what is in progress then
/// finds room.
const ROLL_OVER_FROM: u32 = u32::MAX - 0xffff;
