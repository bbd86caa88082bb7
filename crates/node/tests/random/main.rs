//! Random histories: clients that pipeline, hang up, come back and steal their own sessions; queues
//! that run at any speed; bytes cut anywhere; time that jumps; service that is interrupted; a
//! process that dies.
//!
//! Every decision comes from one seed. When the history is over, the log is replayed on a naive
//! model, and whatever a client was told must be what the model says at the zxid that it was told
//! (see [`check`]). A seed that fails says so; `OSTLER_SEED=n` runs that one alone and
//! `OSTLER_SEEDS=n` so many.

#[path = "../common/mod.rs"]
mod common;

mod check;
// The simulator's: the same for one server and for many.
#[path = "../../../sim/src/hearing.rs"]
mod hearing;
#[path = "../../../sim/src/model.rs"]
mod model;
#[path = "../../../sim/src/workload.rs"]
mod workload;

use ostler_node::clock::{Span, Time};
use ostler_node::limits::Settings;
use ostler_node::messages::{Notice, Service};
use ostler_node::rng::Rng;
use ostler_wire::connect::ConnectRequest;
use ostler_wire::ids::{SessionId, Xid, Zxid};
use ostler_wire::request::Request;

use common::answer::{self, Frame};
use common::client::{Client, new_session};
use common::{LOCALHOST, LinkId, World};

#[test]
fn histories_agree_with_the_model() {
    let number = |name| std::env::var(name).ok().map(|text| text.parse().expect("a number"));
    let seeds = match number("OSTLER_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("OSTLER_SEEDS").unwrap_or(400),
    };
    for seed in seeds {
        let failing = Failing(seed);
        let history = History::run(seed);
        check::check(&history);
        if seed % 16 == 0 {
            let again = History::run(seed);
            assert_eq!(history.fingerprint(), again.fingerprint(), "a seed means one history");
        }
        std::mem::forget(failing);
    }
}

/// Names the seed when a check fails.
struct Failing(u64);

impl Drop for Failing {
    fn drop(&mut self) {
        eprintln!(
            "seed {0} failed: OSTLER_SEED={0} cargo test -p ostler-node --test random",
            self.0
        );
    }
}

/// Events of one history; about a hundred and fifty transactions come of them.
const STEPS: usize = 2500;

/// A zxid that no history reaches.
const FUTURE: Zxid = Zxid(100_000);

/// A request and when it was sent.
pub(crate) struct Asked {
    pub(crate) xid: Xid,
    pub(crate) request: Request<'static>,
    pub(crate) sent_at: Time,
}

/// A connection with all that was said on it.
pub(crate) struct Talk {
    client: Client,
    pub(crate) timeout_ms: i32,
    pub(crate) asked: Vec<Asked>,
    /// What was heard, and when.
    pub(crate) frames: Vec<(Time, Frame)>,
    /// Whether it may not get what it asked for: a wrong password, or a zxid from the future.
    pub(crate) must_fail: bool,
    /// The session that it asked for.
    pub(crate) wanted: SessionId,
    /// Whether it lasted until everything was answered.
    pub(crate) lasted: bool,
}

/// Somebody who has one session after the other, and one or more connections.
#[derive(Default)]
struct Actor {
    talk: Option<usize>,
    last_zxid: Zxid,
}

pub(crate) struct History {
    pub(crate) world: World,
    rng: Rng,
    actors: Vec<Actor>,
    pub(crate) talks: Vec<Talk>,
    next_xid: i32,
    pub(crate) restarts: usize,
    /// The last transaction at the time when everything was answered.
    pub(crate) quiet_zxid: Zxid,
}

