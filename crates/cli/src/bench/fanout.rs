//! Fan-out: many sessions watch one znode; how long until the last of them knows of a change?

use std::io;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use ostler_wire::ids::Xid;
use ostler_wire::jute::Reader;
use ostler_wire::reply::ReplyHeader;

use super::Options;
use super::conn::Conn;
use super::ground::Ground;
use super::swarm::{Happening, Next, Swarm};
use super::tally::latencies;
use super::template::framed;
use crate::raw_client::{RawClient, get_data, set_data};

/// How long a round may take.
const ROUND_MAX: Duration = Duration::from_secs(60);

/// What the rounds showed.
pub(crate) struct Fanout {
    /// From sending the change to each notification.
    pub(crate) each: Histogram<u64>,
    /// From sending the change to the last notification of its round.
    pub(crate) last: Histogram<u64>,
    pub(crate) rounds: u64,
}

/// Opens the sessions that will watch.
pub(crate) fn connect(options: &Options) -> io::Result<Swarm> {
    let mut swarm = Swarm::new()?;
    for index in 0..options.connections {
        let server = &options.server[index % options.server.len()];
        swarm.add(Conn::from_raw(RawClient::connect(server, options.timeout_ms)?)?)?;
    }
    Ok(swarm)
}

/// Runs the rounds on znode 0 of `ground`.
pub(crate) fn run(options: &Options, ground: &Ground, mut swarm: Swarm) -> io::Result<Fanout> {
    let path = ground.node(0);
    let watch = framed(&get_data(&path, true));
    let mut writer = RawClient::connect(&options.server[0], options.timeout_ms)?;
    let mut result = Fanout { each: latencies(), last: latencies(), rounds: 0 };
    for round in 0..options.rounds {
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
            result.each.saturating_record(nanoseconds(taken));
        })?;
        result.last.saturating_record(nanoseconds(slowest));
        result.rounds += 1;
        let reply = writer.receive()?.ok()?;
        assert_eq!(reply.header.xid, xid, "the writer watches nothing");
    }
    writer.close_session()?;
    Ok(result)
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
