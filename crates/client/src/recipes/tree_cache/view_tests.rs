//! The cache's machine against a small server that is changed between any two steps.

use std::collections::BTreeMap;

use super::*;

/// What the server has: path to data and zxids; answers and events in the order it sends them.
#[derive(Default)]
struct Server {
    nodes: BTreeMap<String, (Vec<u8>, Zxid, Zxid)>,
    zxid: i64,
    /// Events on the wire.
    events: VecDeque<(bool, String, Zxid)>,
    answers: VecDeque<Answer>,
}

impl Server {
    fn next_zxid(&mut self) -> Zxid {
        self.zxid += 1;
        Zxid(self.zxid)
    }

    fn set(&mut self, path: &str, data: &[u8]) {
        let zxid = self.next_zxid();
        let czxid = self.nodes.get(path).map_or(zxid, |(_, czxid, _)| *czxid);
        self.nodes.insert(path.to_owned(), (data.to_vec(), czxid, zxid));
        self.events.push_back((true, path.to_owned(), zxid));
    }

    fn delete(&mut self, path: &str) {
        let below = format!("{path}/");
        let gone = self.nodes.keys().rev().filter(|key| *key == path || key.starts_with(&below));
        for path in gone.cloned().collect::<Vec<_>>() {
            let zxid = self.next_zxid();
            self.nodes.remove(&path);
            self.events.push_back((false, path, zxid));
        }
    }

    fn read(&mut self, read: &Read) {
        let answer = match self.nodes.get(&read.path) {
            None => Answer::Missing,
            Some((data, czxid, mzxid)) => Answer::Node {
                data: data.clone(),
                stat: Stat { czxid: *czxid, mzxid: *mzxid, ..Stat::default() },
                children: if read.children { self.names(&read.path) } else { Vec::new() },
            },
        };
        self.answers.push_back(answer);
    }

    fn names(&self, path: &str) -> Vec<String> {
        let prefix = format!("{}/", path.trim_end_matches('/'));
        let names = self.nodes.keys().filter_map(|key| key.strip_prefix(&prefix));
        names.filter(|name| !name.is_empty() && !name.contains('/')).map(str::to_owned).collect()
    }
}

fn view() -> View {
    View::new(Scope { root: "/r".to_owned(), depth_max: None })
}

/// Delivers everything until nothing is left.
fn run(view: &mut View, server: &mut Server) -> Vec<CacheEvent> {
    loop {
        if let Some((set, path, zxid)) = server.events.pop_front() {
            view.event(if set { &Change::Set } else { &Change::Deleted }, &path, zxid);
        }
        while let Some(read) = view.next_read(3) {
            server.read(&read);
        }
        match server.answers.pop_front() {
            Some(answer) => view.answer(answer),
            None if server.events.is_empty() => return view.take_changes(),
            None => {}
        }
    }
}

fn tell(changes: &[CacheEvent]) -> Vec<String> {
    let text = |node: &Node| format!("{}={}", node.path, String::from_utf8_lossy(&node.data));
    let changes = changes.iter().map(|change| match change {
        CacheEvent::Created(node) => format!("+{}", text(node)),
        CacheEvent::Changed { new, .. } => format!("!{}", text(new)),
        CacheEvent::Deleted(node) => format!("-{}", text(node)),
        CacheEvent::Current => "current".to_owned(),
        CacheEvent::Stale => "stale".to_owned(),
    });
    changes.collect()
}

fn check_same(view: &View, server: &Server) {
    let cached: Vec<_> =
        view.nodes().values().map(|node| (&node.path, &node.data, node.stat.mzxid)).collect();
    let real: Vec<_> = server.nodes.iter().map(|(path, (data, _, at))| (path, data, *at)).collect();
    assert_eq!(cached, real);
}