impl History {
    fn run(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let settings = Settings {
            tick_time_ms: 500,
            session_timeout_min_ms: 1000,
            session_timeout_max_ms: 10_000,
            // Now and then so few that pausing is the rule.
            outstanding_max: if rng.below(3) == 0 { 3 } else { 1000 },
            snap_count: 20,
            ..Settings::default()
        };
        let shards = 1 + usize::try_from(rng.below(3)).expect("below 3");
        let mut history = Self {
            world: World::new(shards, settings, seed),
            rng,
            actors: (0..4).map(|_| Actor::default()).collect(),
            talks: Vec::new(),
            next_xid: 1,
            restarts: 0,
            quiet_zxid: Zxid::ZERO,
        };
        history.world.whole_turns = history.rng.below(2) == 0;
        // Some disks are slow, some shards lag: weights are drawn once for each history.
        let mut weights: Vec<u64> = (0..7).map(|_| 2 + history.below(12)).collect();
        weights[6] = 1;
        for _ in 0..STEPS {
            history.step(&weights);
        }
        history.end();
        history
    }

    /// One event somewhere.
    fn step(&mut self, weights: &[u64]) {
        let mut draw = self.below(weights.iter().sum::<u64>() * 100);
        match draw {
            0..3 => return self.restart(),
            3..12 => return self.change_service(),
            _ => {}
        }
        draw /= 100;
        let mut event = 0;
        while draw >= weights[event] {
            draw -= weights[event];
            event += 1;
        }
        match event {
            0 => self.act(),
            1 => {
                let link = self.any_link();
                let count = self.portion(600);
                link.map(|link| self.world.carry_in(link, count));
            }
            2 => {
                let shard = self.any_shard();
                self.world.carry_mail(shard);
            }
            3 => {
                let count = self.portion(4);
                self.world.sync_log(count);
            }
            4 => {
                let shard = self.any_shard();
                self.world.carry_commit(shard);
            }
            5 => {
                let link = self.any_link();
                let count = self.portion(2000);
                link.map(|link| self.world.carry_out(link, count));
                link.map(|link| self.below(2) == 0 && self.world.carry_hang_up(link));
                self.listen();
            }
            _ => self.pass_time(),
        }
    }

    fn act(&mut self) {
        let actor = usize::try_from(self.below(self.actors.len() as u64)).expect("few actors");
        let talk = self.actors[actor].talk.filter(|talk| !self.is_closed(*talk));
        let Some(talk) = talk else { return self.connect(actor) };
        match self.below(80) {
            0 => self.world.hang_up(self.talks[talk].client.link),
            1 => self.ask(talk, Request::CloseSession),
            2 => self.connect(actor),
            _ if self.talks[talk].client.waiting.len() > 30 => {}
            _ => {
                for _ in 0..=self.below(3) {
                    let last_zxid = self.actors[actor].last_zxid;
                    let request = workload::request(&mut self.rng, last_zxid, true);
                    self.ask(talk, request);
                }
            }
        }
    }

    /// A new connection of an actor: for its session, if it has one, or for a new one.
    fn connect(&mut self, actor: usize) {
        let timeout_ms = [1000, 2000, 3000, 9000][actor];
        let shard = self.any_shard();
        let client = Client::dial(&mut self.world, shard, LOCALHOST);
        let before = self.actors[actor].talk.map(|talk| &self.talks[talk].client);
        let session = before.map_or(SessionId::NONE, |before| before.session);
        let mut password = before.map_or([0; 16], |before| before.password);
        let mut request = ConnectRequest { session, ..new_session(timeout_ms) };
        match self.rng.below(12) {
            0 => request.session = SessionId::NONE,
            1 => password[3] ^= 1,
            2 => request.last_zxid_seen = FUTURE,
            _ => request.last_zxid_seen = self.actors[actor].last_zxid,
        }
        request.password = Some(&password);
        client.hello(&mut self.world, &request);
        let is_resume = request.session != SessionId::NONE;
        let wrong_password = before.is_some_and(|before| before.password != password);
        let talk = Talk {
            must_fail: (is_resume && wrong_password) || request.last_zxid_seen == FUTURE,
            wanted: request.session,
            client,
            timeout_ms,
            asked: Vec::new(),
            frames: Vec::new(),
            lasted: false,
        };
        self.talks.push(talk);
        self.actors[actor].talk = Some(self.talks.len() - 1);
    }

