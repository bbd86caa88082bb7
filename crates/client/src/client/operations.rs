//! The operations without watches, each a method.

use ostler_wire::acl::Acl;
use ostler_wire::jute::{DecodeError, Reader, Text};
use ostler_wire::request::{Request, acl_entries};
use ostler_wire::stat::Stat;

use crate::client::Client;
use crate::error::{Error, Result};
use crate::node::{CreateOptions, Created, Data};
use crate::path;
use crate::reply::{Reply, decoded};
use crate::session::queue::Purpose;

/// What expects any version.
const ANY: i32 = -1;

/// Where servers keep the configuration of the ensemble, whatever the chroot.
pub(super) const CONFIG: &str = "/zookeeper/config";

impl Client {
    /// The server's path of a path that is valid.
    fn checked(&self, path: &str) -> Result<String> {
        path::check(path)?;
        Ok(self.handle.outward(path))
    }

    /// Queues a request, if its path was valid.
    fn ask<T>(
        &self,
        request: core::result::Result<Request<'_>, &Error>,
        read: impl FnOnce(&mut Reader<'_>) -> core::result::Result<T, DecodeError> + Send + 'static,
    ) -> Reply<T> {
        match request {
            Ok(request) => Reply::reading(self.handle.call(&request, Purpose::Plain), read),
            Err(error) => Reply::refused(error.clone()),
        }
    }

    /// Creates a znode.
    ///
    /// ```no_run
    /// # async fn example(client: ostler_client::Client) -> ostler_client::Result<()> {
    /// use ostler_client::CreateOptions;
    ///
    /// let options = CreateOptions::ephemeral().sequential();
    /// let member = client.create("/members/m-", "10.0.0.1:80", &options).await?;
    /// println!("{} at {}", member.path, member.stat.czxid);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Errors: [`Error::NodeExists`]; [`Error::NoNode`] when the parent is missing;
    /// [`Error::NoChildrenForEphemerals`]; [`Error::NoAuth`]; [`Error::InvalidAcl`];
    /// [`Error::QuotaExceeded`].
    pub fn create(
        &self,
        path: &str,
        data: impl Into<Data>,
        options: &CreateOptions,
    ) -> Reply<Created> {
        if let Err(error) = options.check_path(path) {
            return Reply::refused(error);
        }
        let data = data.into();
        let path = self.handle.outward(path);
        let receiver = self.handle.call(&options.request(&path, &data), Purpose::Plain);
        let chroot = self.handle.shared.chroot.clone();
        Reply::reading(receiver, move |from| {
            Ok(Created { path: chroot.inward(&from.text()?), stat: Stat::read(from)? })
        })
    }

    /// Deletes a znode that has no children, if its version is the expected one.
    ///
    /// Errors: [`Error::NoNode`], [`Error::NotEmpty`], [`Error::BadVersion`], [`Error::NoAuth`].
    pub fn delete(&self, path: &str, version: Option<i32>) -> Reply<()> {
        let version = version.unwrap_or(ANY);
        // The root is never deleted, and with a chroot this would be another znode.
        let path = if path == "/" { Err(Error::BadArguments) } else { self.checked(path) };
        let request = path.as_deref().map(|path| Request::Delete { path: path.into(), version });
        self.ask(request, |_| Ok(()))
    }

    /// Sets the data of a znode, if its version is the expected one.
    ///
    /// ```no_run
    /// # async fn example(client: ostler_client::Client) -> ostler_client::Result<()> {
    /// // Only if nobody else has changed it since it was read.
    /// let (data, stat) = client.get("/counter").await?;
    /// let more = [&data[..], b"+1"].concat();
    /// client.set("/counter", more, Some(stat.version)).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Errors: [`Error::NoNode`], [`Error::BadVersion`], [`Error::NoAuth`],
    /// [`Error::QuotaExceeded`].
    pub fn set(&self, path: &str, data: impl Into<Data>, version: Option<i32>) -> Reply<Stat> {
        let version = version.unwrap_or(ANY);
        let data = data.into();
        let data = data.as_slice();
        let path = self.checked(path);
        let request =
            path.as_deref().map(|path| Request::SetData { path: path.into(), data, version });
        self.ask(request, Stat::read)
    }

    /// Data and stat of a znode; null data read as empty.
    ///
    /// Errors: [`Error::NoNode`], [`Error::NoAuth`].
    pub fn get(&self, path: &str) -> Reply<(Vec<u8>, Stat)> {
        let path = self.checked(path);
        let request =
            path.as_deref().map(|path| Request::GetData { path: path.into(), watch: false });
        self.ask(request, read_data)
    }

    /// Data, which can be null, and stat of a znode.
    ///
    /// Errors: [`Error::NoNode`], [`Error::NoAuth`].
    pub fn get_nullable(&self, path: &str) -> Reply<(Option<Vec<u8>>, Stat)> {
        let path = self.checked(path);
        let request =
            path.as_deref().map(|path| Request::GetData { path: path.into(), watch: false });
        self.ask(request, read_nullable)
    }

    /// The stat of a znode, if it exists.
    ///
    /// Errors: [`Error::NoAuth`].
    pub fn exists(&self, path: &str) -> Reply<Option<Stat>> {
        if let Err(error) = path::check(path) {
            return Reply::refused(error);
        }
        let path = self.handle.outward(path);
        let request = Request::Exists { path: path.as_str().into(), watch: false };
        Reply::coming(self.handle.call(&request, Purpose::Plain), |answer| match answer {
            Ok(body) => decoded(&body, Stat::read).map(Some),
            Err(Error::NoNode) => Ok(None),
            Err(error) => Err(error),
        })
    }

    /// The names of a znode's children, in no particular order, and its stat.
    ///
    /// Errors: [`Error::NoNode`], [`Error::NoAuth`].
    pub fn children(&self, path: &str) -> Reply<(Vec<String>, Stat)> {
        let path = self.checked(path);
        let request =
            path.as_deref().map(|path| Request::GetChildren2 { path: path.into(), watch: false });
        self.ask(request, read_children)
    }

    /// Waits until the server has caught up with all that was done anywhere before the call: reads
    /// behind it see that.
    ///
    /// ```no_run
    /// # async fn example(client: ostler_client::Client) -> ostler_client::Result<()> {
    /// let caught_up = client.sync("/config");
    /// let (newest, _) = client.get("/config").await?;
    /// caught_up.await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn sync(&self, path: &str) -> Reply<()> {
        let path = self.checked(path);
        let request = path.as_deref().map(|path| Request::Sync { path: Some(path.into()) });
        self.ask(request, |_| Ok(()))
    }

