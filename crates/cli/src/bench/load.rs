//! Steady load: some connections, each with a fixed number of requests under way.
//!
//! One thread drives any number of connections. The loop is: wait, read a connection once, put a
//! new request in the place of each reply, send them with one write; a connection that may hold
//! more replies has its next turn after all others. So no connection starves another, and what
//! arrives together is counted together: there is one look at the clock for each read and each
//! write, none for each request.
//!
//! In a closed loop a request counts from when it is sent. In an open one requests are issued at
//! a rate, and each counts from when it was due, however late it finds a free place.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};
use ostler_wire::error::ErrorCode;
use ostler_wire::frame;
use ostler_wire::ids::Xid;
use ostler_wire::jute::Reader;
use ostler_wire::reply::ReplyHeader;
use ostler_wire::request::Request;

use super::conn::{Conn, Intake};
use super::interruption;
use super::pacer::Pacer;
use super::source::{Kind, Source};
use super::tally::Tally;
use super::waiting;

/// How long replies may take that are still missing when the load ends.
const DRAIN_MAX: Duration = Duration::from_secs(30);

/// How long the server may take to close the sessions.
const CLOSE_MAX: Duration = Duration::from_secs(10);

/// How often idle sessions are looked at.
const PING_SWEEP: Duration = Duration::from_secs(1);

/// Longest wait of the loop, so that it sees the end of its time.
const WAIT_MAX: Duration = Duration::from_millis(50);

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
    /// For how long it looks for replies before it sleeps.
    pub(crate) spin: Duration,
}

/// What tells that requests are due.
const PACE: Token = Token(usize::MAX - 1);

/// Requests of one connection that follow each other and differ in nothing that is counted.
struct Run {
    /// In an open loop: when they were due.
    sent: Instant,
    kind: Kind,
    count: usize,
}

struct Lane {
    conn: Conn,
    /// In the order of sending, which is the order of the replies.
    runs: VecDeque<Run>,
    under_way: usize,
    /// Of the last request that was sent and of the last one that was answered.
    xid: i32,
    xid_answered: i32,
    /// The znode that it has created and not deleted, if any.
    made: Option<u64>,
    open: bool,
    /// Invariant: this lane's index is in `Load::turns`.
    has_turn: bool,
}

/// One thread's load.
pub(crate) struct Load {
    poll: Poll,
    lanes: Vec<Lane>,
    source: Source,
    schedule: Schedule,
    tally: Tally,
    intake: Intake,
    /// Requests that are about to be sent; empty between two connections.
    output: Vec<u8>,
    /// Lanes that may hold more replies, in the order of their turns.
    turns: VecDeque<usize>,
    lanes_open: usize,
    under_way: usize,
    dry: bool,
    /// Of an open loop.
    pacer: Option<Pacer>,
    /// Where the search for a free place goes on.
    lane_next: usize,
}

