//! Answers to questions about the server: the four-letter words.
//!
//! One thread asks the shards and the replica for reports and puts the answer together, so that no
//! other thread waits for anything.

pub mod four_letter;

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::time::Duration;

use ostler_node::status::{ReplicaReport, ShardReport};

use crate::config::Config;
use crate::mail::{Clocks, Question, ReplicaMail, ShardBox, ShardMail, mailbox};
use four_letter::ServerReport;

/// What the admin thread works with.
pub(crate) struct AdminLoop {
    pub(crate) config: Arc<Config>,
    pub(crate) shards: Vec<Arc<ShardBox>>,
    pub(crate) replica: Sender<ReplicaMail>,
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
        let allowed =
            str::from_utf8(word).is_ok_and(|word| self.config.four_letter_whitelist.allows(word));
        if !allowed {
            return Some(four_letter::refusal(word));
        }
        match word {
            b"srst" => self.tell_shards(|| ShardMail::ResetCounters),
            b"crst" => self.tell_shards(|| ShardMail::ResetConnections),
            _ => {}
        }
        let report = self.report(matches!(word, b"wchs" | b"wchc" | b"wchp"))?;
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
        self.replica.send(ReplicaMail::Report(to)).ok()?;
        let replica = from.recv_timeout(PATIENCE).ok()?;
        let at = self.clocks.read();
        Some(ServerReport {
            config: &self.config,
            shards,
            replica,
            now_wall: at.wall,
            now_ms: at.now.millis(),
            uptime_ms: at.now.millis(),
            data_dir_size_bytes: directory_bytes(&self.config.data_dir.join("version-2")),
            log_dir_size_bytes: directory_bytes(&self.config.data_log_dir.join("version-2")),
            open_files: open_files(),
            max_files: rustix::process::getrlimit(rustix::process::Resource::Nofile)
                .current
                .unwrap_or(u64::MAX),
        })
    }
}

/// The lengths of the files in a directory; what cannot be read counts nothing.
fn directory_bytes(dir: &Path) -> u64 {
    let files = std::fs::read_dir(dir).into_iter().flatten().flatten();
    files.filter_map(|file| file.metadata().ok()).map(|metadata| metadata.len()).sum()
}

fn open_files() -> u64 {
    std::fs::read_dir("/proc/self/fd").map_or(0, |files| files.count() as u64)
}

/// A thread that does not answer for so long is not going to.
const PATIENCE: Duration = Duration::from_secs(10);