    /// Who may do what with a znode, and its stat.
    ///
    /// Errors: [`Error::NoNode`], [`Error::NoAuth`].
    pub fn acl(&self, path: &str) -> Reply<(Vec<Acl>, Stat)> {
        let read = |from: &mut Reader<'_>| Ok((Acl::read_list(from)?, Stat::read(from)?));
        let path = self.checked(path);
        let request = path.as_deref().map(|path| Request::GetAcl { path: path.into() });
        self.ask(request, read)
    }

    /// Says who may do what with a znode, if its ACL's version (`aversion`) is the expected one.
    ///
    /// ```no_run
    /// # async fn example(client: ostler_client::Client) -> ostler_client::Result<()> {
    /// use ostler_client::{Acl, Id, Perms};
    ///
    /// let anyone = Acl { perms: Perms::READ, id: Id::new("world", "anyone") };
    /// let acl = [Acl::creator_all(), vec![anyone]].concat();
    /// client.set_acl("/public", acl, None).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Errors: [`Error::NoNode`], [`Error::BadVersion`], [`Error::NoAuth`], [`Error::InvalidAcl`].
    pub fn set_acl(&self, path: &str, acl: Vec<Acl>, version: Option<i32>) -> Reply<Stat> {
        let version = version.unwrap_or(ANY);
        let acl = Some(acl_entries(&acl));
        let path = self.checked(path);
        let request =
            path.as_deref().map(|path| Request::SetAcl { path: path.into(), acl, version });
        self.ask(request, Stat::read)
    }

