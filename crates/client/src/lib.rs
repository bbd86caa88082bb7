//! An asynchronous client for Ostler and Apache ZooKeeper, and the recipes on top of it.

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
