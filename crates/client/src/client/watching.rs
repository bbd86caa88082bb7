//! The operations that leave watches or take them away.

use std::sync::Arc;

use ostler_wire::jute::{DecodeError, Reader};
use ostler_wire::request::Request;
use ostler_wire::stat::Stat;
use tokio::sync::{mpsc, oneshot};

use crate::client::Client;
use crate::client::operations::{CONFIG, read_children, read_data};
use crate::error::{Error, Result};
use crate::event::{OneshotWatch, Place, Watch, WatchKind, WatchMode};
use crate::path;
use crate::reply::{Answer, Reply, decoded};
use crate::session::queue::Purpose;
use crate::session::watches::{Subscriber, Table};

impl Client {
    fn place(&self, path: &str, table: Table) -> Place {
        Place { handle: Arc::clone(&self.handle), path: path.to_owned(), table }
    }

    /// Queues a request that leaves a one-shot watch on the server's `path`.
    fn leave<T: 'static>(
        &self,
        path: &str,
        table: Table,
        request: &Request<'_>,
        finish: impl FnOnce(Answer, OneshotWatch) -> Result<T> + Send + 'static,
    ) -> Reply<T> {
        let (sender, receiver) = oneshot::channel();
        let purpose = Purpose::Watch {
            path: path.to_owned(),
            table,
            subscriber: Subscriber::Once(sender),
            is_exists: matches!(request, Request::Exists { .. }),
        };
        let answer = self.handle.call(request, purpose);
        let watch = OneshotWatch::new(receiver, self.place(path, table));
        Reply::coming(answer, move |answer| finish(answer, watch))
    }

    /// [`get`](Self::get), and a watch for the next change: the data are set, or the znode is
    /// deleted.
    ///
    /// ```no_run
    /// # async fn example(client: ostler_client::Client) -> ostler_client::Result<()> {
    /// loop {
    ///     let (config, _, watch) = client.get_and_watch("/config").await?;
    ///     println!("configured: {config:?}");
    ///     watch.await;
    /// }
    /// # }
    /// ```
    ///
    /// Errors: [`Error::NoNode`], [`Error::NoAuth`], and no watch is left.
    pub fn get_and_watch(&self, path: &str) -> Reply<(Vec<u8>, Stat, OneshotWatch)> {
        match path::check(path) {
            Ok(()) => self.get_and_watch_full(&self.handle.outward(path)),
            Err(error) => Reply::refused(error),
        }
    }

    /// [`config`](Self::config), and a watch for its next change.
    pub fn config_and_watch(&self) -> Reply<(Vec<u8>, Stat, OneshotWatch)> {
        self.get_and_watch_full(CONFIG)
    }

    fn get_and_watch_full(&self, path: &str) -> Reply<(Vec<u8>, Stat, OneshotWatch)> {
        let request = Request::GetData { path: path.into(), watch: true };
        self.leave(path, Table::Data, &request, |answer, watch| {
            let (data, stat) = decoded(&answer?, read_data)?;
            Ok((data, stat, watch))
        })
    }

    /// [`exists`](Self::exists), and a watch for the next change: the znode is created or deleted,
    /// or its data are set.
    ///
    /// ```no_run
    /// # async fn example(client: ostler_client::Client) -> ostler_client::Result<()> {
    /// // Wait until somebody creates it.
    /// let (stat, watch) = client.exists_and_watch("/ready").await?;
    /// if stat.is_none() {
    ///     watch.await;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Errors: [`Error::NoAuth`], and no watch is left.
    pub fn exists_and_watch(&self, path: &str) -> Reply<(Option<Stat>, OneshotWatch)> {
        if let Err(error) = path::check(path) {
            return Reply::refused(error);
        }
        let path = self.handle.outward(path);
        let request = Request::Exists { path: path.as_str().into(), watch: true };
        self.leave(&path, Table::Data, &request, |answer, watch| match answer {
            Ok(body) => Ok((Some(decoded(&body, Stat::read)?), watch)),
            Err(Error::NoNode) => Ok((None, watch)),
            Err(error) => Err(error),
        })
    }

    /// [`children`](Self::children), and a watch for the next change: a child is created or
    /// deleted, or the znode itself is deleted.
    ///
    /// Errors: [`Error::NoNode`], [`Error::NoAuth`], and no watch is left.
    pub fn children_and_watch(&self, path: &str) -> Reply<(Vec<String>, Stat, OneshotWatch)> {
        if let Err(error) = path::check(path) {
            return Reply::refused(error);
        }
        let path = self.handle.outward(path);
        let request = Request::GetChildren2 { path: path.as_str().into(), watch: true };
        self.leave(&path, Table::Child, &request, |answer, watch| {
            let (names, stat) = decoded(&answer?, read_children)?;
            Ok((names, stat, watch))
        })
    }

    /// A watch that stays, on a znode that need not exist. Servers know these since 3.6.
    ///
    /// See [`Watch`] for an example.
    pub fn watch(&self, path: &str, mode: WatchMode) -> Reply<Watch> {
        if let Err(error) = path::check(path) {
            return Reply::refused(error);
        }
        let path = self.handle.outward(path);
        let (table, number) = match mode {
            WatchMode::Persistent => (Table::Persistent, 0),
            WatchMode::PersistentRecursive => (Table::Recursive, 1),
        };
        let (sender, receiver) = mpsc::unbounded_channel();
        let purpose = Purpose::Watch {
            path: path.clone(),
            table,
            subscriber: Subscriber::Many(sender),
            is_exists: false,
        };
        let request = Request::AddWatch { path: path.as_str().into(), mode: number };
        let answer = self.handle.call(&request, purpose);
        let watch = Watch::new(receiver, self.place(&path, table), mode);
        Reply::coming(answer, move |answer| answer.map(|_| watch))
    }

    /// Takes away all watches of a kind that this client has left on a path. Each brings a last
    /// event, [`Removed`](crate::EventKind::Removed). With `local` they go even when the server
    /// cannot be told because there is no connection.
    ///
    /// Dropping a watch does the same for that one.
    ///
    /// ```no_run
    /// # async fn example(client: ostler_client::Client) -> ostler_client::Result<()> {
    /// use ostler_client::WatchKind;
    ///
    /// client.remove_watches("/services", WatchKind::Any, true).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Errors: [`Error::NoWatcher`].
    pub fn remove_watches(&self, path: &str, kind: WatchKind, local: bool) -> Reply<()> {
        if let Err(error) = path::check(path) {
            return Reply::refused(error);
        }
        let path = self.handle.outward(path);
        if local {
            let mut core = self.core();
            if !core.state.is_connected() && !core.state.is_final() {
                let (sender, receiver) = oneshot::channel();
                // The receiver is in our hands.
                drop(sender.send(core.unwatch(&path, kind)));
                return Reply::coming(Ok(receiver), |answer| answer.map(drop));
            }
        }
        let request =
            Request::RemoveWatches { path: path.as_str().into(), watcher_type: kind.number() };
        let purpose = Purpose::Unwatch { path: path.clone(), kind, local };
        Reply::reading(self.handle.call(&request, purpose), |_: &mut Reader<'_>| {
            Ok::<(), DecodeError>(())
        })
    }
}
