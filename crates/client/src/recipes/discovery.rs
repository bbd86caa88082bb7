//! Service discovery: which instances of a service there are, and which one to use next.

mod instance;
mod provider;
mod strategy;
mod uri;

use std::fmt;

use super::persistent_node::PersistentNode;
use super::sessions::Sessions;
use super::steady::{ensure_parent, insist, join, passes, pause};
use super::tree_cache::Node;
use crate::{CreateOptions, Error, Result};

pub use instance::{InvalidInstance, ServiceInstance, ServiceType};
pub use provider::{DownPolicy, ServiceProvider};
pub use strategy::Strategy;
pub use uri::{InvalidUriSpec, UriSpec};

/// Registers instances of services and finds them: Curator's `ServiceDiscovery`, and the two see
/// each other's. An instance is a znode `<base path>/<service>/<id>` that holds a
/// [`ServiceInstance`] as JSON; the znode of a dynamic one is ephemeral.
///
/// **When a session is lost** its instances are gone for the others, and are registered again with
/// the next session.
///
/// ```no_run
/// # async fn example(client: &ostler_client::Client) -> ostler_client::Result<()> {
/// use ostler_client::recipes::{Discovery, ServiceInstance, Strategy};
///
/// let discovery = Discovery::new(client, "/services");
/// let mut instance = ServiceInstance::new("web", "web-1");
/// instance.address = Some("10.0.0.1".to_owned());
/// instance.port = Some(8080);
/// let registration = discovery.register(instance).await?;
///
/// let web = discovery.provider("web", Strategy::round_robin());
/// web.ready().await?;
/// if let Some(instance) = web.choose() {
///     println!("asking {:?}:{:?}", instance.address, instance.port);
/// }
/// registration.unregister().await?;
/// # Ok(())
/// # }
/// ```
pub struct Discovery {
    sessions: Sessions,
    base_path: String,
}

impl Discovery {
    /// The services below `base_path`.
    ///
    /// `sessions` is a [`Client`](crate::Client) or [`Sessions`] shared with other recipes.
    pub fn new(sessions: impl Into<Sessions>, base_path: &str) -> Self {
        Self { sessions: sessions.into(), base_path: base_path.to_owned() }
    }

    /// Registers an instance; returns when it is there. An instance of the same id is replaced.
    ///
    /// # Errors
    /// When the servers refuse it or the client is closed.
    pub async fn register(&self, instance: ServiceInstance) -> Result<Registration> {
        let path = self.path(&instance.name, &instance.id);
        let json = instance.to_json();
        let node = if instance.service_type.is_dynamic() {
            let options = CreateOptions::ephemeral();
            let node = PersistentNode::new(&self.sessions, &path, json, options)?;
            node.placed().await?;
            Some(node)
        } else {
            put(&self.sessions, &path, &json).await?;
            None
        };
        Ok(Registration { sessions: self.sessions.clone(), path, node })
    }

    /// The names of all services that were ever registered and not cleared away since.
    ///
    /// # Errors
    /// When the servers refuse it or the session is over.
    pub async fn names(&self) -> Result<Vec<String>> {
        self.children(&self.base_path).await
    }

    /// The instances of a service in the order of their ids. What cannot be read is left out.
    ///
    /// # Errors
    /// When the servers refuse it or the session is over.
    pub async fn instances(&self, service: &str) -> Result<Vec<ServiceInstance>> {
        let mut ids = self.children(&join(&self.base_path, service)).await?;
        ids.sort_unstable();
        // All are asked for before the first answer is waited for.
        let client = self.sessions.live().await?;
        let asked: Vec<_> =
            ids.iter().map(|id| (id, client.get(&self.path(service, id)))).collect();
        let mut instances = Vec::new();
        for (id, answer) in asked {
            let data = match answer.await {
                Ok((data, _)) => ServiceInstance::from_json(&data).ok(),
                Err(Error::NoNode) => None,
                Err(error) if passes(&error) => self.instance(service, id).await?,
                Err(error) => return Err(error),
            };
            instances.extend(data);
        }
        Ok(instances)
    }

    /// One instance; nothing when it is not there or cannot be read.
    ///
    /// # Errors
    /// When the servers refuse it or the session is over.
    pub async fn instance(&self, service: &str, id: &str) -> Result<Option<ServiceInstance>> {
        let client = self.sessions.live().await?;
        let path = self.path(service, id);
        match insist(&client, || client.get(&path)).await {
            Ok((data, _)) => Ok(ServiceInstance::from_json(&data).ok()),
            Err(Error::NoNode) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Follows the instances of a service, and chooses among them.
    pub fn provider(&self, service: &str, strategy: Strategy) -> ServiceProvider {
        let path = join(&self.base_path, service);
        ServiceProvider::new(&self.sessions, &path, strategy)
    }

    fn path(&self, service: &str, id: &str) -> String {
        join(&join(&self.base_path, service), id)
    }

    async fn children(&self, path: &str) -> Result<Vec<String>> {
        let client = self.sessions.live().await?;
        match insist(&client, || client.children(path)).await {
            Ok((names, _)) => Ok(names),
            Err(Error::NoNode) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }
}

impl fmt::Debug for Discovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Discovery").field("base_path", &self.base_path).finish_non_exhaustive()
    }
}

/// Writes the znode of an instance that outlives its session.
async fn put(sessions: &Sessions, path: &str, json: &str) -> Result<()> {
    let client = sessions.live().await?;
    let mut tries = 0;
    loop {
        match client.create(path, json, &CreateOptions::persistent()).await {
            Ok(_) => return Ok(()),
            Err(Error::NoNode) => ensure_parent(&client, path).await?,
            Err(Error::NodeExists) => {
                match insist(&client, || client.set(path, json, None)).await {
                    Ok(_) => return Ok(()),
                    Err(Error::NoNode) => {}
                    Err(error) => return Err(error),
                }
            }
            Err(error) if passes(&error) => pause(&client, &mut tries).await,
            Err(error) => return Err(error),
        }
    }
}

/// A registered instance. Dropping it unregisters a dynamic one in the background; a static one
/// stays.
#[derive(Debug)]
#[must_use = "a dynamic instance is unregistered when dropped"]
pub struct Registration {
    sessions: Sessions,
    path: String,
    /// Of a dynamic instance.
    node: Option<PersistentNode>,
}

impl Registration {
    /// The path of the instance's znode.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Changes what is known of the instance. Its name and id stay those it was registered with.
    ///
    /// # Errors
    /// When the servers refuse it or the client is closed.
    pub async fn update(&self, instance: &ServiceInstance) -> Result<()> {
        match &self.node {
            Some(node) => node.set(instance.to_json()).await,
            None => put(&self.sessions, &self.path, &instance.to_json()).await,
        }
    }

    /// Unregisters it, and returns when nobody sees it any more.
    ///
    /// # Errors
    /// When the servers refuse it or the client is closed.
    pub async fn unregister(self) -> Result<()> {
        let Some(node) = self.node else {
            let client = self.sessions.live().await?;
            return match insist(&client, || client.delete(&self.path, None)).await {
                Ok(()) | Err(Error::NoNode) => Ok(()),
                Err(error) => Err(error),
            };
        };
        node.close().await
    }
}

/// The instance in a cached znode.
fn instance_of(node: &Node) -> Option<ServiceInstance> {
    ServiceInstance::from_json(&node.data).ok()
}
