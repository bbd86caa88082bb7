//! The server's log: one line per event on standard error, in the pattern of ZooKeeper.
//!
//! ```text
//! 2026-11-21 19:15:26,961 [myid:1] - INFO  [main:boot@42] - Started in 12 ms
//! ```
//!
//! Local time, the server id (empty for a standalone server without one), the level, the thread,
//! the last part of the event's target with its line, and the message followed by the event's
//! other fields as `name=value`. Each event is one write, so that lines of several threads or
//! processes do not mix. Files and rotation are left to whoever reads standard error. Spans are
//! not recorded.

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use std::fmt::{Debug, Write as _};
use std::io::Write as _;
use tracing::field::{Field, Visit};
use tracing::metadata::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Starts logging for the whole process; a second call changes nothing.
///
/// The environment variable `OSTLER_LOG` names the least level that is written: `error`, `warn`,
/// `info` (the default), `debug` or `trace`.
pub fn init(myid: Option<u64>) {
    let level = std::env::var("OSTLER_LOG").ok();
    let log = StderrLog {
        level: level.as_deref().and_then(parse_level).unwrap_or(LevelFilter::INFO),
        myid: myid.map(|id| id.to_string()).unwrap_or_default(),
        zone: TimeZone::system(),
    };
    // Fails only when a subscriber is there already, as in tests that start several servers.
    let _ = tracing::subscriber::set_global_default(log);
}

fn parse_level(name: &str) -> Option<LevelFilter> {
    ["error", "warn", "info", "debug", "trace", "off"]
        .contains(&name.to_ascii_lowercase().as_str())
        .then(|| name.parse().ok())
        .flatten()
}

struct StderrLog {
    level: LevelFilter,
    myid: String,
    zone: TimeZone,
}

impl StderrLog {
    fn line(&self, at: Timestamp, event: &Event<'_>) -> String {
        let metadata = event.metadata();
        let mut line = String::with_capacity(160);
        let at: Zoned = at.to_zoned(self.zone.clone());
        let thread = std::thread::current();
        let target = metadata.target();
        // Writing to a string cannot fail.
        let _ = write!(
            line,
            "{} [myid:{}] - {:<5} [{}:{}@{}] - ",
            at.strftime("%Y-%m-%d %H:%M:%S,%3f"),
            self.myid,
            metadata.level().as_str(),
            thread.name().unwrap_or("unnamed"),
            target.rsplit("::").next().unwrap_or(target),
            metadata.line().unwrap_or(0),
        );
        let mut fields = Fields::default();
        event.record(&mut fields);
        // A client chooses paths and names that get logged: it must not be able to forge lines.
        for c in fields.message.chars().chain(fields.others.chars()) {
            match c {
                '\n' => line.push_str("\\n"),
                c if c.is_control() && c != '\t' => line.extend(c.escape_default()),
                c => line.push(c),
            }
        }
        line.push('\n');
        line
    }
}

/// The message and, behind it, the other fields of an event.
#[derive(Default)]
struct Fields {
    message: String,
    others: String,
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.message.push_str(value);
        } else {
            let _ = write!(self.others, " {field}={value}");
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.others, " {name}={value:?}"),
        };
    }
}

impl Subscriber for StderrLog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() <= self.level
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.level)
    }

    fn event(&self, event: &Event<'_>) {
        let line = self.line(Timestamp::now(), event);
        // With standard error gone there is nowhere left to say so.
        let _ = std::io::stderr().lock().write_all(line.as_bytes());
    }

    fn new_span(&self, _span: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _span: &Id, _values: &Record<'_>) {}

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn enter(&self, _span: &Id) {}

    fn exit(&self, _span: &Id) {}
}

#[cfg(test)]
mod tests {
    use super::{LevelFilter, StderrLog, parse_level};
    use jiff::Timestamp;
    use jiff::tz::TimeZone;
    use std::sync::{Arc, Mutex};
    use tracing::span::{Attributes, Id, Record};
    use tracing::{Event, Metadata, Subscriber};

    /// Formats events at a fixed time instead of writing them.
    struct Kept(StderrLog, Arc<Mutex<Vec<String>>>);

    impl Subscriber for Kept {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            self.0.enabled(metadata)
        }

        fn event(&self, event: &Event<'_>) {
            let at = Timestamp::from_millisecond(1_795_288_526_007).expect("in range");
            self.1.lock().expect("no panic").push(self.0.line(at, event));
        }

        fn new_span(&self, span: &Attributes<'_>) -> Id {
            self.0.new_span(span)
        }

        fn record(&self, _span: &Id, _values: &Record<'_>) {}

        fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

        fn enter(&self, _span: &Id) {}

        fn exit(&self, _span: &Id) {}
    }

    fn check(myid: &str, log: impl FnOnce() + Send + 'static, expect: &str) {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let zone = TimeZone::UTC;
        let inner = StderrLog { level: LevelFilter::INFO, myid: myid.to_owned(), zone };
        let kept = Kept(inner, Arc::clone(&lines));
        let run = move || tracing::subscriber::with_default(kept, log);
        let thread = std::thread::Builder::new().name("worker".to_owned());
        thread.spawn(run).expect("a thread starts").join().expect("no panic");
        assert_eq!(lines.lock().expect("no panic").concat(), expect);
    }

    #[test]
    fn pattern() {
        check("1", || tracing::info!("hello"), &line("1", "INFO ", line!(), "hello"));
        check("", || tracing::error!("{}", 5), &line("", "ERROR", line!(), "5"));
        check("", || tracing::debug!("not written"), "");
        check(
            "",
            || tracing::warn!(path = "/a", zxid = 7_u64, "slow"),
            &line("", "WARN ", line!() - 1, "slow path=/a zxid=7"),
        );
    }

    #[test]
    fn one_event_is_one_line() {
        check(
            "",
            || tracing::info!("a\nb\tc\x1b[0m é"),
            &line("", "INFO ", line!() - 1, "a\\nb\tc\\u{1b}[0m é"),
        );
    }

    fn line(myid: &str, level: &str, line: u32, message: &str) -> String {
        format!(
            "2026-11-21 19:15:26,007 [myid:{myid}] - {level} [worker:tests@{line}] - {message}\n"
        )
    }

    #[test]
    fn levels() {
        assert_eq!(parse_level("WARN"), Some(LevelFilter::WARN));
        assert_eq!(parse_level("trace"), Some(LevelFilter::TRACE));
        assert_eq!(parse_level("loud"), None);
        assert_eq!(parse_level(""), None);
    }
}
