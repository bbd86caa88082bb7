//! Several server processes that form an ensemble.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::Duration;

use ostler_cli::raw_client::{RawClient, get_children, get_data};
use ostler_wire::request::Request;
use ostler_wire::stat::Stat;
use rustix::process::Signal;

use super::{PATIENCE, Server, TestDir, first_read, free_port, poll_until};

/// An ensemble whose servers are started and ended one by one.
pub struct Ensemble {
    dir: TestDir,
    members: Vec<Member>,
    flags: String,
}

struct Member {
    config: PathBuf,
    port: u16,
    election_port: u16,
    server: Option<Server>,
}

impl Ensemble {
    /// So many servers, none of them started. Their ids are 1 and up, here they count from 0.
    pub fn new(name: &str, count: usize) -> Self {
        Self::with_observers(name, count, 0)
    }

    /// The same with some behind them that do not vote.
    pub fn with_observers(name: &str, voters: usize, observers: usize) -> Self {
        let dir = TestDir::new(name);
        let ports: Vec<[u16; 3]> =
            (0..voters + observers).map(|_| [free_port(), free_port(), free_port()]).collect();
        let mut lines = String::new();
        for (index, [_, quorum, election]) in ports.iter().enumerate() {
            let role = if index < voters { "participant" } else { "observer" };
            let id = index + 1;
            lines += &format!("server.{id}=127.0.0.1:{quorum}:{election}:{role}\n");
        }
        let members = (1_u32..).zip(&ports).map(|(id, [port, _, election_port])| {
            let own = dir.join(&id.to_string());
            let data = own.join("data");
            fs::create_dir_all(&data).expect("a directory for the server");
            fs::write(data.join("myid"), format!("{id}\n")).expect("it can be written");
            let config = own.join("zoo.cfg");
            let text = format!(
                "dataDir={}\nclientPort={port}\nclientPortAddress=127.0.0.1\nmaxClientCnxns=0\n\
                 admin.enableServer=false\n4lw.commands.whitelist=*\n\
                 ostler.shardThreads={}\n{TIMES}{lines}",
                data.display(),
                // Small machines and large ones must agree.
                id % 3
            );
            fs::write(&config, text).expect("it can be written");
            Member { config, port: *port, election_port: *election_port, server: None }
        });
        let members = members.collect();
        Self { dir, members, flags: String::new() }
    }

    /// Adds a line to all configurations.
    pub fn add_line(&self, line: &str) {
        for member in &self.members {
            let mut text = fs::read_to_string(&member.config).expect("it was written");
            text.push_str(line);
            text.push('\n');
            fs::write(&member.config, text).expect("it can be written");
        }
    }

    /// Sets what every server gets that is started from now on, such as `-Dname=value`.
    pub fn set_flags(&mut self, flags: &str) {
        flags.clone_into(&mut self.flags);
    }

    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Starts a server and does not wait.
    pub fn start(&mut self, index: usize) {
        let member = &mut self.members[index];
        assert!(member.server.is_none(), "server {index} runs");
        let log = member.config.with_file_name("server.log");
        member.server = Some(Server::spawn_flagged(&member.config, member.port, log, &self.flags));
    }

    pub fn start_all(&mut self) {
        (0..self.len()).for_each(|index| self.start(index));
    }

