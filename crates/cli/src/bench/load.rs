//! Steady load: some connections, each with a fixed number of requests under way.
//!
//! One thread drives any number of connections. The loop is: wait, read replies, put a new request
//! in the place of each, send. Everything it needs per operation is there before it starts.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use mio::{Events, Poll, Token};
use ostler_wire::error::ErrorCode;
use ostler_wire::ids::Xid;
use ostler_wire::jute::Reader;
use ostler_wire::reply::ReplyHeader;

use super::conn::Conn;
use super::random::Random;
use super::template::Template;

/// How long replies may take that are still missing when the load ends.
const DRAIN_MAX: Duration = Duration::from_secs(30);

/// How often idle sessions are looked at.
const PING_SWEEP: Duration = Duration::from_secs(1);

/// Longest wait of the loop, so that it sees the end of its time.
const WAIT_MAX: Duration = Duration::from_millis(50);

/// Latencies are counted in nanoseconds up to this.
const LATENCY_MAX_NS: u64 = 300_000_000_000;

/// What an operation is counted as.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Read,
    Write,
}

/// Where requests come from.
pub(crate) enum Source {
    /// Reads and overwrites of znodes `0..keys`, drawn evenly.
    Mixed {
        read: Template,
        write: Template,
        /// Share of reads, 0.0 to 1.0.
        read_ratio: f64,
        keys: u64,
        random: Random,
    },
    /// Creates of znodes `next`, `next + step` … below `end`.
    Create { template: Template, next: u64, step: u64, end: u64 },
}

impl Source {
    /// Appends the next request; `None` when there is none left.
    fn put(&mut self, xid: i32, out: &mut Vec<u8>) -> Option<Kind> {
        match self {
            Self::Mixed { read, write, read_ratio, keys, random } => {
                let kind = if random.chance(*read_ratio) { Kind::Read } else { Kind::Write };
                let template = if kind == Kind::Read { read } else { write };
                template.put(xid, random.below(*keys), out);
                Some(kind)
            }
            Self::Create { template, next, step, end } => {
                if *next >= *end {
                    return None;
                }
                template.put(xid, *next, out);
                *next += *step;
                Some(Kind::Write)
            }
        }
    }
}

/// When a load starts, when its numbers begin to count and when it stops.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    pub(crate) start: Instant,
    pub(crate) count_from: Instant,
    /// `None`: until the source runs dry.
    pub(crate) until: Option<Instant>,
    /// Requests under way on each connection.
    pub(crate) depth: usize,
    /// Requests per second of this thread; `None` is as fast as replies come.
    pub(crate) rate: Option<f64>,
}

/// What a load did.
pub(crate) struct Tally {
    pub(crate) reads: Histogram<u64>,
    pub(crate) writes: Histogram<u64>,
    pub(crate) errors: u64,
    /// The first error, in words.
    pub(crate) first_error: Option<String>,
    pub(crate) finished: Instant,
}

/// An empty histogram of latencies in nanoseconds.
pub(crate) fn latencies() -> Histogram<u64> {
    Histogram::new_with_bounds(1_000, LATENCY_MAX_NS, 3).expect("the bounds are in order")
}

struct Pending {
    xid: Xid,
    kind: Kind,
    sent: Instant,
}

struct Lane {
    conn: Conn,
    /// In the order of sending, which is the order of the replies.
    pending: VecDeque<Pending>,
    xid: i32,
    open: bool,
}

/// One thread's load.
pub(crate) struct Load {
    poll: Poll,
    lanes: Vec<Lane>,
    source: Source,
    schedule: Schedule,
    tally: Tally,
    dry: bool,
    /// With a rate: when the next request is due, and the last time that requests were issued.
    due: Instant,
    issued: Instant,
    lane_next: usize,
}

