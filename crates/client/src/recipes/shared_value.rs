//! A value that everybody sees change.
//!
//! **Layout** (Curator's `SharedValue`, and `SharedCount` for [`SharedCount`]): the value is the
//! data of the path; a count is four bytes, big-endian.
//!
//! **Guarantees.** The value belongs to no session. What [`SharedValue::value`] says is what its
//! server knew last: while the connection is down it may be old, and after the session it
//! changes no more ([`SharedValue::changed`] then fails). [`SharedValue::try_set`] succeeds only on
//! top of the value that it was told, wherever that came from. Of changes in quick
//! succession only the last may be seen.

use std::fmt;

use tokio::sync::{oneshot, watch};

use crate::runtime::{Either, race};
use crate::{Client, CreateOptions, Data, Error, Result, Zxid};

use super::steady::{ensure_parent, insist};

/// A value that everybody sees change.
///
/// ```no_run
/// # async fn run() -> ostler_client::Result<()> {
/// use ostler_client::{Client, recipes::SharedValue};
///
/// let client = Client::connect("localhost:2181").await?;
/// let mut motto = SharedValue::open(&client, "/motto", "onwards").await?;
/// let seen = motto.value();
/// if !motto.try_set(&seen, "upwards").await? {
///     println!("somebody else was faster");
/// }
/// let next = motto.changed().await?;
/// # Ok(())
/// # }
/// ```
pub struct SharedValue {
    client: Client,
    path: String,
    current: watch::Sender<Versioned>,
    seen: watch::Receiver<Versioned>,
    /// Why it changes no more.
    ended: watch::Receiver<Option<Error>>,
    /// Ends the task when it is dropped.
    _watching: oneshot::Sender<()>,
}

/// A value as it was at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versioned {
    /// The value.
    pub data: Vec<u8>,
    /// Counts the changes of the node.
    pub version: i32,
    /// The zxid of the change: grows with each.
    pub zxid: Zxid,
}

impl SharedValue {
    /// Reads the value, after setting it to `seed` if there is none, and watches it from then on.
    ///
    /// # Errors
    /// What the server refuses with, or that the session is over.
    pub async fn open(
        client: &Client,
        path: impl Into<String>,
        seed: impl Into<Vec<u8>>,
    ) -> Result<Self> {
        let (path, seed) = (path.into(), seed.into());
        let first = loop {
            match insist(client, || client.get(&path)).await {
                Ok((data, stat)) => {
                    break Versioned { data, version: stat.version, zxid: stat.mzxid };
                }
                Err(Error::NoNode) => plant(client, &path, &seed).await?,
                Err(error) => return Err(error),
            }
        };
        let (current, seen) = watch::channel(first);
        let (end, ended) = watch::channel(None);
        let (watching, stopped) = oneshot::channel::<()>();
        let task = {
            let (client, path, current) = (client.clone(), path.clone(), current.clone());
            async move {
                let follow = async {
                    let error = follow(&client, &path, &current).await;
                    end.send_replace(Some(error));
                };
                race(stopped, follow).await;
            }
        };
        client.runtime().spawn(Box::pin(task));
        let client = client.clone();
        Ok(Self { client, path, current, seen, ended, _watching: watching })
    }

    /// The value as it was last seen.
    pub fn value(&self) -> Versioned {
        self.current.borrow().clone()
    }

    /// Waits until it is another one than when this was last asked, and returns it.
    ///
    /// # Errors
    /// Why it changes no more: the session is over.
    pub async fn changed(&mut self) -> Result<Versioned> {
        let Self { seen, ended, .. } = self;
        let end = async {
            let error = ended.wait_for(Option::is_some).await.ok().and_then(|end| end.clone());
            error.unwrap_or(Error::Closed)
        };
        match race(seen.changed(), end).await {
            Either::Left(_) => Ok(self.seen.borrow_and_update().clone()),
            Either::Right(error) => Err(error),
        }
    }

    /// Sets the value whatever it is.
    ///
    /// # Errors
    /// What the server refuses with, or that the session is over.
    pub async fn set(&self, data: impl Into<Vec<u8>>) -> Result<()> {
        let data = data.into();
        let set = || self.client.set(&self.path, data.as_slice(), None);
        let stat = insist(&self.client, set).await?;
        self.learn(Versioned { data, version: stat.version, zxid: stat.mzxid });
        Ok(())
    }

