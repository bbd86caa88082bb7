//! The client: a handle on a session that can be cloned freely.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use ostler_wire::connect::Password;
use ostler_wire::ids::{SessionId, Zxid};

use crate::builder::Builder;
use crate::error::Result;
use crate::hosts::ConnectString;
use crate::multi::{Multi, MultiRead};
use crate::reply::Reply;
use crate::runtime::Runtime;
use crate::session::core::Core;
use crate::session::shared::{Handle, Shared};
use crate::state::{State, States};

mod operations;
mod watching;

/// A session with an ensemble.
///
/// Clones share the session. Every operation is queued when its method is called and reaches the
/// server in that order; what the method returns is a [`Reply`] to be awaited whenever it suits.
/// When the last clone, and the last watch, is dropped, the session is closed in the background.
///
/// A lost connection is found again by the client. What was on its way then is answered
/// [`ConnectionLoss`](crate::Error::ConnectionLoss); what was not yet sent waits. Watches are put
/// back.
///
/// ```no_run
/// # async fn example() -> ostler_client::Result<()> {
/// use ostler_client::{Client, CreateOptions};
///
/// let client = Client::connect("localhost:2181").await?;
/// client.create("/greeting", "hello", &CreateOptions::persistent()).await?;
/// let (data, stat) = client.get("/greeting").await?;
/// assert_eq!((data.as_slice(), stat.version), (&b"hello"[..], 0));
/// client.close().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Client {
    pub(crate) handle: Arc<Handle>,
}