#[test]
fn loads_follows_and_catches_up() {
    let (mut view, mut server) = (view(), Server::default());
    for path in ["/r", "/r/a", "/r/a/b", "/r/c"] {
        server.set(path, b"1");
    }
    server.events.clear();
    view.begin_walk(false);
    let told = tell(&run(&mut view, &mut server));
    assert_eq!(told, ["+/r=1", "+/r/a=1", "+/r/c=1", "+/r/a/b=1", "current"]);
    server.set("/r/a", b"2");
    server.delete("/r/c");
    server.set("/r/d", b"3");
    assert_eq!(tell(&run(&mut view, &mut server)), ["!/r/a=2", "-/r/c=1", "+/r/d=3"]);
    // While nobody is connected.
    server.delete("/r/a");
    server.set("/r/d", b"4");
    server.set("/r/e", b"5");
    server.events.clear();
    view.begin_walk(false);
    let told = tell(&run(&mut view, &mut server));
    assert_eq!(told, ["!/r/d=4", "+/r/e=5", "-/r/a/b=1", "-/r/a=2", "current"]);
    check_same(&view, &server);
}

#[test]
fn an_event_overtaken_by_a_read_changes_nothing() {
    let (mut view, mut server) = (view(), Server::default());
    server.set("/r", b"");
    view.begin_walk(false);
    // The walk's read sees what these events tell.
    assert_eq!(tell(&run(&mut view, &mut server)), ["+/r=", "current"]);
    view.event(&Change::Set, "/r", Zxid(1));
    assert_eq!(view.next_read(9), None);
    view.event(&Change::Deleted, "/r", Zxid(1));
    assert_eq!(view.next_read(9), None);
    assert_eq!(tell(&view.take_changes()), [""; 0]);
    view.event(&Change::Deleted, "/r", Zxid(2));
    assert_eq!(tell(&view.take_changes()), ["-/r="]);
}

#[test]
fn what_was_read_ahead_does_not_go_with_what_was_there_before() {
    let (mut view, mut server) = (view(), Server::default());
    for path in ["/r", "/r/a", "/r/a/b"] {
        server.set(path, b"1");
    }
    server.events.clear();
    view.begin_walk(false);
    run(&mut view, &mut server);
    // A read of b is on its way when all of this happens.
    view.event(&Change::Set, "/r/a/b", Zxid(4));
    let read = view.next_read(3).unwrap();
    server.zxid = 4;
    server.delete("/r/a");
    server.set("/r/a", b"2");
    server.set("/r/a/b", b"2");
    for (set, path, zxid) in std::mem::take(&mut server.events) {
        view.event(if set { &Change::Set } else { &Change::Deleted }, &path, zxid);
    }
    server.read(&read);
    assert_eq!(tell(&run(&mut view, &mut server)), ["!/r/a/b=2", "!/r/a=2"]);
    check_same(&view, &server);
}

#[test]
fn a_deletion_without_its_zxid_is_asked_for() {
    let (mut view, mut server) = (view(), Server::default());
    server.set("/r", b"");
    server.events.clear();
    view.begin_walk(false);
    run(&mut view, &mut server);
    server.delete("/r");
    server.events.clear();
    view.event(&Change::Deleted, "/r", Zxid::NONE);
    assert_eq!(tell(&run(&mut view, &mut server)), ["-/r="]);
}

#[test]
fn a_new_session_may_find_another_past() {
    let (mut view, mut server) = (view(), Server::default());
    server.zxid = 100;
    server.set("/r", b"old");
    server.events.clear();
    view.begin_walk(false);
    run(&mut view, &mut server);
    let mut restored = Server::default();
    restored.set("/r", b"restored");
    restored.events.clear();
    view.begin_walk(true);
    assert_eq!(tell(&run(&mut view, &mut restored)), ["!/r=restored", "current"]);
}

#[test]
fn depth_and_children() {
    let mut view = View::new(Scope { root: "/r".to_owned(), depth_max: Some(1) });
    let mut server = Server::default();
    for path in ["/r", "/r/a", "/r/a/b", "/r/a-x", "/r/b", "/rest"] {
        server.set(path, b"");
    }
    view.begin_walk(false);
    run(&mut view, &mut server);
    let names: Vec<_> = view.children("/r").iter().map(|node| node.name().to_owned()).collect();
    assert_eq!(names, ["a", "a-x", "b"]);
    assert_eq!(view.nodes().len(), 4);
    assert_eq!(view.children("/r/a").len(), 0);
}

