//! Where a tool prints, what it reads, and how it ends.

use std::fmt::Display;
use std::io::{self, BufRead, BufWriter, ErrorKind, Write};
use std::process::ExitCode;

/// The three streams of a tool; tests bring their own.
pub(crate) struct Screen<'a> {
    pub(crate) out: &'a mut dyn Write,
    pub(crate) input: &'a mut dyn BufRead,
}

/// Why a tool ends without having done what it was asked to.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// What the process ends with; some programs of old end well in such cases.
    pub(crate) code: u8,
    /// For standard error; may be empty.
    pub(crate) message: String,
    /// For standard output, behind the message: usage lines.
    pub(crate) usage: &'static str,
}

impl Refusal {
    pub(crate) fn new(code: u8, message: impl Display) -> Self {
        Self { code, message: message.to_string(), usage: "" }
    }
}

impl From<io::Error> for Refusal {
    /// For what happens while printing; errors with files are told with their names.
    fn from(error: io::Error) -> Self {
        match error.kind() {
            // Whoever read has seen enough.
            ErrorKind::BrokenPipe => Self::new(0, ""),
            _ => Self::new(1, error),
        }
    }
}

/// Runs a tool on the streams of the process.
pub(crate) fn run(tool: impl FnOnce(&mut Screen<'_>) -> Result<(), Refusal>) -> ExitCode {
    let mut out = BufWriter::with_capacity(64 << 10, io::stdout().lock());
    let mut input = io::stdin().lock();
    let result = tool(&mut Screen { out: &mut out, input: &mut input });
    // What was found comes before what is wrong, wherever the two go.
    let result = match (out.flush(), result) {
        (Err(error), Ok(())) => Err(error.into()),
        (_, result) => result,
    };
    let Err(Refusal { code, message, usage }) = result else { return ExitCode::SUCCESS };
    if !message.is_empty() {
        eprintln!("{message}");
    }
    // Nobody is left to be told if this fails.
    let _ = out.write_all(usage.as_bytes()).and_then(|()| out.flush());
    ExitCode::from(code)
}

/// Runs a tool on given input; what it printed and how it ended.
#[cfg(test)]
pub(crate) fn rehearse(
    input: &str,
    tool: impl FnOnce(&mut Screen<'_>) -> Result<(), Refusal>,
) -> (String, Result<(), Refusal>) {
    let (mut out, mut input) = (Vec::new(), input.as_bytes());
    let result = tool(&mut Screen { out: &mut out, input: &mut input });
    (String::from_utf8(out).expect("tools print text"), result)
}