impl Client {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { handle: Arc::new(Handle { shared }) }
    }

    pub(crate) fn core(&self) -> MutexGuard<'_, Core> {
        self.handle.shared.core()
    }

    /// Settings to be made before a client is started.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Starts a client with the default settings and waits until it has a session.
    ///
    /// The string names servers and, optionally, the part of the tree that is to be seen as the
    /// whole: `one:2181,[::1]:2182/chroot`.
    ///
    /// # Errors
    /// As [`Builder::connect`].
    pub async fn connect(connect_string: &str) -> Result<Self> {
        Self::builder().connect(connect_string).await
    }

    /// How the client stands with its servers.
    #[must_use]
    pub fn state(&self) -> State {
        self.core().state
    }

    /// The present state and all that follow.
    #[must_use]
    pub fn states(&self) -> States {
        States { receiver: self.core().watch_states() }
    }

    /// Id and password of the session, once there is one: what [`Builder::resume`] needs.
    ///
    /// ```no_run
    /// # async fn example(client: ostler_client::Client) -> ostler_client::Result<()> {
    /// use ostler_client::Client;
    ///
    /// if let Some((id, password)) = client.session() {
    ///     let heir = Client::builder().resume(id, password).connect("one:2181").await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn session(&self) -> Option<(SessionId, Password)> {
        self.core().session.map(|session| (session.id, session.password))
    }

    /// The session timeout that the server granted, or, before there was a server, the one that is
    /// asked for.
    #[must_use]
    pub fn session_timeout(&self) -> Duration {
        self.core().timeout()
    }

    /// Until when the session certainly lives, on the clock of [`Client::runtime`]: no server ends
    /// it before, whatever has become of the connection. Each answer moves it on. `None` before
    /// a server had the session.
    ///
    /// It is three quarters of the session timeout after the newest answered request was sent, and
    /// right as long as the clocks of both run equally fast and the server that answered is not cut
    /// off from its leader without having noticed, which it has after `syncLimit` ticks. The
    /// recipes' locks go by it.
    #[must_use]
    pub fn certain_until(&self) -> Option<Duration> {
        self.core().certain_until()
    }

    /// The server that serves the session now, as the connect string calls it.
    #[must_use]
    pub fn server(&self) -> Option<String> {
        self.core().server().map(ToString::to_string)
    }

    /// While no server can be reached: how often all of them were tried in vain, and what went
    /// wrong last. `None` before that has happened once, and while there is a connection.
    #[must_use]
    pub fn unreachable(&self) -> Option<(usize, String)> {
        let core = self.core();
        let rounds = core.rounds_failed();
        (rounds > 0).then(|| (rounds, core.last_failure().to_owned()))
    }

    /// The part of the tree that is seen as the whole: a path, or empty.
    #[must_use]
    pub fn chroot(&self) -> &str {
        self.handle.shared.chroot.as_str()
    }

    /// The newest transaction that this client knows to have happened.
    #[must_use]
    pub fn last_zxid(&self) -> Zxid {
        self.core().last_zxid
    }

    /// The runtime it runs on.
    #[must_use]
    pub fn runtime(&self) -> &Arc<dyn Runtime> {
        &self.handle.shared.runtime
    }

    /// Takes another list of servers. The session stays; the connection is moved when its server is
    /// not in the list, or when servers were added and this client is among those who should move
    /// for all servers to have equally many. A chroot in the string is ignored.
    ///
    /// ```no_run
    /// # async fn example(client: ostler_client::Client) -> ostler_client::Result<()> {
    /// client.update_hosts("one:2181,two:2181,four:2181")?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::BadConnectString`](crate::Error::BadConnectString);
    /// [`Error::BadPath`](crate::Error::BadPath) for its chroot.
    pub fn update_hosts(&self, connect_string: &str) -> Result<()> {
        let servers = ConnectString::parse(connect_string)?;
        let now = self.runtime().now();
        let mut core = self.core();
        let chroot = core.chroot.as_str().to_owned();
        let list = connect_string.split('/').next().unwrap_or_default();
        core.settings.servers = format!("{list}{chroot}");
        core.update_hosts(now, servers.hosts);
        drop(core);
        self.handle.shared.wake.notify_one();
        Ok(())
    }

    /// Waits until another operation has room in the queue. Only those who start operations faster
    /// than they await them need it.
    ///
    /// ```no_run
    /// # async fn example(client: ostler_client::Client) -> ostler_client::Result<()> {
    /// let mut replies = Vec::new();
    /// for number in 0..1_000_000 {
    ///     client.ready().await?;
    ///     replies.push(client.delete(&format!("/old/{number}"), None));
    /// }
    /// for reply in replies {
    ///     reply.await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Why there will be no other operation: the client is closed or finished.
    pub async fn ready(&self) -> Result<()> {
        loop {
            let room = self.core().wait_for_room()?;
            match room {
                None => return Ok(()),
                // Whether it is taken by then is seen in the next turn.
                Some(room) => drop(room.await),
            }
        }
    }

    /// Ends the session, behind all operations so far: its ephemeral znodes go, its watches end.
    ///
    /// It waits for the server's word, but not for long: a session that no server could be told of
    /// ends by its timeout.
    ///
    /// # Errors
    /// None at present.
    pub fn close(&self) -> impl Future<Output = Result<()>> + Send + use<> {
        let ended = self.core().close(self.runtime().now());
        self.handle.shared.wake.notify_one();
        async move {
            if let Some(ended) = ended {
                // It can only be dropped by a driver that has ended, and so has the session.
                drop(ended.await);
            }
            Ok(())
        }
    }

    /// Another session with the same settings, credentials that were added since included. For when
    /// this one is lost.
    ///
    /// ```no_run
    /// # async fn example(mut client: ostler_client::Client) -> ostler_client::Result<()> {
    /// use ostler_client::State;
    ///
    /// loop {
    ///     let mut states = client.states();
    ///     while let Some(state) = states.next().await {
    ///         println!("{state:?}");
    ///     }
    ///     if client.state() == State::Lost {
    ///         client = client.reopen().await?;
    ///     }
    /// }
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Builder::connect`].
    pub async fn reopen(&self) -> Result<Self> {
        let settings = {
            let core = self.core();
            let mut settings = core.settings.clone();
            settings.auths = core.credentials();
            settings.resume = None;
            settings
        };
        let servers = settings.servers.clone();
        let shared = &self.handle.shared;
        let runtime = Arc::clone(&shared.runtime);
        let client = Builder::of(settings).launch(runtime, Arc::clone(&shared.launch), &servers)?;
        client.connected().await?;
        Ok(client)
    }

    /// Several writes that are done together or not at all.
    pub fn multi(&self) -> Multi {
        Multi::new(self.clone())
    }

    /// Several reads in one request, each with its own outcome.
    pub fn multi_read(&self) -> MultiRead {
        MultiRead::new(self.clone())
    }

    /// Adds credentials, such as `digest` and `user:password`, for all operations that follow, on
    /// this connection and later ones.
    ///
    /// A server that refuses them ends the session: the reply is
    /// [`Error::AuthFailed`](crate::Error::AuthFailed), and so is everything else from then on.
    ///
    /// ```no_run
    /// # async fn example(client: ostler_client::Client) -> ostler_client::Result<()> {
    /// client.add_auth("digest", b"user:password").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn add_auth(&self, scheme: &str, auth: &[u8]) -> Reply<()> {
        let receiver = self.core().add_auth(scheme, auth);
        self.handle.shared.wake.notify_one();
        Reply::coming(receiver, |answer| answer.map(drop))
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let core = self.core();
        f.debug_struct("Client")
            .field("servers", &core.settings.servers)
            .field("state", &core.state)
            .field("session", &core.session.map(|session| session.id))
            .finish_non_exhaustive()
    }
}
