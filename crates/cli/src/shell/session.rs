//! The shell itself: the connection, the commands run on it, the exit code they leave.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ostler_client::runtime::{Either, race};
use ostler_client::{Client, Error, Reply, State};
use ostler_wire::error::ErrorCode;
use tokio::runtime::{Builder, Runtime};

use super::arguments::Arguments;
use super::client_config::{self, ClientConfig};
use super::console::Console;
use super::failure::{self, Failure};
use super::history::History;
use super::link::{self, Link};
use super::options::{self, Parsed};
use super::signals::Signals;
use super::{table, words};

/// A shell, from its start to its end.
pub(super) struct Shell {
    /// Where everything is printed.
    pub console: Arc<Console>,
    /// The lines so far.
    pub history: History,
    runtime: Runtime,
    signals: Signals,
    settings: Settings,
    servers: String,
    link: Option<Link>,
    present: Present,
    exit_code: u8,
    has_ended: bool,
}

/// The client of the moment, for whoever is not the main thread: completion and signals.
pub(super) type Present = Arc<Mutex<Option<Client>>>;

/// What every connection of this shell has in common.
struct Settings {
    session_timeout: Duration,
    read_only: bool,
    wait_for_connection: bool,
    config: ClientConfig,
}

impl Settings {
    /// What the arguments and the client configuration ask for, or what is wrong with them and the
    /// exit code for that.
    fn of(arguments: &Arguments) -> Result<Self, (String, u8)> {
        let jvm_flags = std::env::var("CLIENT_JVMFLAGS").unwrap_or_default();
        let config = client_config::load(arguments.client_configuration.as_deref(), &jvm_flags)
            .map_err(|text| (text, Failure::BAD_CONFIGURATION))?;
        let timeout_ms: u32 = arguments.timeout_ms.parse().map_err(|_| {
            let text = format!("-timeout {} is no number of milliseconds", arguments.timeout_ms);
            (text, Failure::FAILED)
        })?;
        Ok(Self {
            session_timeout: Duration::from_millis(u64::from(timeout_ms)),
            read_only: arguments.read_only,
            wait_for_connection: arguments.wait_for_connection,
            config,
        })
    }
}

/// How long a command waits for a connection: long enough for an ensemble to elect a leader.
const PATIENCE: Duration = Duration::from_secs(10);

impl Shell {
    /// Connects as the arguments say.
    ///
    /// # Errors
    /// The exit code; why has been printed.
    pub(super) fn start(arguments: &Arguments, is_interactive: bool) -> Result<Self, u8> {
        let console = Arc::new(Console::new());
        if let Some(complaint) = &arguments.complaint {
            console.complain(complaint);
        }
        let command = arguments.command.first().and_then(|name| table::find(name));
        if command.is_some_and(|command| command.is_ours) {
            // What Apache's shell does not have prints nothing but its result.
            console.set_prints_events(false);
        } else {
            console.line(&format!("Connecting to {}", arguments.servers));
            console.flush();
        }
        let stop = |(text, code): (String, u8)| {
            console.complain(&text);
            code
        };
        let settings = Settings::of(arguments).map_err(stop)?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(|error| stop((format!("cannot start: {error}"), Failure::FAILED)))?;
        let present = Present::default();
        let signals =
            Signals::listen(&runtime, is_interactive, Arc::clone(&present), Arc::clone(&console));
        let mut shell = Self {
            console,
            history: History::default(),
            runtime,
            signals,
            settings,
            servers: String::new(),
            link: None,
            present,
            exit_code: 0,
            has_ended: false,
        };
        match shell.connect(&arguments.servers) {
            Ok(()) => Ok(shell),
            Err(failure) => {
                shell.fail(&failure);
                Err(shell.end())
            }
        }
    }

