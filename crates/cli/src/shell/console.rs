//! Where the shell's words go: results to stdout, complaints to stderr, events in between.
//!
//! Stdout is buffered and flushed at the end of every command, before anything is written to stderr
//! and after every event, so that the two streams of a terminal keep their order. While the line
//! editor waits for a key, events go through it: it takes the prompt away and puts it back.

use std::io::{self, BufWriter, IsTerminal as _, Stdout, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;

/// Both streams, and who prints events.
pub(super) struct Console {
    out: Mutex<BufWriter<Stdout>>,
    /// Set when nobody reads stdout any more.
    is_broken: AtomicBool,
    /// Whether events are wanted: the command `printwatches`.
    prints_events: AtomicBool,
    /// Takes events while there is a line editor.
    editor: Mutex<Option<mpsc::Sender<String>>>,
    has_colour: bool,
    has_err_colour: bool,
}

/// What a piece of text is, which decides on its colour.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Paint {
    /// A complaint.
    Error,
    /// Something that happened on its own.
    Event,
    /// What can be descended into.
    Inner,
    /// Beside the point.
    Dim,
}

impl Paint {
    fn code(self) -> &'static str {
        match self {
            Self::Error => "31",
            Self::Event => "36",
            Self::Inner => "1;34",
            Self::Dim => "2",
        }
    }

    /// The text with the sequences of a terminal around it.
    pub(super) fn on(self, text: &str) -> String {
        format!("\x1b[{}m{text}\x1b[0m", self.code())
    }
}

impl Console {
    /// The streams of this process; coloured when they are terminals and `NO_COLOR` is not set.
    pub(super) fn new() -> Self {
        let wants_colour = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
            && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        Self {
            out: Mutex::new(BufWriter::new(io::stdout())),
            is_broken: AtomicBool::new(false),
            prints_events: AtomicBool::new(true),
            editor: Mutex::new(None),
            has_colour: wants_colour && io::stdout().is_terminal(),
            has_err_colour: wants_colour && io::stderr().is_terminal(),
        }
    }

    /// Whether stdout shows colours.
    pub(super) fn has_colour(&self) -> bool {
        self.has_colour
    }

    /// Writes a result as it is.
    pub(super) fn write(&self, text: &str) {
        let result = self.lock().write_all(text.as_bytes());
        self.note(result);
    }

    /// Writes a line of a result.
    pub(super) fn line(&self, text: &str) {
        self.write(&format!("{text}\n"));
    }

    /// Writes a line to stderr, behind everything that went to stdout.
    pub(super) fn complain(&self, text: &str) {
        self.flush();
        let text = if self.has_err_colour {
            format!("{}\n", Paint::Error.on(text))
        } else {
            format!("{text}\n")
        };
        // There is nowhere to say that stderr is gone.
        let _ = io::stderr().write_all(text.as_bytes());
    }

    /// As [`complain`](Self::complain), for what is no complaint but goes to stderr all the same.
    pub(super) fn note_line(&self, text: &str) {
        self.flush();
        let _ = io::stderr().write_all(format!("{text}\n").as_bytes());
    }

    /// The text in its colour, if there are colours.
    pub(super) fn painted(&self, paint: Paint, text: &str) -> String {
        if self.has_colour { paint.on(text) } else { text.to_string() }
    }

    /// Shows an event as Apache's shell does, unless events are off.
    pub(super) fn event(&self, text: &str) {
        if !self.prints_events() {
            return;
        }
        let text = format!("\nWATCHER::\n\n{}\n", self.painted(Paint::Event, text));
        let editor = self.editor.lock().unwrap_or_else(PoisonError::into_inner);
        match &*editor {
            Some(editor) => {
                // The editor ends after everything that could send to it, or events do not matter.
                let _ = editor.send(text);
            }
            None => {
                self.write(&text);
                self.flush();
            }
        }
    }

    /// Whether events are shown.
    pub(super) fn prints_events(&self) -> bool {
        self.prints_events.load(Ordering::Relaxed)
    }

    /// Shows events or not.
    pub(super) fn set_prints_events(&self, prints: bool) {
        self.prints_events.store(prints, Ordering::Relaxed);
    }

    /// Hands events to `print` from now on, on a thread of their own: a line editor takes them only
    /// when it looks for keys, and the session must not wait for that.
    pub(super) fn hand_events_to(&self, mut print: impl FnMut(String) + Send + 'static) {
        let (sender, receiver) = mpsc::channel::<String>();
        thread::spawn(move || {
            for text in receiver {
                print(text);
            }
        });
        *self.editor.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
    }

    /// Writes out what is buffered.
    pub(super) fn flush(&self) {
        let result = self.lock().flush();
        self.note(result);
    }

    /// Whether stdout is closed at its other end: there is no use in going on.
    pub(super) fn is_broken(&self) -> bool {
        self.is_broken.load(Ordering::Relaxed)
    }

    fn note(&self, result: io::Result<()>) {
        if result.is_err() {
            self.is_broken.store(true, Ordering::Relaxed);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BufWriter<Stdout>> {
        self.out.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