    /// Sets the value if it is still `previous`, and says whether it was.
    ///
    /// # Errors
    /// What the server refuses with, or that the session is over. [`Error::ConnectionLoss`] when it
    /// is not known whether it was set.
    pub async fn try_set(&self, previous: &Versioned, data: impl Into<Vec<u8>>) -> Result<bool> {
        let data = data.into();
        match self.client.set(&self.path, data.as_slice(), Some(previous.version)).await {
            Ok(stat) => {
                self.learn(Versioned { data, version: stat.version, zxid: stat.mzxid });
                Ok(true)
            }
            Err(Error::BadVersion) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Takes note of a value unless a newer one is known.
    fn learn(&self, value: Versioned) {
        learn(&self.current, value);
    }
}

impl fmt::Debug for SharedValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("SharedValue");
        out.field("path", &self.path).field("value", &*self.current.borrow()).finish()
    }
}

/// A whole number that everybody sees change.
#[derive(Debug)]
pub struct SharedCount {
    value: SharedValue,
}

impl SharedCount {
    /// As [`SharedValue::open`].
    ///
    /// # Errors
    /// As there.
    pub async fn open(client: &Client, path: impl Into<String>, seed: i32) -> Result<Self> {
        Ok(Self { value: SharedValue::open(client, path, seed.to_be_bytes()).await? })
    }

    /// The count as it was last seen, and the value to give to [`Self::try_set`].
    ///
    /// # Errors
    /// [`Error::BadArguments`] when the node does not hold a number.
    pub fn count(&self) -> Result<(i32, Versioned)> {
        let value = self.value.value();
        Ok((number(&value)?, value))
    }

    /// As [`SharedValue::changed`].
    ///
    /// # Errors
    /// As there, and [`Error::BadArguments`] when the node does not hold a number.
    pub async fn changed(&mut self) -> Result<i32> {
        number(&self.value.changed().await?)
    }

    /// As [`SharedValue::set`].
    ///
    /// # Errors
    /// As there.
    pub async fn set(&self, count: i32) -> Result<()> {
        self.value.set(count.to_be_bytes()).await
    }

    /// As [`SharedValue::try_set`].
    ///
    /// # Errors
    /// As there.
    pub async fn try_set(&self, previous: &Versioned, count: i32) -> Result<bool> {
        self.value.try_set(previous, count.to_be_bytes()).await
    }
}

fn number(value: &Versioned) -> Result<i32> {
    let bytes = value.data.first_chunk().ok_or(Error::BadArguments)?;
    Ok(i32::from_be_bytes(*bytes))
}

/// Creates the node with its first value, unless another was faster.
async fn plant(client: &Client, path: &str, seed: &[u8]) -> Result<()> {
    let persistent = CreateOptions::persistent();
    match insist(client, || client.create(path, Data::from(seed), &persistent)).await {
        Ok(_) | Err(Error::NodeExists) => Ok(()),
        Err(Error::NoNode) => ensure_parent(client, path).await,
        Err(error) => Err(error),
    }
}

/// Reads the value after each change until that is not possible any more, and says why.
async fn follow(client: &Client, path: &str, current: &watch::Sender<Versioned>) -> Error {
    loop {
        match insist(client, || client.get_and_watch(path)).await {
            Ok((data, stat, watch)) => {
                learn(current, Versioned { data, version: stat.version, zxid: stat.mzxid });
                watch.await;
            }
            // Until somebody makes it again, the last value stands.
            Err(Error::NoNode) => match insist(client, || client.exists_and_watch(path)).await {
                Ok((None, watch)) => {
                    watch.await;
                }
                Ok((Some(_), _)) => {}
                Err(error) => return error,
            },
            Err(error) => return error,
        }
    }
}

fn learn(current: &watch::Sender<Versioned>, value: Versioned) {
    current.send_if_modified(|now| {
        let is_newer = now.zxid < value.zxid;
        if is_newer {
            *now = value;
        }
        is_newer
    });
}
