//! Recipes: what many processes do together, made of nodes, watches and sessions.
//!
//! They interoperate with Apache Curator's and kazoo's where those share a layout on the server,
//! which each recipe's page names, next to what it guarantees when the session is lost.
//!
//! Common to all: a path's missing parents are made as containers (those of queues are ordinary).
//! Broken connections are waited out; what cannot be waited out is the end of the session, and that
//! is an error or a [`Guard::lost`]. Futures may be dropped at any time and leave nothing behind
//! (queues say where that is not so). Time and tasks are the client's [`crate::Runtime`]'s, so
//! recipes run wherever a client does.

mod barrier;
mod counter;
mod delay_queue;
mod discovery;
mod double_barrier;
mod election;
mod group;
mod guard;
mod latch;
mod line;
mod multi_lock;
mod mutex;
mod node_cache;
mod order;
mod persistent_node;
mod priority_queue;
mod queue;
mod rw_lock;
mod seat;
mod semaphore;
mod sessions;
mod shared_value;
mod steady;
mod tree_cache;

pub use barrier::Barrier;
pub use counter::{Counter, Form};
pub use delay_queue::DelayQueue;
pub use discovery::{
    Discovery, DownPolicy, InvalidInstance, InvalidUriSpec, Registration, ServiceInstance,
    ServiceProvider, ServiceType, Strategy, UriSpec,
};
pub use double_barrier::{DoubleBarrier, Inside};
pub use election::{Election, Outcome, Term};
pub use group::{Group, GroupEvent, GroupEvents, Member};
pub use guard::Guard;
pub use latch::{LeaderLatch, Leadership};
pub use multi_lock::{MultiGuard, MultiLock};
pub use mutex::{Mutex, ReentrantMutex};
pub use node_cache::NodeCache;
pub use persistent_node::PersistentNode;
pub use priority_queue::PriorityQueue;
pub use queue::{Item, LockingQueue, Queue};
pub use rw_lock::RwLock;
pub use seat::Layout;
pub use semaphore::Semaphore;
pub use sessions::Sessions;
pub use shared_value::{SharedCount, SharedValue, Versioned};
pub use tree_cache::{CacheEvent, CacheEvents, CacheOptions, Node, TreeCache};