    /// The ephemeral znodes of this session whose paths begin with the text `prefix`.
    pub fn ephemerals(&self, prefix: &str) -> Reply<Vec<String>> {
        let chroot = self.handle.shared.chroot.clone();
        let prefix = self.checked(prefix);
        let request =
            prefix.as_deref().map(|prefix| Request::GetEphemerals { prefix: Some(prefix.into()) });
        self.ask(request, move |from| {
            let paths = from.vector(|from| Ok(chroot.inward(&from.text()?)))?;
            Ok(paths.unwrap_or_default())
        })
    }

    /// How many znodes are below a znode, on all levels.
    ///
    /// Errors: [`Error::NoNode`], [`Error::NoAuth`].
    pub fn descendants_count(&self, path: &str) -> Reply<i32> {
        let path = self.checked(path);
        let request =
            path.as_deref().map(|path| Request::GetAllChildrenNumber { path: path.into() });
        self.ask(request, |from| from.int())
    }

    /// Who the server takes this client for: schemes and ids, its address among them.
    pub fn whoami(&self) -> Reply<Vec<(String, String)>> {
        let receiver = self.handle.call(&Request::WhoAmI, Purpose::Plain);
        Reply::reading(receiver, |from| {
            let read =
                |from: &mut Reader<'_>| Ok((from.text()?.into_owned(), from.text()?.into_owned()));
            Ok(from.vector(read)?.unwrap_or_default())
        })
    }

    /// The configuration of the ensemble and the stat of its znode, whatever the chroot.
    ///
    /// ```no_run
    /// # async fn example(client: ostler_client::Client) -> ostler_client::Result<()> {
    /// let (text, _) = client.config().await?;
    /// for line in String::from_utf8_lossy(&text).lines() {
    ///     println!("{line}"); // server.1=one:2888:3888:participant;2181
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn config(&self) -> Reply<(Vec<u8>, Stat)> {
        let request = Request::GetData { path: CONFIG.into(), watch: false };
        Reply::reading(self.handle.call(&request, Purpose::Plain), read_data)
    }

    /// Changes the members of the ensemble: servers that join (`server.5=…` lines, separated by
    /// commas), ids of servers that leave, or instead of both a whole new list; -1 for any version
    /// of the configuration. The answer is the new configuration.
    ///
    /// Errors: [`Error::ReconfigDisabled`], [`Error::NoAuth`], [`Error::BadVersion`],
    /// [`Error::BadArguments`], [`Error::NewConfigNoQuorum`], [`Error::ReconfigInProgress`].
    pub fn reconfig(
        &self,
        joining: Option<&str>,
        leaving: Option<&str>,
        members: Option<&str>,
        version: i64,
    ) -> Reply<(Vec<u8>, Stat)> {
        let request = Request::Reconfig {
            joining: joining.map(Text::from),
            leaving: leaving.map(Text::from),
            members: members.map(Text::from),
            config_id: version,
        };
        Reply::reading(self.handle.call(&request, Purpose::Plain), read_data)
    }
}

pub(super) fn read_nullable(
    from: &mut Reader<'_>,
) -> core::result::Result<(Option<Vec<u8>>, Stat), DecodeError> {
    Ok((from.buffer()?.map(<[u8]>::to_vec), Stat::read(from)?))
}

pub(super) fn read_data(
    from: &mut Reader<'_>,
) -> core::result::Result<(Vec<u8>, Stat), DecodeError> {
    read_nullable(from).map(|(data, stat)| (data.unwrap_or_default(), stat))
}

pub(super) fn read_children(
    from: &mut Reader<'_>,
) -> core::result::Result<(Vec<String>, Stat), DecodeError> {
    Ok((read_names(from)?, Stat::read(from)?))
}

fn read_names(from: &mut Reader<'_>) -> core::result::Result<Vec<String>, DecodeError> {
    let names = from.vector(|from| from.text().map(Text::into_owned))?;
    Ok(names.unwrap_or_default())
}
