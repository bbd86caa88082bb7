//! An asynchronous client for Ostler and Apache ZooKeeper, and the recipes on top of it.
//!
//! ```no_run
//! use ostler_client::{Client, CreateOptions, Error, Result};
//!
//! async fn example() -> Result<()> {
//!     let client = Client::connect("one:2181,two:2181,three:2181/app").await?;
//!
//!     // Every operation is a method that returns a future.
//!     client.create("/config", "v1", &CreateOptions::persistent()).await?;
//!     let (data, stat) = client.get("/config").await?;
//!     match client.set("/config", "v2", Some(stat.version)).await {
//!         Ok(stat) => println!("{data:?} was replaced in {}", stat.mzxid),
//!         Err(Error::BadVersion) => println!("somebody else was faster"),
//!         Err(error) => return Err(error),
//!     }
//!
//!     // A watch is a future as well: it is ready at the next change.
//!     let (_, _, watch) = client.get_and_watch("/config").await?;
//!     let event = watch.await;
//!     println!("{:?} at {}", event.kind, event.path);
//!
//!     client.close().await
//! }
//! ```
//!
//! # Order
//!
//! An operation is queued when its method is called, not when its [`Reply`] is first polled. So
//! operations reach the server in the order of the calls, many can be on their way at once, and a
//! reply that is dropped does not take its operation back. Answers come in the same order, and an
//! event always comes before the answer that would show the change.
//!
//! # Connections and sessions
//!
//! A [`Client`] is one session with an ensemble. It tries the servers of its connect string in
//! random order, looks names up anew each time, keeps the session alive, leaves a server that is
//! silent for two thirds of the session timeout, and finds another. Meanwhile its [`State`] is
//! `Suspended`:
//!
//! - what was on its way is answered [`Error::ConnectionLoss`], and may or may not have been done;
//! - what was not yet sent waits for the next connection, unless
//!   [`Builder::request_timeout`] limits the time;
//! - watches are put back, and what one-shot watches have missed is caught up;
//! - credentials are given again.
//!
//! Only the servers can say that a session has expired. Then the state is `Lost`, every call is
//! answered [`Error::SessionExpired`], every watch ends with [`EventKind::SessionLost`], and
//! [`Client::reopen`] makes another client with the same settings. [`Client::states`] is the stream
//! of all that. [`Retry`] repeats what failed because of a connection.
//!
//! The session is closed by [`Client::close`], or in the background when the last clone of the
//! client and the last of its watches are dropped.
//!
//! # Watches
//!
//! [`OneshotWatch`]es are left by reads and fire once; a [`Watch`] stays. Dropping either takes it
//! away, on the server too when no other of this client watches the same.
//!
//! # Runtimes
//!
//! A client runs as one task on the tokio runtime in which it is started, with one thread or
//! several. It can be used from any other runtime. All it needs of the world is in
//! [`runtime::Runtime`] and [`session`]: a simulator can drive it with a clock and a network of its
//! own.
//!
//! # Recipes
//!
//! [`recipes`] has locks, elections, queues, caches and more, made of the above.
//!
//! Reading order: `error`, `node` (data and how znodes are created), `path`, `event` and `state`
//! (what users hold), `hosts`, `reply`, [`runtime`], [`session`] (the machine), `builder`, `io`
//! (the tokio driver), `client`, `multi`, `retry`, [`recipes`].

#![warn(missing_docs)]

mod random;

mod error;
mod node;
mod path;

mod event;
mod state;

mod hosts;
mod reply;

pub mod runtime;

pub mod session;

mod builder;
mod io;

mod client;

mod multi;
mod retry;

pub mod recipes;

pub use ostler_wire::acl::{Acl, Id, Perms};
pub use ostler_wire::ids::{SessionId, WallMs, Zxid};
pub use ostler_wire::stat::Stat;

pub use crate::builder::Builder;
pub use crate::client::Client;
pub use crate::error::{Error, Result};
pub use crate::event::{Event, EventKind, OneshotWatch, Watch, WatchKind, WatchMode};
pub use crate::multi::{Multi, MultiRead, MultiResult, Read};
pub use crate::node::{CreateOptions, Created, Data};
pub use crate::reply::Reply;
pub use crate::retry::Retry;
pub use crate::runtime::{Runtime, TokioRuntime};
pub use crate::state::{State, States};