    fn ask(&mut self, talk: usize, request: Request<'static>) {
        let xid = Xid(self.next_xid);
        self.next_xid += 1;
        let mut body = Vec::new();
        request.write_body(&mut body);
        let talk = &mut self.talks[talk];
        talk.client.send_numbered(&mut self.world, xid, request.op().number(), &body);
        talk.asked.push(Asked { xid, request, sent_at: self.world.clock.now });
    }

    /// Clients read what has come.
    fn listen(&mut self) {
        for talk in &mut self.talks {
            let now = self.world.clock.now;
            let frames = talk.client.receive(&self.world).into_iter();
            talk.frames.extend(frames.map(|frame| (now, frame)));
        }
        for actor in &mut self.actors {
            let seen = actor.talk.map_or(Zxid::ZERO, |talk| self.talks[talk].client.last_zxid);
            actor.last_zxid = actor.last_zxid.max(seen);
        }
    }

    fn pass_time(&mut self) {
        let span_ms = match self.below(30) {
            0 => 2500,
            1..5 => 300,
            _ => self.below(40),
        };
        let until = self.world.clock.now + Span::from_millis(span_ms);
        while self.world.pass_time(until) {}
    }

    fn restart(&mut self) {
        let kept = self.portion(10) - 1;
        self.world.restart(kept);
        self.restarts += 1;
        self.listen();
    }

    /// As in an ensemble, the leader is lost or found; only that here transactions go on meanwhile.
    fn change_service(&mut self) {
        let service = [Service::Held, Service::Up, Service::Up, Service::Down];
        let service = service[self.portion(service.len() as u64) - 1];
        self.serve(service);
    }

    fn serve(&mut self, service: Service) {
        let view = self.world.replica.report(self.world.clock).tree;
        self.world.tell(view, vec![Notice::Service(service)]);
    }

    /// Everything is answered that can be; then everybody leaves and all sessions end.
    fn end(&mut self) {
        self.serve(Service::Up);
        self.world.settle();
        self.listen();
        assert_eq!(self.world.stalled(), [], "nobody reads them");
        self.quiet_zxid = self.world.durable.last().map_or(Zxid::ZERO, |record| record.zxid);
        for talk in 0..self.talks.len() {
            self.talks[talk].lasted = !self.is_closed(talk);
        }
        for talk in self.talks.iter().filter(|talk| talk.lasted) {
            assert!(talk.client.waiting.is_empty(), "{:?}", talk.client.waiting);
            self.world.hang_up(talk.client.link);
        }
        self.world.advance(30_000, &common::Held::default());
        let report = self.world.replica.report(self.world.clock);
        assert_eq!(report.tree.session_count(), 0, "sessions end");
        assert_eq!(report.tree.ephemeral_count(), 0, "and their znodes with them");
        assert_eq!(report.in_flight, 0);
        assert!(self.world.shards.iter().all(|shard| shard.report(false).outstanding == 0));
        assert!(self.world.shards.iter().all(|shard| shard.report(true).watch_counts == (0, 0)));
    }

    /// What must come out the same if the seed is the same.
    fn fingerprint(&self) -> Vec<&[u8]> {
        let records = self.world.durable.iter().map(|record| &*record.body);
        records.chain(self.world.links.iter().map(|link| &*link.received)).collect()
    }

    fn is_closed(&self, talk: usize) -> bool {
        self.world.links[self.talks[talk].client.link.0].closed
    }

    fn any_shard(&mut self) -> usize {
        usize::try_from(self.below(self.world.shards.len() as u64)).expect("few shards")
    }

    fn any_link(&mut self) -> Option<LinkId> {
        let links = &self.world.links;
        let open: Vec<usize> = (0..links.len()).filter(|link| !links[*link].closed).collect();
        let at = usize::try_from(self.below(open.len() as u64)).expect("few links");
        open.get(at).copied().map(LinkId)
    }

    /// From 1 to `max`.
    fn portion(&mut self, max: u64) -> usize {
        1 + usize::try_from(self.below(max)).expect("small")
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.rng.below(bound)
    }
}
