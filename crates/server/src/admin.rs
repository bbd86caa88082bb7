//! Answers to questions about the server: the four-letter words.
//!
//! One thread asks the shards and the replica for reports and puts the answer together, so that no
//! other thread waits for anything.

pub mod four_letter;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use ostler_node::status::{ReplicaReport, ShardReport};

use crate::config::Config;
use crate::mail::{Clocks, Question, ReplicaBox, ReplicaMail, ShardBox, ShardMail, mailbox};
use four_letter::{Reset, ServerReport, usage};

/// What the admin thread works with.
pub(crate) struct AdminLoop {
    pub(crate) config: Arc<Config>,
    /// The port that is open for clients, if one is.
    pub(crate) client_port: Option<u16>,
    pub(crate) snap_dir: PathBuf,
    pub(crate) log_dir: PathBuf,
    pub(crate) shards: Vec<Arc<ShardBox>>,
    pub(crate) replica: ReplicaBox,
    pub(crate) questions: Receiver<Question>,
    pub(crate) clocks: Clocks,
}

impl AdminLoop {
    /// Runs until the shards are gone.
    pub(crate) fn run(self) {
        while let Ok(question) = self.questions.recv() {
            let answer = self.answer(&question.word).unwrap_or_default();
            question.shard.send(ShardMail::Text(question.conn, answer.into_bytes()));
        }
    }

    fn answer(&self, word: &[u8; 4]) -> Option<String> {
        if let Some(text) = four_letter::answer_at_once(word, &self.config) {
            return Some(text);
        }
        let report = self.report(four_letter::wants_watches(word))?;
        match four_letter::reset_by(word, &report) {
            Some(Reset::Server) => {
                self.tell_shards(|| ShardMail::ResetCounters);
                self.replica.send(ReplicaMail::ResetCounters);
            }
            Some(Reset::Connections) => self.tell_shards(|| ShardMail::ResetConnections),
            None => {}
        }
        Some(four_letter::answer(word, &report))
    }

    fn tell_shards(&self, mail: impl Fn() -> ShardMail) {
        self.shards.iter().for_each(|shard| shard.send(mail()));
    }

    /// Asks everybody; `None` if the server is ending.
    fn report(&self, with_watches: bool) -> Option<ServerReport<'_>> {
        let mut shards: Vec<ShardReport> = Vec::with_capacity(self.shards.len());
        for shard in &self.shards {
            let (to, from) = mailbox();
            shard.send(ShardMail::Report(with_watches, to));
            shards.push(from.recv_timeout(PATIENCE).ok()?);
        }
        let (to, from) = mailbox::<ReplicaReport>();
        self.replica.send(ReplicaMail::Report(to));
        let replica = from.recv_timeout(PATIENCE).ok()?;
        let at = self.clocks.read();
        let began_ms = replica.ensemble.as_ref().map_or(0, |ensemble| ensemble.serving_since_ms);
        Some(ServerReport {
            config: &self.config,
            client_port: self.client_port,
            shards,
            replica,
            now_wall: at.wall,
            now_ms: at.now.millis(),
            uptime_ms: at.now.millis().saturating_sub(began_ms),
            data_dir_size_bytes: usage::directory_size_bytes(&self.snap_dir),
            log_dir_size_bytes: usage::directory_size_bytes(&self.log_dir),
            open_files: usage::open_files(),
            max_files: usage::open_files_max(),
        })
    }
}

/// A thread that does not answer for so long is not going to.
const PATIENCE: Duration = Duration::from_secs(10);
