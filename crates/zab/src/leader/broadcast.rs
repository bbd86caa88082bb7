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
            // Java: followers of 3.5.10 to 3.9.1 may send these before the one of NEWLEADER. They
            // count: such a follower has written the epoch by then, so it will not be led by
            // anybody who lacks what it has.
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

#[cfg(test)]
mod tests {
    use ostler_wire::ids::Epoch;

    use super::*;
    use crate::quorum_config::{Member, PeerRole, QuorumConfig};
    use crate::settings::ZabSettings;

    /// A leader of nobody, with so many transactions to go before it announces its end.
    fn lone_leader(to_go: u32) -> Leader {
        let sid = Sid(1);
        let settings = ZabSettings::new(sid);
        let mut config = QuorumConfig::default();
        let line = "here".into();
        config.members.insert(sid, Member { role: PeerRole::Participant, line });
        let (now, epochs, mut out) = (Time::default(), (Epoch(4), Epoch(3)), Vec::new());
        let (settings, config) = (Arc::new(settings), Arc::new(config));
        let last = Epoch(3).first_zxid().next();
        let mut leader = Leader::new(now, settings, config, epochs.0, epochs.1, last, &mut out);
        leader.accepted_epoch_written(now, Epoch(5), &mut out);
        assert!(!leader.takes_proposals());
        leader.current_epoch_written(now, Epoch(5), &mut out);
        assert!(leader.takes_proposals());
        let counter = ROLL_OVER_FROM - to_go;
        leader.committed = Zxid(Epoch(5).first_zxid().0 + i64::from(counter));
        leader.proposed = leader.committed;
        leader
    }

    fn propose_next(leader: &mut Leader, out: &mut Vec<LeaderEffect>) -> Zxid {
        let zxid = leader.proposed.next();
        leader.propose(Time::default(), zxid, &[][..].into(), out);
        zxid
    }

    #[test]
    fn a_reign_ends_in_good_order_before_its_zxids_do() {
        let mut leader = lone_leader(2);
        let mut out = Vec::new();
        propose_next(&mut leader, &mut out);
        assert!(leader.takes_proposals());
        propose_next(&mut leader, &mut out);
        assert!(!leader.takes_proposals(), "the end is near");
        assert!(out.is_empty());
        // What was in progress finds room.
        let last = propose_next(&mut leader, &mut out);
        leader.log_synced(Time::default(), last, &mut out);
        assert!(matches!(out[..], [LeaderEffect::Committed(zxid), LeaderEffect::GiveUp(_)]
            if zxid == last));
        leader.log_synced(Time::default(), last, &mut out);
        leader.deadline(Time::from_millis(60_000), &mut out);
        propose_next(&mut leader, &mut out);
        assert_eq!(out.len(), 2, "nothing comes after the end");
    }

    #[test]
    fn an_announced_end_does_not_wait_for_ever() {
        let mut leader = lone_leader(1);
        let mut out = Vec::new();
        propose_next(&mut leader, &mut out);
        let at = leader.next_deadline();
        assert!(at <= Time::from_millis(2000));
        let mut now = at;
        while out.is_empty() {
            leader.deadline(now, &mut out);
            now = leader.next_deadline();
        }
        assert!(matches!(out[..], [LeaderEffect::GiveUp(_)]), "{out:?}");
        assert_eq!(now, Time::from_millis(2000));
    }

    #[test]
    #[should_panic(expected = "never used")]
    fn the_last_zxid_of_an_epoch_is_never_proposed() {
        let mut leader = lone_leader(0);
        leader.proposed = Zxid(Epoch(5).first_zxid().0 + i64::from(u32::MAX) - 1);
        propose_next(&mut leader, &mut Vec::new());
    }
}
