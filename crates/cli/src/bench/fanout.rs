//! Fan-out: many sessions watch one znode; how long until the last of them knows of a change?

use std::io;
use std::time::{Duration, Instant};

use anyhow::Result;
use hdrhistogram::Histogram;
use ostler_wire::ids::Xid;
use ostler_wire::jute::Reader;
use ostler_wire::reply::ReplyHeader;

use super::ground::Ground;
use super::interruption;
use super::options::{Plan, Target};
use super::outcome::{Latencies, Outcome, Reading, Used};
use super::sessions;
use super::swarm::{Happening, Next, Swarm};
use super::tally::latencies;
use super::template::framed;
use crate::raw_client::{RawClient, get_data, set_data};

/// How long a round may take.
const ROUND_MAX: Duration = Duration::from_secs(60);

/// Sessions that are opened at a time.
const OPENING: usize = 20;

/// Runs the rounds on znode 0 of `ground`: from sending the change to each notification, and to
/// the last one of its round.
pub(super) fn run(plan: &Plan, target: &Target, ground: &Ground) -> Result<Outcome> {
    let workload = &plan.workload;
    ground.populate(1, workload.size_bytes, plan.timeout_ms)?;
    let sessions = sessions::open(&target.servers, workload.connections, OPENING, plan.timeout_ms)?;
    let mut rounds = Rounds {
        swarm: sessions.swarm,
        writer: RawClient::connect(&target.servers[0], plan.timeout_ms)?,
        path: ground.node(0),
        each: latencies(),
        last: latencies(),
    };
    let measured = rounds.run(plan, target);
    if measured.is_ok() || interruption::is_asked_for() {
        rounds.swarm.close_sessions()?;
        rounds.writer.close_session()?;
    }
    Ok(Outcome {
        ops: workload.rounds * workload.connections as u64,
        latencies: vec![
            Latencies { title: "last", prefix: "last_", of: rounds.last },
            Latencies { title: "each", prefix: "each_", of: rounds.each },
        ],
        used: measured?,
        ..Outcome::default()
    })
}

/// What the rounds work with, and what they have shown.
struct Rounds {
    swarm: Swarm,
    writer: RawClient,
    path: String,
    each: Histogram<u64>,
    last: Histogram<u64>,
}

impl Rounds {
    /// Those before the measured time, and those that count.
    fn run(&mut self, plan: &Plan, target: &Target) -> Result<Used> {
        self.swarm.spin_for(plan.spin);
        let count_from = Instant::now() + plan.warmup;
        while Instant::now() < count_from {
            self.round(0)?;
        }
        (self.each, self.last) = (latencies(), latencies());
        let before = Reading::take(&target.pids)?;
        for number in 1..=plan.workload.rounds {
            self.round(number)?;
        }
        before.until_now(&target.pids)
    }

    /// Everybody watches, the writer changes, everybody is told.
    fn round(&mut self, number: u64) -> io::Result<()> {
        let watch = framed(&get_data(&self.path, true));
        for index in 0..self.swarm.conns.len() {
            self.swarm.send(index, &watch)?;
        }
        wait_for_each(&mut self.swarm, Xid(0), |_| {})?;
        let changed = Instant::now();
        let xid = self.writer.send(&set_data(&self.path, number.to_string().as_bytes()))?;
        let mut slowest = Duration::ZERO;
        wait_for_each(&mut self.swarm, Xid::NOTIFICATION, |arrived| {
            let taken = arrived.saturating_duration_since(changed);
            slowest = slowest.max(taken);
            self.each.saturating_record(nanoseconds(taken));
        })?;
        self.last.saturating_record(nanoseconds(slowest));
        let reply = self.writer.receive()?.ok()?;
        assert_eq!(reply.header.xid, xid, "the writer watches nothing");
        Ok(())
    }
}

/// Waits until one frame of this xid has come on every connection.
fn wait_for_each(swarm: &mut Swarm, xid: Xid, mut note: impl FnMut(Instant)) -> io::Result<()> {
    let mut missing = swarm.conns.len();
    let deadline = Instant::now() + ROUND_MAX;
    while missing > 0 {
        swarm.turn(Duration::from_millis(50), |_, happening, at| {
            let body = match happening {
                Happening::Frame(body) => body,
                Happening::Writable => return Ok(Next::Wait),
                Happening::Lost(error) => return Err(error),
            };
            let header = ReplyHeader::read(&mut Reader::new(body)).map_err(io::Error::other)?;
            if header.xid == xid {
                missing -= 1;
                note(at);
            } else if header.xid != Xid::PING {
                return Err(io::Error::other(format!("an unexpected frame: {header:?}")));
            }
            Ok(Next::Wait)
        })?;
        interruption::check()?;
        if Instant::now() > deadline {
            return Err(io::Error::other(format!("{missing} sessions were not notified")));
        }
    }
    Ok(())
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
