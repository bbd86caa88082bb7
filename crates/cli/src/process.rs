//! What a process uses, as Linux tells it under `/proc`.

use std::fs;
use std::io;

/// `/proc` counts CPU time in hundredths of a second on every architecture that matters here.
const TICKS_PER_SECOND: f64 = 100.0;

/// A reading of a process's use of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessUse {
    /// User and system time since it started, in seconds.
    pub cpu_s: f64,
    /// Resident memory in bytes.
    pub resident_bytes: u64,
}

impl ProcessUse {
    /// Reads the use of process `pid`.
    pub fn of(pid: u32) -> io::Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let cpu_ticks = cpu_ticks(&stat).ok_or_else(|| unreadable(pid, "stat"))?;
        let resident_kb = resident_kb(&status).ok_or_else(|| unreadable(pid, "status"))?;
        // Tick counts stay far below 2^52.
        #[allow(clippy::cast_precision_loss)]
        let cpu_s = cpu_ticks as f64 / TICKS_PER_SECOND;
        Ok(Self { cpu_s, resident_bytes: resident_kb * 1024 })
    }

    /// Reads the use of this process.
    pub fn own() -> io::Result<Self> {
        Self::of(std::process::id())
    }
}

fn unreadable(pid: u32, file: &str) -> io::Error {
    io::Error::other(format!("/proc/{pid}/{file} does not look as expected"))
}

/// Fields 14 and 15; the second field is a name in parentheses that may hold anything.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

fn resident_kb(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// Whether whoever started this process wants it to ignore a signal, as `nohup` does, and shells
/// with what they start in the background. Only Linux tells.
#[must_use]
pub fn ignores_signal(number: i32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask & (1 << (number - 1)) != 0
}

/// Allows this process as many open files as it may allow itself.
///
/// # Errors
/// When the operating system refuses, which leaves the limit as it was.
pub fn raise_open_files_limit() -> io::Result<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    setrlimit(Resource::Nofile, raised)?;
    Ok(limit.maximum.unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_move_the_fields() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 100 0 0 0 12 30 0 0 20 0 1 0 500 1000 200";
        assert_eq!(cpu_ticks(stat), Some(42));
        assert_eq!(cpu_ticks("7 (cut"), None);
        assert_eq!(resident_kb("Name:\tx\nVmRSS:\t  1234 kB\n"), Some(1234));
    }
}