/// Any order of changes, deliveries, broken links: the cache ends as the server's tree is, and its
/// events lead there, parents before children.
#[test]
fn converges_whatever_comes_between() {
    for seed in 1..=3000 {
        Chaos::new(seed).run();
    }
}

struct Chaos {
    seed: u64,
    random: u64,
    view: View,
    server: Server,
    /// Whether events are watched for: while the link is up.
    up: bool,
    /// What somebody who applies the events has.
    copy: BTreeMap<String, Vec<u8>>,
}

const PATHS: [&str; 7] = ["/r", "/r/a", "/r/a/b", "/r/a/b/c", "/r/a-x", "/r/d", "/r/d/e"];

impl Chaos {
    fn new(seed: u64) -> Self {
        let (view, server) = (view(), Server::default());
        let random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Self { seed, random, view, server, up: false, copy: BTreeMap::new() }
    }

    fn below(&mut self, limit: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        usize::try_from(self.random % 1_000_003).unwrap() % limit
    }

    fn run(&mut self) {
        for _ in 0..200 {
            self.step();
            self.note();
        }
        if !self.up {
            self.connect();
        }
        let changes = run(&mut self.view, &mut self.server);
        self.apply(changes);
        check_same(&self.view, &self.server);
        let data = self.server.nodes.iter().map(|(path, (data, ..))| (path.clone(), data.clone()));
        assert_eq!(self.copy, data.collect(), "seed {}", self.seed);
    }

    fn connect(&mut self) {
        self.up = true;
        self.server.events.clear();
        self.server.answers.clear();
        self.view.begin_walk(false);
    }

    fn step(&mut self) {
        match self.below(12) {
            0..=2 => {
                let path = PATHS[self.below(PATHS.len())];
                if path == "/r" || self.server.nodes.contains_key(parent(path)) {
                    let data = self.below(100).to_string();
                    self.server.set(path, data.as_bytes());
                }
            }
            3 => {
                let path = PATHS[self.below(PATHS.len())];
                self.server.delete(path);
            }
            4..=6 if self.up => {
                let window = 1 + self.below(4);
                if let Some(read) = self.view.next_read(window) {
                    // What was sent before the read's answer is there before it.
                    self.server.read(&read);
                }
            }
            7..=8 if self.up => {
                if let Some((set, path, zxid)) = self.server.events.pop_front() {
                    let change = if set { Change::Set } else { Change::Deleted };
                    self.view.event(&change, &path, zxid);
                }
            }
            9..=10 if self.up => {
                if let Some(answer) = self.server.answers.pop_front() {
                    self.view.answer(answer);
                }
            }
            11 if self.below(8) == 0 => match self.up {
                true => {
                    self.up = false;
                    self.server.answers.clear();
                    self.view.interrupt();
                }
                false => self.connect(),
            },
            _ => {}
        }
    }

    fn note(&mut self) {
        let changes = self.view.take_changes();
        self.apply(changes);
    }

    fn apply(&mut self, changes: Vec<CacheEvent>) {
        let seed = self.seed;
        for change in changes {
            match change {
                CacheEvent::Created(node) => {
                    let placed = node.path == "/r" || self.copy.contains_key(parent(&node.path));
                    assert!(placed, "seed {seed}: {} before its parent", node.path);
                    let old = self.copy.insert(node.path.clone(), node.data.clone());
                    assert_eq!(old, None, "seed {seed}: {} created twice", node.path);
                }
                CacheEvent::Changed { old, new } => {
                    let before = self.copy.insert(new.path.clone(), new.data.clone());
                    assert_eq!(before.as_ref(), Some(&old.data), "seed {seed}");
                }
                CacheEvent::Deleted(node) => {
                    let before = self.copy.remove(&node.path);
                    assert_eq!(before.as_ref(), Some(&node.data), "seed {seed}");
                    let below = format!("{}/", node.path);
                    let orphans = self.copy.keys().any(|key| key.starts_with(&below));
                    assert!(!orphans, "seed {seed}: {} before its children", node.path);
                }
                CacheEvent::Current | CacheEvent::Stale => {}
            }
        }
    }
}