    /// Waits until a server serves clients.
    pub fn wait_serving(&mut self, index: usize) {
        let address = self.address(index);
        let deadline = std::time::Instant::now() + PATIENCE;
        while let Err(error) = first_read(&address) {
            self.assert_running(index);
            let late = std::time::Instant::now() >= deadline;
            assert!(!late, "server {index} does not serve: {error}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn wait_all_serving(&mut self) {
        for index in self.running() {
            self.wait_serving(index);
        }
    }

    fn assert_running(&mut self, index: usize) {
        let server = self.members[index].server.as_mut().expect("it was started");
        if let Some(status) = server.child.try_wait().expect("the child is ours") {
            panic!("server {index} ended with {status}");
        }
    }

    /// Kills a server.
    pub fn kill(&mut self, index: usize) {
        self.members[index].server.take().expect("it runs").kill();
    }

    /// Ends a server as an operator does; it must end well.
    pub fn terminate(&mut self, index: usize) {
        let mut server = self.members[index].server.take().expect("it runs");
        server.signal(Signal::TERM);
        let status = server.wait();
        assert!(status.success(), "server {index} ended with {status}");
    }

    /// Stops a server in the middle of whatever it does; returns when all of it stands still.
    pub fn pause(&self, index: usize) {
        let server = self.members[index].server.as_ref().expect("it runs");
        server.signal(Signal::STOP);
        let tasks = format!("/proc/{}/task", server.pid());
        let stands = |task: fs::DirEntry| {
            let stat = fs::read_to_string(task.path().join("stat")).unwrap_or_default();
            // The name may hold anything, the state stands behind it.
            stat.rsplit_once(") ").is_none_or(|(_, fields)| fields.starts_with('T'))
        };
        poll_until("all threads stand still", || {
            let mut tasks = fs::read_dir(&tasks).expect("it runs").flatten();
            tasks.all(stands).then_some(())
        });
    }

    /// Lets a paused server go on.
    pub fn resume(&self, index: usize) {
        self.members[index].server.as_ref().expect("it runs").signal(Signal::CONT);
    }

    /// Waits for a server that ends by itself; its exit code.
    pub fn exit_code(&mut self, index: usize) -> Option<i32> {
        self.members[index].server.take().expect("it runs").wait().code()
    }

    pub fn election_port(&self, index: usize) -> u16 {
        self.members[index].election_port
    }

    /// Those that were started and not ended.
    pub fn running(&self) -> Vec<usize> {
        (0..self.len()).filter(|index| self.members[*index].server.is_some()).collect()
    }

    pub fn address(&self, index: usize) -> String {
        format!("127.0.0.1:{}", self.members[index].port)
    }

    pub fn addresses(&self) -> Vec<String> {
        (0..self.len()).map(|index| self.address(index)).collect()
    }

    pub fn data_dir(&self, index: usize) -> PathBuf {
        self.members[index].config.with_file_name("data").join("version-2")
    }

    /// All that a server has said, in all of its lives.
    pub fn log_text(&self, index: usize) -> String {
        let log = self.members[index].config.with_file_name("server.log");
        fs::read_to_string(log).unwrap_or_default()
    }

    /// What a server says it is; nothing while it does not serve.
    pub fn mode(&self, index: usize) -> Option<String> {
        let text = four_letter_word(&self.address(index), "srvr")?;
        text.lines().find_map(|line| line.strip_prefix("Mode: ")).map(str::to_owned)
    }

    /// Waits until one of them leads.
    pub fn leader(&self) -> usize {
        poll_until("somebody leads", || {
            let mut leaders = self.running().into_iter();
            leaders.find(|index| self.mode(*index).as_deref() == Some("leader"))
        })
    }

    /// A session of its own on a server, which has to serve.
    pub fn connect(&self, index: usize) -> RawClient {
        let client = RawClient::connect(&*self.address(index), 30_000);
        client.unwrap_or_else(|error| panic!("server {index} serves nobody: {error}"))
    }

    /// Reads everything through every server that runs: all must have the same.
    pub fn assert_same_everywhere(&mut self) -> BTreeMap<String, Found> {
        self.wait_all_serving();
        let running = self.running();
        let mut trees = running.iter().map(|index| (*index, read_tree(&mut self.connect(*index))));
        let (first, tree) = trees.next().expect("one runs");
        for (index, other) in trees {
            if tree != other {
                let differ = tree
                    .keys()
                    .chain(other.keys())
                    .find(|path| tree.get(*path) != other.get(*path));
                let path = differ.expect("some path differs");
                panic!(
                    "servers {first} and {index} differ at {path}: {:?} and {:?}",
                    tree.get(path),
                    other.get(path)
                );
            }
        }
        tree
    }

    /// No server has ever noticed that its data are not its leader's.
    pub fn assert_digests_agreed(&self) {
        for index in 0..self.len() {
            let log = self.log_text(index);
            assert!(!log.contains("differ from the leader's"), "server {index} says so");
            assert!(!log.contains("panicked"), "server {index} panicked");
        }
    }
}

impl Drop for Ensemble {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the logs are in {}", self.dir.path().display());
        }
    }
}

/// A znode as a client sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found {
    pub data: Vec<u8>,
    pub stat: Stat,
}

/// All znodes, as a server shows them when it has caught up.
fn read_tree(client: &mut RawClient) -> BTreeMap<String, Found> {
    sync(client).expect("it can catch up");
    let mut found = BTreeMap::new();
    let mut paths = vec!["/".to_owned()];
    while let Some(path) = paths.pop() {
        let reply = client.call(&get_data(&path, false)).and_then(|reply| reply.ok());
        let reply = reply.expect("nobody deletes it");
        let (data, mut stat) = reply.data().expect("it is one");
        if path == "/zookeeper/config" {
            // Each server writes it for itself, when it starts.
            stat = Stat::default();
        }
        found.insert(path.clone(), Found { data: data.unwrap_or_default().to_vec(), stat });
        let names = client.call(&get_children(&path, false)).and_then(|reply| reply.ok());
        let parent = if path == "/" { "" } else { &path };
        let names = names.and_then(|reply| reply.names()).expect("nobody deletes it");
        paths.extend(names.iter().map(|name| format!("{parent}/{name}")));
    }
    found
}

/// Waits until a server has what its leader had when it was asked.
pub fn sync(client: &mut RawClient) -> std::io::Result<()> {
    client.call(&Request::Sync { path: Some("/".into()) })?.ok().map(|_| ())
}

/// The answer to a four-letter word, if there is one.
pub fn four_letter_word(address: &str, word: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    stream.write_all(word.as_bytes()).ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    Some(text)
}

/// Long enough for a machine that has better to do.
const TIMES: &str = "tickTime=500\ninitLimit=40\nsyncLimit=20\nminSessionTimeout=1000\n\
                     maxSessionTimeout=120000\npreAllocSize=64\nsnapCount=300\n";