impl Load {
    pub(crate) fn new(conns: Vec<Conn>, source: Source, schedule: Schedule) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut lanes = Vec::with_capacity(conns.len());
        for (index, mut conn) in conns.into_iter().enumerate() {
            conn.register(poll.registry(), Token(index))?;
            let pending = VecDeque::with_capacity(schedule.depth);
            lanes.push(Lane { conn, pending, xid: 0, open: true });
        }
        let tally = Tally {
            reads: latencies(),
            writes: latencies(),
            errors: 0,
            first_error: None,
            finished: schedule.start,
        };
        let due = schedule.start;
        Ok(Self {
            poll,
            lanes,
            source,
            schedule,
            tally,
            dry: false,
            due,
            issued: due,
            lane_next: 0,
        })
    }

    /// Runs the load to its end.
    pub(crate) fn run(mut self) -> io::Result<Tally> {
        let mut events = Events::with_capacity(1024);
        let mut sweep = self.schedule.start + PING_SWEEP;
        self.issue_everywhere(Instant::now());
        loop {
            let wait = match self.schedule.rate {
                None => WAIT_MAX,
                Some(_) => self.due.saturating_duration_since(Instant::now()).min(WAIT_MAX),
            };
            match self.poll.poll(&mut events, Some(wait)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => result?,
            }
            let mut now = Instant::now();
            for event in &events {
                self.serve(event.token().0, now);
                now = Instant::now();
            }
            if self.schedule.rate.is_some() {
                self.issue_by_rate(now);
            }
            if now >= sweep {
                sweep = now + PING_SWEEP;
                self.ping_idle(now);
            }
            if self.is_over(now) {
                self.tally.finished = now;
                return Ok(self.tally);
            }
        }
    }

    /// Takes the replies of one connection and puts new requests in their places.
    fn serve(&mut self, index: usize, now: Instant) {
        loop {
            let lane = &mut self.lanes[index];
            if !lane.open {
                return;
            }
            let more = match lane.conn.read_some() {
                Ok(more) => more,
                Err(error) => return self.lose(index, &error),
            };
            let arrived = Instant::now();
            if let Err(error) = take_replies(lane, &self.schedule, &mut self.tally, arrived) {
                return self.lose(index, &error);
            }
            if self.schedule.rate.is_none() {
                self.refill(index, now);
            }
            if let Err(error) = self.lanes[index].conn.flush(now) {
                return self.lose(index, &error);
            }
            if !more {
                return;
            }
        }
    }

    fn issuing(&self, now: Instant) -> bool {
        !self.dry && self.schedule.until.is_none_or(|until| now < until)
    }

    fn refill(&mut self, index: usize, now: Instant) {
        if !self.issuing(now) {
            return;
        }
        let lane = &mut self.lanes[index];
        let sent = Instant::now();
        while lane.pending.len() < self.schedule.depth {
            if !put_request(lane, &mut self.source, sent) {
                self.dry = true;
                return;
            }
        }
    }

    fn issue_everywhere(&mut self, now: Instant) {
        if self.schedule.rate.is_some() {
            return;
        }
        for index in 0..self.lanes.len() {
            self.refill(index, now);
            if let Err(error) = self.lanes[index].conn.flush(now) {
                self.lose(index, &error);
            }
        }
    }

    /// Issues what is due. A request that found no free place counts from when it was due, so that
    /// a server that stalls does not hide the requests that it kept away.
    fn issue_by_rate(&mut self, now: Instant) {
        let Some(rate) = self.schedule.rate else { return };
        let interval = Duration::from_secs_f64(1.0 / rate);
        while self.due <= now && self.issuing(now) {
            let Some(index) = self.free_lane() else { break };
            let sent = if self.due <= self.issued { self.due } else { now };
            let lane = &mut self.lanes[index];
            self.dry = !put_request(lane, &mut self.source, sent);
            self.due += interval;
        }
        self.issued = now;
        for index in 0..self.lanes.len() {
            if self.lanes[index].open
                && let Err(error) = self.lanes[index].conn.flush(now)
            {
                self.lose(index, &error);
            }
        }
    }

    fn free_lane(&mut self) -> Option<usize> {
        let count = self.lanes.len();
        let index = (0..count).map(|step| (self.lane_next + step) % count).find(|index| {
            self.lanes[*index].open && self.lanes[*index].pending.len() < self.schedule.depth
        })?;
        self.lane_next = (index + 1) % count;
        Some(index)
    }

    fn ping_idle(&mut self, now: Instant) {
        for index in 0..self.lanes.len() {
            let lane = &mut self.lanes[index];
            if lane.open
                && lane.pending.is_empty()
                && let Err(error) = lane.conn.ping_if_idle(now)
            {
                self.lose(index, &error);
            }
        }
    }

    fn lose(&mut self, index: usize, error: &io::Error) {
        let lane = &mut self.lanes[index];
        lane.open = false;
        self.tally.errors += lane.pending.len().max(1) as u64;
        lane.pending.clear();
        self.tally.first_error.get_or_insert_with(|| format!("a connection was lost: {error}"));
    }

    fn is_over(&self, now: Instant) -> bool {
        if self.lanes.iter().all(|lane| !lane.open) {
            return true;
        }
        if self.issuing(now) {
            return false;
        }
        let late = self.schedule.until.is_some_and(|until| now > until + DRAIN_MAX);
        late || self.lanes.iter().all(|lane| lane.pending.is_empty())
    }
}

/// Queues one request; false when there is none left.
fn put_request(lane: &mut Lane, source: &mut Source, sent: Instant) -> bool {
    let xid = lane.xid % i32::MAX + 1;
    let Some(kind) = source.put(xid, &mut lane.conn.output) else { return false };
    lane.xid = xid;
    lane.pending.push_back(Pending { xid: Xid(xid), kind, sent });
    true
}

fn take_replies(
    lane: &mut Lane,
    schedule: &Schedule,
    tally: &mut Tally,
    arrived: Instant,
) -> io::Result<()> {
    let counts = arrived >= schedule.count_from && schedule.until.is_none_or(|end| arrived < end);
    while let Some(body) = lane.conn.pop_frame()? {
        let header = ReplyHeader::read(&mut Reader::new(body)).map_err(io::Error::other)?;
        if header.xid == Xid::PING {
            continue;
        }
        let pending = lane.pending.pop_front().filter(|pending| pending.xid == header.xid);
        let Some(pending) = pending else {
            return Err(io::Error::other(format!("a reply out of order: {header:?}")));
        };
        if header.err != ErrorCode::OK {
            tally.errors += 1;
            tally.first_error.get_or_insert_with(|| format!("the server answers {:?}", header.err));
        } else if counts {
            let latency = arrived.saturating_duration_since(pending.sent).as_nanos();
            let latency_ns = u64::try_from(latency).unwrap_or(u64::MAX);
            match pending.kind {
                Kind::Read => tally.reads.saturating_record(latency_ns),
                Kind::Write => tally.writes.saturating_record(latency_ns),
            }
        }
    }
    Ok(())
}
