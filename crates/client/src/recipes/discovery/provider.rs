//! The instances of one service as they come and go, and the choice among them.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::instance::ServiceInstance;
use super::instance_of;
use super::strategy::Strategy;
use crate::recipes::sessions::Sessions;
use crate::recipes::tree_cache::{CacheEvents, CacheOptions, Node, TreeCache};
use crate::{Result, Runtime};

/// When an instance that does not work is passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DownPolicy {
    /// After so many errors,
    pub errors: u32,
    /// until so long after the first of them.
    pub time: Duration,
}

impl Default for DownPolicy {
    /// Two errors, half a minute: as Curator has it.
    fn default() -> Self {
        Self { errors: 2, time: Duration::from_secs(30) }
    }
}

/// Follows the instances of a service, and chooses among them; see
/// [`Discovery::provider`](super::Discovery::provider). Dropping it ends that.
///
/// While the link is broken it chooses among those that were there last.
///
/// ```no_run
/// # async fn call(instance: &ostler_client::recipes::ServiceInstance) -> bool { true }
/// # async fn example(client: &ostler_client::Client) -> ostler_client::Result<()> {
/// use ostler_client::recipes::{Discovery, Strategy};
///
/// let web = Discovery::new(client, "/services").provider("web", Strategy::random());
/// web.ready().await?;
/// while let Some(instance) = web.choose() {
///     if call(&instance).await {
///         break;
///     }
///     // After two of these it is not chosen for a while.
///     web.note_error(&instance);
/// }
/// # Ok(())
/// # }
/// ```
pub struct ServiceProvider {
    cache: TreeCache,
    path: String,
    runtime: Arc<dyn Runtime>,
    policy: DownPolicy,
    choice: Mutex<Choice>,
}

struct Choice {
    strategy: Strategy,
    /// What the znodes hold, by path, so that each is read once.
    known: BTreeMap<String, (Arc<Node>, Option<Arc<ServiceInstance>>)>,
    /// By id: the number of errors, and the time of the first.
    errors: HashMap<String, (u32, Duration)>,
}

impl ServiceProvider {
    pub(super) fn new(sessions: &Sessions, path: &str, strategy: Strategy) -> Self {
        let runtime = Arc::clone(sessions.client().runtime());
        let cache = TreeCache::new(sessions, path, &CacheOptions::new().depth(1));
        let choice = Choice { strategy, known: BTreeMap::new(), errors: HashMap::new() };
        let choice = Mutex::new(choice);
        Self { cache, path: path.to_owned(), runtime, policy: DownPolicy::default(), choice }
    }

    /// Passes over instances that do not work by another rule.
    #[must_use]
    pub fn down_policy(mut self, policy: DownPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Waits until it is known which instances there are.
    ///
    /// # Errors
    /// As [`TreeCache::ready`].
    pub async fn ready(&self) -> Result<()> {
        self.cache.ready().await
    }

    /// The enabled instances that are not down, in the order of their ids.
    pub fn instances(&self) -> Vec<Arc<ServiceInstance>> {
        self.usable(&mut self.choice.lock().expect("nobody panics with it"))
    }

    /// The instance to use next; nothing when there is none.
    pub fn choose(&self) -> Option<Arc<ServiceInstance>> {
        let mut choice = self.choice.lock().expect("nobody panics with it");
        let usable = self.usable(&mut choice);
        choice.strategy.choose(&usable, || self.runtime.random())
    }

    /// Tells that an instance did not work. After some errors it is passed over for a while; see
    /// [`DownPolicy`].
    pub fn note_error(&self, instance: &ServiceInstance) {
        let mut choice = self.choice.lock().expect("nobody panics with it");
        self.forget_old_errors(&mut choice);
        let first = (0, self.runtime.now());
        choice.errors.entry(instance.id.clone()).or_insert(first).0 += 1;
    }

    /// The changes of the service's znodes, for those who want to know at once.
    pub fn events(&self) -> CacheEvents {
        self.cache.events()
    }

    fn usable(&self, choice: &mut Choice) -> Vec<Arc<ServiceInstance>> {
        self.forget_old_errors(choice);
        let mut known = std::mem::take(&mut choice.known);
        for node in self.cache.children(&self.path) {
            let read = known.remove(&node.path).filter(|(old, _)| Arc::ptr_eq(old, &node));
            let read = read.unwrap_or_else(|| {
                let instance = instance_of(&node).map(Arc::new);
                (Arc::clone(&node), instance)
            });
            choice.known.insert(node.path.clone(), read);
        }
        let instances = choice.known.values().filter_map(|(_, instance)| instance.as_ref());
        let is_up = |instance: &&Arc<ServiceInstance>| {
            let errors = choice.errors.get(&instance.id).map_or(0, |(errors, _)| *errors);
            instance.enabled && errors < self.policy.errors
        };
        instances.filter(is_up).cloned().collect()
    }

    fn forget_old_errors(&self, choice: &mut Choice) {
        let now = self.runtime.now();
        choice.errors.retain(|_, (_, first)| now.saturating_sub(*first) < self.policy.time);
    }
}

impl fmt::Debug for ServiceProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceProvider").field("path", &self.path).finish_non_exhaustive()
    }
}
