//! How a client is configured and started.

use std::sync::Arc;
use std::time::Duration;

use ostler_wire::connect::Password;
use ostler_wire::ids::SessionId;

use crate::client::Client;
use crate::error::{Error, Result};
use crate::hosts::ConnectString;
use crate::io;
use crate::runtime::{Runtime, TokioRuntime, within};
use crate::session::Session;
use crate::session::core::Core;
use crate::session::shared::{Launch, Shared};

/// What a session is made with, and made with again by `reopen`.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) session_timeout: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) request_timeout: Option<Duration>,
    pub(crate) read_only: bool,
    pub(crate) auths: Vec<(String, Vec<u8>)>,
    pub(crate) resume: Option<(SessionId, Password)>,
    pub(crate) shuffle: bool,
    pub(crate) keep_watches: bool,
    pub(crate) frame_max: usize,
    pub(crate) outstanding_max: usize,
    pub(crate) servers: String,
}

/// A client to be: settings, each with a default that suits most.
///
/// ```no_run
/// # async fn example() -> ostler_client::Result<()> {
/// use std::time::Duration;
/// use ostler_client::Client;
///
/// let client = Client::builder()
///     .session_timeout(Duration::from_secs(10))
///     .auth("digest", b"user:password")
///     .connect("one:2181,two:2181,three:2181/app")
///     .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing happens before it is started"]
pub struct Builder {
    settings: Settings,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            settings: Settings {
                session_timeout: Duration::from_secs(30),
                connect_timeout: Duration::from_secs(30),
                request_timeout: None,
                read_only: false,
                auths: Vec::new(),
                resume: None,
                shuffle: true,
                keep_watches: true,
                frame_max: FRAME_MAX,
                outstanding_max: OUTSTANDING_MAX,
                servers: String::new(),
            },
        }
    }
}

/// What servers send by default never gets near it.
const FRAME_MAX: usize = 16 * 1024 * 1024;
const OUTSTANDING_MAX: usize = 65_536;

impl Builder {
    pub(crate) fn of(settings: Settings) -> Self {
        Self { settings }
    }

    #[cfg(test)]
    pub(crate) fn into_settings(self) -> Settings {
        self.settings
    }

    /// How long a session may be without contact before the servers end it. They have limits of
    /// their own, by default 2 and 20 ticks; what they granted is in
    /// [`Client::session_timeout`]. 30 s if not set.
    pub fn session_timeout(mut self, timeout: Duration) -> Self {
        self.settings.session_timeout = timeout;
        self
    }

    /// How long [`connect`](Self::connect) waits for a session. 30 s if not set.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.settings.connect_timeout = timeout;
        self
    }

    /// How long an operation may take, the time without a connection included, before it is
    /// answered [`Error::RequestTimeout`]. `None`, the default, is as long as it takes.
    pub fn request_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.settings.request_timeout = timeout.into();
        self
    }

    /// Whether a server without a quorum will do for the time being. The client then looks for a
    /// better one. No if not set.
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.settings.read_only = read_only;
        self
    }

    /// Credentials to begin with, such as `digest` and `user:password`. Can be given several times.
    pub fn auth(mut self, scheme: &str, auth: &[u8]) -> Self {
        self.settings.auths.push((scheme.to_owned(), auth.to_vec()));
        self
    }

    /// Takes over a session that exists: id and password from [`Client::session`].
    pub fn resume(mut self, session: SessionId, password: [u8; 16]) -> Self {
        self.settings.resume = Some((session, password));
        self
    }

    /// Whether the servers are tried in random order, which spreads clients over them, or in that
    /// of the connect string. Yes if not set.
    pub fn shuffle(mut self, shuffle: bool) -> Self {
        self.settings.shuffle = shuffle;
        self
    }

    /// Whether watches are put back on each new connection. Without it they end, with
    /// [`EventKind::Removed`](crate::EventKind::Removed), when the connection does. Yes if not set.
    pub fn keep_watches(mut self, keep: bool) -> Self {
        self.settings.keep_watches = keep;
        self
    }

    /// The longest answer, in bytes, that is taken from a server (`jute.maxbuffer` of Java's
    /// client, but larger: 16 MiB if not set).
    pub fn frame_max(mut self, bytes: usize) -> Self {
        self.settings.frame_max = bytes;
        self
    }

    /// How many operations may wait for their answers; more are refused with
    /// [`Error::Overloaded`]. 65536 if not set.
    pub fn outstanding_max(mut self, count: usize) -> Self {
        self.settings.outstanding_max = count.max(1);
        self
    }

    /// Starts a client and waits until it has a session.
    ///
    /// # Errors
    /// [`Error::Unreachable`] if there is none within the
    /// [`connect_timeout`](Self::connect_timeout), [`Error::SessionExpired`] if the one to resume
    /// is gone, [`Error::AuthFailed`], [`Error::BadConnectString`], [`Error::BadPath`] for the
    /// chroot, [`Error::NoRuntime`].
    pub async fn connect(self, connect_string: &str) -> Result<Client> {
        let client = self.start(connect_string)?;
        client.connected().await?;
        Ok(client)
    }

    /// Starts a client and returns at once. Operations wait until there is a session.
    ///
    /// # Errors
    /// [`Error::BadConnectString`], [`Error::BadPath`] for the chroot, [`Error::NoRuntime`].
    pub fn start(self, connect_string: &str) -> Result<Client> {
        let runtime = Arc::new(TokioRuntime::current()?);
        let spawn = Arc::clone(&runtime);
        self.start_on(runtime, move |session| spawn.spawn(io::drive(session)), connect_string)
    }

    /// Starts a client in a world of its own: `runtime` has its time, and `launch` gets the other
    /// side of each session, to drive it as [`session`](crate::session) says. It is called now, and
    /// again by [`Client::reopen`].
    ///
    /// # Errors
    /// [`Error::BadConnectString`], [`Error::BadPath`] for the chroot.
    pub fn start_on(
        self,
        runtime: Arc<dyn Runtime>,
        launch: impl Fn(Session) + Send + Sync + 'static,
        connect_string: &str,
    ) -> Result<Client> {
        self.launch(runtime, Arc::new(launch), connect_string)
    }

    pub(crate) fn launch(
        mut self,
        runtime: Arc<dyn Runtime>,
        launch: Launch,
        connect_string: &str,
    ) -> Result<Client> {
        connect_string.clone_into(&mut self.settings.servers);
        let servers = ConnectString::parse(connect_string)?;
        let core = Core::new(self.settings, servers, runtime.random());
        let shared = Arc::new(Shared::new(core, runtime, Arc::clone(&launch)));
        launch(Session::new(Arc::clone(&shared)));
        Ok(Client::new(shared))
    }
}

impl Client {
    /// Waits until there is a session, at most as long as
    /// [`connect_timeout`](Builder::connect_timeout) says.
    ///
    /// # Errors
    /// [`Error::Unreachable`] when the time is over, or why there will never be one.
    pub async fn connected(&self) -> Result<()> {
        let (servers, patience) = {
            let core = self.core();
            (core.settings.servers.clone(), core.settings.connect_timeout)
        };
        let mut states = self.states();
        let wait = async {
            while let Some(state) = states.next().await {
                if state.is_connected() {
                    return Ok(());
                }
            }
            Err(self.core().refusal().unwrap_or(Error::Closed))
        };
        match within(&**self.runtime(), patience, wait).await {
            Ok(result) => result,
            Err(_) => {
                let why = self.core().last_failure().to_owned();
                Err(Error::Unreachable { servers, why })
            }
        }
    }
}