    /// Ends the present session, if there is one, and starts another.
    pub(super) fn connect(&mut self, servers: &str) -> Result<(), Failure> {
        let mut builder = Client::builder()
            .session_timeout(self.settings.session_timeout)
            .connect_timeout(self.settings.session_timeout)
            .request_timeout(self.settings.config.request_timeout)
            .keep_watches(!self.settings.config.drops_watches);
        if self.settings.read_only {
            builder = builder.read_only(true);
        }
        let entered = self.runtime.enter();
        let client = builder.start(servers).map_err(|error| Failure::refused(&error, ""))?;
        drop(entered);
        self.disconnect();
        let entered = self.runtime.enter();
        *self.present.lock().unwrap_or_else(PoisonError::into_inner) = Some(client.clone());
        self.link = Some(Link::new(client, Arc::clone(&self.console)));
        drop(entered);
        self.servers = servers.to_string();
        if self.settings.wait_for_connection {
            self.await_connection(self.settings.session_timeout, false, "")?;
        }
        Ok(())
    }

    /// Closes the session, if there is one.
    pub(super) fn disconnect(&mut self) {
        if let Some(link) = self.link.take() {
            self.runtime.block_on(link.close());
        }
        *self.present.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The connect string of the present session.
    pub(super) fn servers(&self) -> &str {
        &self.servers
    }

    /// What stands before each line: `[zk: localhost:2181(CONNECTED) 0] `.
    pub(super) fn prompt(&self) -> String {
        let state = self.link.as_ref().map_or(State::Closed, Link::state);
        format!("[zk: {}({}) {}] ", self.servers, link::state_name(state), self.history.number())
    }

    /// The client and its runtime, for completion.
    pub(super) fn present(&self) -> (Present, tokio::runtime::Handle) {
        (Arc::clone(&self.present), self.runtime.handle().clone())
    }

    /// Waits a moment for the first connection, so that the first prompt can tell of it.
    pub(super) fn await_first_connection(&self) {
        if let Some(link) = &self.link {
            let settled = async { race(link.settled(), tokio::time::sleep(FIRST_PATIENCE)).await };
            let _ = self.wait(settled);
        }
    }

    fn await_connection(
        &self,
        patience: Duration,
        is_alone: bool,
        path: &str,
    ) -> Result<Client, Failure> {
        let lost = |code| Failure::new(failure::keeper_text(code, path));
        let link = self.link.as_ref().ok_or_else(|| lost(ErrorCode::SESSION_EXPIRED))?;
        let settled =
            async { race(link.settled(), give_up(link.client(), is_alone, patience)).await };
        match self.wait(settled)? {
            Either::Left(state) if state.is_connected() => Ok(link.client().clone()),
            Either::Left(State::AuthFailed) => Err(lost(ErrorCode::AUTH_FAILED)),
            Either::Left(_) => Err(lost(ErrorCode::SESSION_EXPIRED)),
            Either::Right(()) => {
                if let Some((_, why)) = link.client().unreachable() {
                    self.console.complain(&why);
                }
                Err(lost(ErrorCode::CONNECTION_LOSS))
            }
        }
    }

    /// The client, as soon as it is connected. The path is the one of the complaint.
    pub(super) fn client(&self, path: &str) -> Result<Client, Failure> {
        let is_alone = !self.servers.contains(',');
        self.await_connection(PATIENCE.min(self.settings.session_timeout), is_alone, path)
    }

    /// The link, to leave watches with.
    pub(super) fn link(&mut self) -> Result<&mut Link, Failure> {
        self.link.as_mut().ok_or_else(|| Failure::new("Not connected"))
    }

    /// Waits for a future, until Ctrl-C.
    pub(super) fn wait<F: Future>(&self, future: F) -> Result<F::Output, Failure> {
        match self.runtime.block_on(race(future, self.signals.interrupted())) {
            Either::Left(output) => Ok(output),
            Either::Right(()) => Err(Failure::interrupted()),
        }
    }

    /// Waits for the answer to a request about `path`.
    pub(super) fn ask<T>(&self, path: &str, reply: Reply<T>) -> Result<T, Failure> {
        self.try_ask(reply)?.map_err(|error| Failure::refused(&error, path))
    }

    /// As [`ask`](Self::ask), for callers that know what to do about a refusal.
    pub(super) fn try_ask<T>(&self, reply: Reply<T>) -> Result<Result<T, Error>, Failure> {
        self.wait(reply)
    }

    /// Runs a line and keeps it in the history.
    pub(super) fn take_line(&mut self, line: &str) {
        let words = words::split(line);
        if words.is_empty() {
            return;
        }
        self.history.begin(line);
        self.process(words);
        self.history.finish();
    }

    /// Runs a command.
    pub(super) fn process(&mut self, words: Vec<String>) {
        self.exit_code = match self.dispatch(&words) {
            Ok(()) => 0,
            Err(failure) => {
                self.fail(&failure);
                failure.code
            }
        };
        self.let_events_through();
        self.console.flush();
        if self.console.is_broken() {
            self.has_ended = true;
        }
    }

    /// Gives the tasks that print events their turn: what the server told before it answered the
    /// command stands before the output of the next one.
    fn let_events_through(&self) {
        let turns = async {
            for _ in 0..TURNS {
                tokio::task::yield_now().await;
            }
        };
        // Nobody aborts it.
        let _ = self.runtime.block_on(self.runtime.spawn(turns));
    }

    /// Runs a command as part of another.
    pub(super) fn dispatch(&mut self, words: &[String]) -> Result<(), Failure> {
        let name = words.first().map_or("", String::as_str);
        let Some(command) = table::find(name) else {
            self.console.note_line(&table::usage());
            return Err(Failure::not_found(name));
        };
        if command.needs_session && !self.is_alive() {
            self.console.line("Not connected");
            return Err(Failure::told());
        }
        let parsed = if command.has_no_options {
            Parsed::without_options(words)
        } else {
            options::parse(command.options, command.together, words)?
        };
        if parsed.words.len() <= command.words_min {
            return Err(Failure::new(command.usage()));
        }
        (command.run)(self, &parsed)
    }

    fn is_alive(&self) -> bool {
        self.link.as_ref().is_some_and(|link| !link.client().state().is_final())
    }

    fn fail(&mut self, failure: &Failure) {
        match &failure.text {
            Some(text) => self.console.complain(text),
            // Behind the ^C that the terminal shows.
            None if failure.code == Failure::INTERRUPTED => self.console.line(""),
            None => {}
        }
        self.exit_code = failure.code;
    }

    /// No more lines, please.
    pub(super) fn quit(&mut self) {
        self.has_ended = true;
    }

    /// Whether somebody said so.
    pub(super) fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// The code that the last command left.
    pub(super) fn exit_code(&self) -> u8 {
        self.exit_code
    }

    /// Closes the session and says what to exit with.
    pub(super) fn end(mut self) -> u8 {
        if let Some(link) = self.link.take() {
            self.runtime.block_on(link.close_quietly());
        }
        self.console.flush();
        // Whatever still runs there, such as the resolution of a name, is not worth waiting for.
        self.runtime.shutdown_background();
        self.exit_code
    }
}

/// Is ready when the time is over, or, of a server that is alone, when it does not answer. Of
/// several, one may be elected any moment.
async fn give_up(client: &Client, is_alone: bool, patience: Duration) {
    let mut waited = Duration::ZERO;
    while waited < patience {
        let pause = (patience - waited).min(LOOK_PAUSE);
        tokio::time::sleep(pause).await;
        waited += pause;
        if is_alone && waited >= PATIENCE_ALONE && client.unreachable().is_some() {
            return;
        }
    }
}

/// How long a server that is alone and refuses is given.
const PATIENCE_ALONE: Duration = Duration::from_secs(1);
/// How often to look whether it does.
const LOOK_PAUSE: Duration = Duration::from_millis(50);

/// How often the runtime, which has one thread, looks at its other tasks.
const TURNS: usize = 3;

/// How long the first prompt waits for a connection.
const FIRST_PATIENCE: Duration = Duration::from_secs(1);
