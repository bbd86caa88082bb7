//! The task behind a cache: sends the reads that [`View`](super::view::View) wants, and tells it
//! what comes back.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;
use ostler_wire::stat::Stat;
use tokio::sync::oneshot;

use super::super::sessions::Sessions;
use super::super::steady::{insist, pause};
use super::Shared;
use super::view::{Answer, Change, Read};
use crate::runtime::{Either, race};
use crate::{Client, Error, Event, EventKind, Reply, Result, State, States, Watch, WatchMode};

pub(super) struct Follower {
    shared: Arc<Shared>,
    /// Ready when the cache is gone.
    ended: oneshot::Receiver<()>,
    /// The reads under way, in the order in which they were sent.
    under_way: VecDeque<UnderWay>,
    /// The present session is not the first one.
    renewed: bool,
    /// Refused calls in a row.
    tries: u32,
}

/// What wakes the follower, the most urgent first. States come before answers, since answers from
/// before the link broke do not count; events before answers, since both of them come in the order
/// in which the server sent them only so.
enum Wake {
    Ended,
    State(Option<State>),
    Event(Option<Event>),
    Answer(Result<Answer>),
}

struct Session {
    client: Client,
    /// Made before the watch: no break of the link is missed.
    states: States,
    watch: Watch,
}

/// Why a session is left.
enum Left {
    Ended,
    Lost,
}

impl Follower {
    pub(super) fn start(shared: Arc<Shared>, sessions: Sessions, ended: oneshot::Receiver<()>) {
        let runtime = Arc::clone(sessions.client().runtime());
        let under_way = VecDeque::new();
        let follower = Self { shared, ended, under_way, renewed: false, tries: 0 };
        runtime.spawn(Box::pin(follower.run(sessions)));
    }

    async fn run(mut self, sessions: Sessions) {
        loop {
            let opened = race(&mut self.ended, open(&sessions, &self.shared, self.renewed)).await;
            let left = match opened {
                Either::Left(_) => return,
                Either::Right(Ok(mut session)) => self.follow(&mut session).await,
                Either::Right(Err(Error::SessionExpired)) => Ok(Left::Lost),
                Either::Right(Err(error)) => Err(error),
            };
            match left {
                Ok(Left::Ended) => return,
                Ok(Left::Lost) => self.renewed = true,
                Err(error) => return self.shared.give_up(error),
            }
            self.fall_behind();
        }
    }

    /// Keeps the tree as the servers have it while the session lasts.
    async fn follow(&mut self, session: &mut Session) -> Result<Left> {
        loop {
            self.send(&session.client);
            match self.wake(session).await {
                Wake::Ended => return Ok(Left::Ended),
                Wake::State(Some(State::Connected | State::ConnectedReadOnly)) => self.walk(),
                Wake::State(Some(State::AuthFailed)) => return Err(Error::AuthFailed),
                Wake::State(Some(State::Closed) | None) => return Err(Error::Closed),
                Wake::State(Some(State::Lost)) => return Ok(Left::Lost),
                Wake::State(Some(_)) => self.fall_behind(),
                Wake::Event(Some(event)) => self.event(&event),
                // The session's end; its state tells the same.
                Wake::Event(None) => return Ok(Left::Lost),
                Wake::Answer(Ok(answer)) => {
                    self.tries = 0;
                    self.shared.change(|view| view.answer(answer));
                }
                Wake::Answer(Err(Error::SessionExpired)) => return Ok(Left::Lost),
                Wake::Answer(Err(Error::Closed)) => return Err(Error::Closed),
                Wake::Answer(Err(_)) => {
                    self.fall_behind();
                    pause(&session.client, &mut self.tries).await;
                    // When the link is down, its coming back is a state of its own.
                    if session.client.state().is_connected() {
                        self.walk();
                    }
                }
            }
        }
    }

    fn walk(&mut self) {
        self.fall_behind();
        let renewed = std::mem::take(&mut self.renewed);
        self.shared.change(|view| view.begin_walk(renewed));
    }

    fn fall_behind(&mut self) {
        self.under_way.clear();
        self.shared.fall_behind();
    }

    fn event(&self, event: &Event) {
        let change = match event.kind {
            EventKind::Created | EventKind::DataChanged => Change::Set,
            EventKind::Deleted => Change::Deleted,
            _ => return,
        };
        self.shared.change(|view| view.event(&change, &event.path, event.zxid));
    }

    fn send(&mut self, client: &Client) {
        let reads_max = self.shared.reads_max;
        while let Some(read) = self.shared.change(|view| view.next_read(reads_max)) {
            self.under_way.push_back(UnderWay::send(client, &read));
        }
    }

    async fn wake(&mut self, session: &mut Session) -> Wake {
        std::future::poll_fn(|context| {
            if Pin::new(&mut self.ended).poll(context).is_ready() {
                return Poll::Ready(Wake::Ended);
            }
            if let Poll::Ready(state) = Pin::new(&mut session.states).poll_next(context) {
                return Poll::Ready(Wake::State(state));
            }
            if let Poll::Ready(event) = Pin::new(&mut session.watch).poll_next(context) {
                return Poll::Ready(Wake::Event(event));
            }
            let Some(oldest) = self.under_way.front_mut() else { return Poll::Pending };
            let Poll::Ready(answer) = oldest.poll(context) else { return Poll::Pending };
            self.under_way.pop_front();
            Poll::Ready(Wake::Answer(answer))
        })
        .await
    }
}

/// Has a session and sets its watch. The server of a session that is not the first may be behind
/// the one that was asked last, so it is told to catch up.
async fn open(sessions: &Sessions, shared: &Shared, renewed: bool) -> Result<Session> {
    let client = sessions.live().await?;
    let (root, alone) = {
        let tree = shared.tree.lock().expect("nobody panics with it");
        let scope = tree.view.scope();
        (scope.root.clone(), scope.depth_max == Some(0))
    };
    let mode = if alone { WatchMode::Persistent } else { WatchMode::PersistentRecursive };
    let states = client.states();
    let watch = insist(&client, || client.watch(&root, mode)).await?;
    if renewed {
        catch_up(&client, &root).await;
    }
    Ok(Session { client, states, watch })
}

/// Has the server catch up with the others. One without a quorum refuses: it has nobody to ask.
async fn catch_up(client: &Client, path: &str) {
    let mut tries = 0;
    while client.sync(path).await.is_err_and(|error| error.is_retryable()) {
        pause(client, &mut tries).await;
    }
}

struct UnderWay {
    node: Option<Reply<(Vec<u8>, Stat)>>,
    got: Option<Result<(Vec<u8>, Stat)>>,
    children: Option<Reply<(Vec<String>, Stat)>>,
}

impl UnderWay {
    fn send(client: &Client, read: &Read) -> Self {
        let node = Some(client.get(&read.path));
        let children = read.children.then(|| client.children(&read.path));
        Self { node, got: None, children }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Answer>> {
        if let Some(node) = &mut self.node {
            let Poll::Ready(got) = Pin::new(node).poll(context) else { return Poll::Pending };
            self.node = None;
            self.got = Some(got);
        }
        let mut names = Vec::new();
        if let Some(children) = &mut self.children {
            match Pin::new(children).poll(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok((children, _))) => names = children,
                // Gone or locked: what the data's answer said counts.
                Poll::Ready(Err(Error::NoNode | Error::NoAuth)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(match self.got.take().expect("it was answered first") {
            Ok((data, stat)) => Ok(Answer::Node { data, stat, children: names }),
            Err(Error::NoNode | Error::NoAuth) => Ok(Answer::Missing),
            Err(error) => Err(error),
        })
    }
}
