//! Fan-out: many sessions watch one znode; how long until the last of them knows of a change?

use std::io;
use std::time::{Duration, Instant};

use anyhow::Result;
use ostler_wire::ids::Xid;
use ostler_wire::jute::Reader;
use ostler_wire::reply::ReplyHeader;

use super::ground::Ground;
use super::options::{Plan, Target};
use super::outcome::{Latencies, Outcome, Reading};
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
    let mut swarm = sessions.swarm;
    let mut writer = RawClient::connect(&target.servers[0], plan.timeout_ms)?;
    let path = ground.node(0);
    let before = Reading::take(&target.pids)?;
    let (mut each, mut last) = (latencies(), latencies());
    for round in 0..workload.rounds {
        let watch = framed(&get_data(&path, true));
        for index in 0..swarm.conns.len() {
            swarm.send(index, &watch)?;
        }
        wait_for_each(&mut swarm, Xid(0), |_| {})?;
        let changed = Instant::now();
        let xid = writer.send(&set_data(&path, round.to_string().as_bytes()))?;
        let mut slowest = Duration::ZERO;
        wait_for_each(&mut swarm, Xid::NOTIFICATION, |arrived| {
            let taken = arrived.saturating_duration_since(changed);
            slowest = slowest.max(taken);
            each.saturating_record(nanoseconds(taken));
        })?;
        last.saturating_record(nanoseconds(slowest));
        let reply = writer.receive()?.ok()?;
        assert_eq!(reply.header.xid, xid, "the writer watches nothing");
    }
    let used = before.until_now(&target.pids)?;
    writer.close_session()?;
    swarm.close_sessions()?;
    Ok(Outcome {
        ops: workload.rounds * workload.connections as u64,
        latencies: vec![
            Latencies { title: "last", prefix: "last_", of: last },
            Latencies { title: "each", prefix: "each_", of: each },
        ],
        used,
        ..Outcome::default()
    })
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
        if Instant::now() > deadline {
            return Err(io::Error::other(format!("{missing} sessions were not notified")));
        }
    }
    Ok(())
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