impl Load {
    pub(crate) fn new(conns: Vec<Conn>, source: Source, schedule: Schedule) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut lanes = Vec::with_capacity(conns.len());
        for (index, mut conn) in conns.into_iter().enumerate() {
            conn.register(poll.registry(), Token(index))?;
            lanes.push(Lane {
                conn,
                runs: VecDeque::new(),
                under_way: 0,
                xid: 0,
                xid_answered: 0,
                made: None,
                open: true,
                has_turn: false,
            });
        }
        let pacer = match schedule.rate {
            Some(rate) => Some(Pacer::new(schedule.start, rate, poll.registry(), PACE)?),
            None => None,
        };
        Ok(Self {
            poll,
            lanes_open: lanes.len(),
            lanes,
            source,
            tally: Tally::new(schedule.start),
            intake: Intake::new(),
            output: Vec::new(),
            turns: VecDeque::new(),
            under_way: 0,
            dry: false,
            pacer,
            lane_next: 0,
            schedule,
        })
    }

    /// Runs the load to its end.
    pub(crate) fn run(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        let mut sweep = self.schedule.start + PING_SWEEP;
        if self.pacer.is_none() {
            (0..self.lanes.len()).for_each(|index| self.refill(index));
        }
        loop {
            let wait = if self.turns.is_empty() { WAIT_MAX } else { Duration::ZERO };
            self.wait(&mut events, wait)?;
            for event in &events {
                match &self.pacer {
                    Some(pacer) if event.token() == PACE => pacer.take_tick()?,
                    _ => self.serve(event.token().0),
                }
            }
            for _ in 0..self.turns.len() {
                let index = self.turns.pop_front().expect("it is not longer than it was");
                self.lanes[index].has_turn = false;
                self.serve(index);
            }
            let now = Instant::now();
            // What is under way is waited for.
            self.dry |= interruption::is_asked_for();
            self.issue_due(now);
            if now >= sweep {
                sweep = now + PING_SWEEP;
                self.ping_idle(now);
            }
            if self.is_over(now) {
                self.tally.finished = now;
                self.tally.not_issued = self.not_issued();
                return Ok(());
            }
        }
    }

    /// What was counted.
    pub(crate) fn into_tally(self) -> Tally {
        self.tally
    }

    /// Closes the sessions, so that the server need not expire them later.
    pub(crate) fn close_sessions(&mut self) -> io::Result<()> {
        let mut close = Vec::new();
        frame::put(&mut close, |out| Request::CloseSession.encode(Xid(1), out));
        let now = Instant::now();
        for lane in &mut self.lanes {
            lane.open = lane.open && lane.conn.send(&close, now).is_ok();
        }
        let mut missing = self.lanes.iter().filter(|lane| lane.open).count();
        let mut events = Events::with_capacity(1024);
        while missing > 0 && now.elapsed() < CLOSE_MAX {
            self.wait(&mut events, WAIT_MAX)?;
            for event in events.iter().filter(|event| event.token() != PACE) {
                let Lane { conn, open, .. } = &mut self.lanes[event.token().0];
                let mut answered = false;
                let result = conn.flush(now).and_then(|()| {
                    conn.read(&mut self.intake, |_, _| {
                        answered = true;
                        Ok(())
                    })
                });
                if *open && (answered || result.is_err()) {
                    *open = false;
                    missing -= 1;
                }
            }
        }
        Ok(())
    }

    fn wait(&mut self, events: &mut Events, wait: Duration) -> io::Result<()> {
        waiting::wait(&mut self.poll, events, wait, self.schedule.spin)
    }

    /// Reads a connection once and puts new requests in the places of its replies.
    fn serve(&mut self, index: usize) {
        let lane = &mut self.lanes[index];
        if !lane.open {
            return;
        }
        let before = lane.under_way;
        let Lane { conn, runs, under_way, xid_answered, .. } = lane;
        let (schedule, tally) = (&self.schedule, &mut self.tally);
        let read = conn.read(&mut self.intake, |body, arrived| {
            let header = ReplyHeader::read(&mut Reader::new(body)).map_err(io::Error::other)?;
            if header.xid == Xid::PING {
                return Ok(());
            }
            let xid = *xid_answered % i32::MAX + 1;
            let Some(run) = runs.front_mut().filter(|_| header.xid == Xid(xid)) else {
                return Err(io::Error::other(format!("a reply out of order: {header:?}")));
            };
            count_reply(header.err, run, arrived, schedule, tally);
            *xid_answered = xid;
            *under_way -= 1;
            run.count -= 1;
            if run.count == 0 {
                runs.pop_front();
            }
            Ok(())
        });
        self.under_way -= before - lane.under_way;
        match read {
            Ok(true) if !lane.has_turn => {
                lane.has_turn = true;
                self.turns.push_back(index);
            }
            Ok(_) => {}
            Err(error) => return self.lose(index, &error),
        }
        if let Err(error) = lane.conn.flush(Instant::now()) {
            return self.lose(index, &error);
        }
        if self.pacer.is_none() {
            self.refill(index);
        }
    }

    fn issuing(&self, now: Instant) -> bool {
        !self.dry && self.schedule.until.is_none_or(|until| now < until)
    }

    /// Sends as many requests as there are free places.
    fn refill(&mut self, index: usize) {
        let free = self.schedule.depth - self.lanes[index].under_way;
        if free == 0 {
            return;
        }
        let now = Instant::now();
        if self.issuing(now) {
            (0..free).for_each(|_| self.put_request(index, now));
            self.send_output(index, now);
        }
    }

    /// Appends a request to the output, if there is one left; the time is what it counts from.
    fn put_request(&mut self, index: usize, sent: Instant) {
        let lane = &mut self.lanes[index];
        let xid = lane.xid % i32::MAX + 1;
        let Some(kind) = self.source.put(xid, &mut lane.made, &mut self.output) else {
            self.dry = true;
            return;
        };
        lane.xid = xid;
        lane.under_way += 1;
        self.under_way += 1;
        match lane.runs.back_mut() {
            Some(run) if run.sent == sent && run.kind == kind => run.count += 1,
            _ => lane.runs.push_back(Run { sent, kind, count: 1 }),
        }
    }

    fn send_output(&mut self, index: usize, now: Instant) {
        let sent = self.lanes[index].conn.send(&self.output, now);
        self.output.clear();
        if let Err(error) = sent {
            self.lose(index, &error);
        }
    }

    /// Issues what is due, as far as there are free places: on as many connections as there are,
    /// and with one write for those that share one.
    fn issue_due(&mut self, now: Instant) {
        let Some(mut pacer) = self.pacer.take() else { return };
        let lanes = self.lanes_open.max(1) as u64;
        let share = pacer.missing_at(now).div_ceil(lanes).max(1);
        while pacer.due() <= now
            && self.issuing(now)
            && let Some(index) = self.free_lane()
        {
            for _ in 0..share {
                if pacer.due() > now || self.lanes[index].under_way == self.schedule.depth {
                    break;
                }
                self.put_request(index, pacer.due());
                pacer.advance();
            }
            self.send_output(index, now);
        }
        self.pacer = Some(pacer);
    }

    /// How many requests fell due and were never sent, for want of a free place.
    fn not_issued(&self) -> u64 {
        let (Some(pacer), Some(until)) = (&self.pacer, self.schedule.until) else { return 0 };
        pacer.missing_at(until)
    }

    fn free_lane(&mut self) -> Option<usize> {
        let count = self.lanes.len();
        if self.under_way == self.lanes_open * self.schedule.depth {
            return None;
        }
        let index = (0..count).map(|step| (self.lane_next + step) % count).find(|index| {
            self.lanes[*index].open && self.lanes[*index].under_way < self.schedule.depth
        })?;
        self.lane_next = (index + 1) % count;
        Some(index)
    }

    fn ping_idle(&mut self, now: Instant) {
        for index in 0..self.lanes.len() {
            let lane = &mut self.lanes[index];
            if lane.open
                && lane.under_way == 0
                && let Err(error) = lane.conn.ping_if_idle(now)
            {
                self.lose(index, &error);
            }
        }
    }

    fn lose(&mut self, index: usize, error: &io::Error) {
        let lane = &mut self.lanes[index];
        self.tally.fail(lane.under_way.max(1), || format!("a connection was lost: {error}"));
        lane.open = false;
        lane.runs.clear();
        self.lanes_open -= 1;
        self.under_way -= lane.under_way;
        lane.under_way = 0;
    }

    fn is_over(&self, now: Instant) -> bool {
        if self.lanes_open == 0 {
            return true;
        }
        if self.issuing(now) {
            return false;
        }
        let late = self.schedule.until.is_some_and(|until| now > until + DRAIN_MAX);
        late || self.under_way == 0
    }
}

/// Counts a reply to a request of `run`, if it arrived in the measured time.
fn count_reply(
    err: ErrorCode,
    run: &Run,
    arrived: Instant,
    schedule: &Schedule,
    tally: &mut Tally,
) {
    if err != ErrorCode::OK {
        tally.fail(1, || format!("the server answers {err:?}"));
    } else if arrived >= schedule.count_from && schedule.until.is_none_or(|end| arrived < end) {
        let latency = arrived.saturating_duration_since(run.sent).as_nanos();
        tally.note(run.kind, u64::try_from(latency).unwrap_or(u64::MAX));
    }
}
