//! The shell at a terminal: a line editor with history, completion and hints.
//!
//! - Tab completes commands, and paths by asking the server.
//! - A hint shows, dimmed, how the command that is being typed is used.
//! - Ctrl-C empties the line; while a command runs it breaks that off. Ctrl-D on an empty line
//!   ends.
//! - Events are printed above the line that is being typed.
//! - The history is kept in the file that `OSTLER_HISTORY` names; without it, in memory.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::PoisonError;
use std::time::Duration;

use ostler_client::runtime::{Either, race};
use rustyline::completion::{Completer, Pair};
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::DefaultHistory;
use rustyline::validate::Validator;
use rustyline::{ColorMode, CompletionType, Config, Context, Editor, ExternalPrinter as _, Helper};
use tokio::runtime::Handle;

use super::console::Paint;
use super::session::{Present, Shell};
use super::{table, words};

/// Takes lines from the terminal until the shell or the terminal ends.
pub(super) fn run(shell: &mut Shell) {
    shell.console.line("Welcome to ZooKeeper!");
    shell.console.line("JLine support is enabled");
    shell.console.flush();
    let mut editor = match editor(shell) {
        Ok(editor) => editor,
        Err(error) => {
            shell.console.complain(&format!("no line editor: {error}"));
            return;
        }
    };
    let file = std::env::var_os("OSTLER_HISTORY").map(PathBuf::from);
    if let Some(file) = &file {
        // There is none the first time.
        let _ = editor.load_history(file);
    }
    shell.await_first_connection();
    while !shell.has_ended() {
        let line = match editor.readline(&shell.prompt()) {
            Ok(line) => line,
            Err(ReadlineError::Interrupted) => continue,
            Err(_) => break,
        };
        if !line.trim().is_empty() {
            let _ = editor.add_history_entry(line.as_str());
        }
        shell.take_line(&line);
    }
    if let Some(file) = &file {
        let _ = editor.append_history(file);
    }
}

fn editor(shell: &Shell) -> rustyline::Result<Editor<Assistant, DefaultHistory>> {
    let has_colour = shell.console.has_colour();
    let config = Config::builder()
        .max_history_size(1000)?
        .completion_type(CompletionType::List)
        .color_mode(if has_colour { ColorMode::Enabled } else { ColorMode::Disabled })
        .build();
    let mut editor = Editor::with_config(config)?;
    let (present, runtime) = shell.present();
    editor.set_helper(Some(Assistant { present, runtime }));
    if let Ok(mut printer) = editor.create_external_printer() {
        shell.console.hand_events_to(move |text| {
            // The terminal is gone, and the shell about to end.
            let _ = printer.print(text);
        });
    }
    Ok(editor)
}

/// What the editor asks while a line is typed.
struct Assistant {
    present: Present,
    runtime: Handle,
}

/// How long completion waits for the server.
const COMPLETION_TIME: Duration = Duration::from_secs(2);

impl Assistant {
    /// The paths that a path which is being typed can become.
    fn paths(&self, typed: &str) -> Vec<String> {
        let Some((parent, prefix)) = typed.rsplit_once('/') else { return Vec::new() };
        let client = self.present.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(client) = client.filter(|client| client.state().is_connected()) else {
            return Vec::new();
        };
        let children = client.children(if parent.is_empty() { "/" } else { parent });
        let answer = async { race(children, tokio::time::sleep(COMPLETION_TIME)).await };
        let Either::Left(Ok((mut names, _))) = self.runtime.block_on(answer) else {
            return Vec::new();
        };
        names.retain(|name| name.starts_with(prefix));
        names.sort_unstable();
        names.into_iter().map(|name| format!("{parent}/{name}")).collect()
    }
}

impl Completer for Assistant {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let line = &line[..position];
        let start = words::last_word_start(line);
        let typed = &line[start..];
        // A path may stand in a quotation, which completion leaves open.
        let (quote, typed) = match typed.chars().next() {
            Some(quote @ ('"' | '\'')) => (1, typed.trim_start_matches(quote)),
            _ => (0, typed),
        };
        let is_path = typed.starts_with('/');
        let mut found = if is_path {
            self.paths(typed)
        } else if line[..start].trim().is_empty() {
            let names = table::COMMANDS.iter().map(|command| command.name);
            names.filter(|name| name.starts_with(typed)).map(str::to_string).collect()
        } else {
            options(line, typed)
        };
        if let [only] = found.as_mut_slice()
            && !is_path
        {
            // The word is complete. A path may go on.
            only.push(' ');
        }
        let pair = |text: String| Pair { display: text.clone(), replacement: text };
        Ok((start + quote, found.into_iter().map(pair).collect()))
    }
}

/// The options of the command of a line that begin as typed.
fn options(line: &str, typed: &str) -> Vec<String> {
    let words = words::split(line);
    let command = words.first().and_then(|name| table::find(name));
    let Some((command, _)) = command.zip(typed.strip_prefix('-')) else { return Vec::new() };
    let names = command.options.iter().map(|option| format!("-{}", option.name));
    names.filter(|name| name.starts_with(typed)).collect()
}

impl Hinter for Assistant {
    type Hint = String;

    fn hint(&self, line: &str, position: usize, _: &Context<'_>) -> Option<String> {
        // As soon as the name is there and nothing behind it.
        let name = line.trim_start();
        let command = table::find(name.trim_end())?;
        if position < line.len() || command.syntax.is_empty() {
            return None;
        }
        let space = if name.ends_with(' ') { "" } else { " " };
        Some(format!("{space}{}", command.syntax))
    }
}

impl Highlighter for Assistant {
    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        Cow::Owned(Paint::Dim.on(hint))
    }
}

impl Validator for Assistant {}
impl Helper for Assistant {}
