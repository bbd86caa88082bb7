//! A number that many count with.
//!
//! **Layout.** The number is the data of the path, in one of three forms: see [`Form`]. A missing
//! node and an empty one are 0.
//!
//! **Guarantees.** Each change is made to the value that it was computed from, by its version, and
//! computed anew when another was faster; so no change is lost. The number belongs to no
//! session. When a connection breaks before a change was answered, the counter finds out whether
//! it was made where that can be seen, and repeats it if not. Where it cannot be seen, because
//! others have changed the number since, the result is [`Error::ConnectionLoss`]: the change was
//! made once or not at all. With [`Counter::exact`] it can always be seen.

use std::sync::Arc;

use tokio::sync::Mutex;

use crate::{Client, CreateOptions, Error, Result};

use super::seat::{Layout, Seat, Taking, name_of};
use super::steady::{catch_up, ensure_parent, insist, passes, pause};

/// How a counter's value is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// Eight bytes, big-endian: Curator's `DistributedAtomicLong`.
    #[default]
    Long,
    /// Four bytes, big-endian: Curator's `DistributedAtomicInteger` and `SharedCount`, kazoo's
    /// `Counter` with `support_curator`.
    Int,
    /// Decimal digits: kazoo's `Counter`.
    Text,
}

/// A number that many count with.
///
/// ```no_run
/// # async fn run() -> ostler_client::Result<()> {
/// use ostler_client::{Client, recipes::Counter};
///
/// let client = Client::connect("localhost:2181").await?;
/// let counter = Counter::new(&client, "/tickets");
/// let ticket = counter.add(1).await?;
/// let largest = counter.update(|value| value.max(100)).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Counter {
    client: Client,
    path: String,
    form: Form,
    receipt: Option<Arc<Mutex<Receipt>>>,
}

/// Where an exact counter writes, together with each change, which one it was.
#[derive(Default)]
struct Receipt {
    seat: Option<Seat>,
    changes: u64,
}

/// A value and the version it was read at; none when there is no node.
struct Read {
    value: i64,
    version: Option<i32>,
}

impl Counter {
    /// The counter at `path`. Nothing is asked of the server yet.
    pub fn new(client: &Client, path: impl Into<String>) -> Self {
        Self { client: client.clone(), path: path.into(), form: Form::default(), receipt: None }
    }

    /// Writes the value as another client library does.
    #[must_use]
    pub fn form(mut self, form: Form) -> Self {
        self.form = form;
        self
    }

    /// Makes each change exactly once as long as the session lasts, whatever breaks.
    ///
    /// Together with the value each change writes a receipt, an ephemeral child of the counter's
    /// node that belongs to this handle and its clones; the handle makes one change at a time.
    /// Others need not do the same.
    #[must_use]
    pub fn exact(mut self) -> Self {
        self.receipt = Some(Arc::default());
        self
    }

    /// The value, as the server that the client is connected to knows it.
    ///
    /// # Errors
    /// [`Error::BadArguments`] when the data are no number in this form; what the server refuses
    /// with, or that the session is over.
    pub async fn value(&self) -> Result<i64> {
        Ok(self.read().await?.value)
    }

    /// Adds, and returns the sum.
    ///
    /// # Errors
    /// As with [`Self::update`].
    pub async fn add(&self, amount: i64) -> Result<i64> {
        self.change(|value| value.checked_add(amount).map(Some).ok_or(Error::BadArguments))
            .await
            .map(|sum| sum.unwrap_or(amount))
    }

    /// Sets the value to one computed from it, and returns that. `new` is called again whenever
    /// another was faster.
    ///
    /// # Errors
    /// As with [`Self::value`], and [`Error::BadArguments`] for a value that the form cannot hold.
    /// [`Error::ConnectionLoss`] when it cannot be known whether the change was made.
    pub async fn update(&self, mut new: impl FnMut(i64) -> i64) -> Result<i64> {
        let mut last = 0;
        self.change(|value| {
            last = new(value);
            Ok(Some(last))
        })
        .await?;
        Ok(last)
    }

    /// Sets the value if it is the expected one, and says whether it was.
    ///
    /// # Errors
    /// As with [`Self::update`].
    pub async fn compare_and_set(&self, expected: i64, new: i64) -> Result<bool> {
        let changed = self.change(|value| Ok((value == expected).then_some(new))).await?;
        Ok(changed.is_some())
    }

    /// Sets the value whatever it is.
    ///
    /// # Errors
    /// As with [`Self::update`].
    pub async fn set(&self, value: i64) -> Result<()> {
        self.update(|_| value).await.map(|_| ())
    }

    /// Changes the value to what `new` makes of it; not at all if that is nothing.
    async fn change(&self, mut new: impl FnMut(i64) -> Result<Option<i64>>) -> Result<Option<i64>> {
        let mut tries = 0;
        loop {
            let before = self.read().await?;
            let Some(value) = new(before.value)? else { return Ok(None) };
            let data = self.form.write(value)?;
            let is_done = match (&self.receipt, before.version) {
                (None, version) => self.write(version, &data).await?,
                (Some(receipt), Some(version)) => {
                    self.write_receipted(receipt, version, &data).await?
                }
                // Receipts need a parent; there is no harm in making it twice.
                (Some(_), None) => {
                    self.write(None, &self.form.write(0)?).await.or_else(unknown)?;
                    continue;
                }
            };
            if is_done {
                return Ok(Some(value));
            }
            pause(&self.client, &mut tries).await;
        }
    }

    async fn read(&self) -> Result<Read> {
        match insist(&self.client, || self.client.get(&self.path)).await {
            Ok((data, stat)) => {
                Ok(Read { value: self.form.read(&data)?, version: Some(stat.version) })
            }
            Err(Error::NoNode) => Ok(Read { value: 0, version: None }),
            Err(error) => Err(error),
        }
    }

    /// Writes once, and says whether it was done.
    async fn write(&self, version: Option<i32>, data: &[u8]) -> Result<bool> {
        let (client, path) = (&self.client, &self.path);
        let written = match version {
            Some(_) => client.set(path, data, version).await.map(|_| ()),
            None => client.create(path, data, &CreateOptions::persistent()).await.map(|_| ()),
        };
        match written {
            Ok(()) => Ok(true),
            Err(Error::NoNode) if version.is_none() => {
                ensure_parent(client, path).await.map(|()| false)
            }
            Err(Error::NoNode | Error::NodeExists | Error::BadVersion) => Ok(false),
            Err(error) if is_open(&error) => self.find_out(version, data).await,
            Err(error) if passes(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Writes once, together with a receipt, and says whether it was done.
    async fn write_receipted(
        &self,
        receipt: &Mutex<Receipt>,
        version: i32,
        data: &[u8],
    ) -> Result<bool> {
        let client = &self.client;
        let mut receipt = receipt.lock().await;
        receipt.changes += 1;
        let change = receipt.changes.to_be_bytes();
        let own = match &receipt.seat {
            Some(seat) => seat.path().to_owned(),
            None => {
                let name = name_of(client, Layout::Curator, RECEIPT);
                let taking = Taking { data: b"", acl: None, number: None };
                let seat = Seat::take(client, &self.path, name, taking).await?;
                receipt.seat.insert(seat).path().to_owned()
            }
        };
        let both = client.multi().set(&self.path, data, Some(version)).set(&own, change, None);
        match both.send().await {
            Ok(_) => Ok(true),
            Err(Error::Multi { index: 1, cause }) if *cause == Error::NoNode => {
                receipt.seat = None;
                Ok(false)
            }
            Err(Error::Multi { cause, .. })
                if matches!(*cause, Error::BadVersion | Error::NoNode) =>
            {
                Ok(false)
            }
            Err(error) if is_open(&error) => {
                catch_up(client, &own).await?;
                match insist(client, || client.get(&own)).await {
                    Ok((last, _)) => Ok(last == change),
                    Err(Error::NoNode) => {
                        receipt.seat = None;
                        Err(Error::ConnectionLoss)
                    }
                    Err(error) => Err(error),
                }
            }
            Err(error) if passes(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether a write was done that was not answered.
    async fn find_out(&self, version: Option<i32>, data: &[u8]) -> Result<bool> {
        let (client, path) = (&self.client, &self.path);
        // The next server may not have seen yet what the last one did.
        catch_up(client, path).await?;
        let now = match insist(client, || client.get(path)).await {
            Ok((now, stat)) => Some((now, stat.version)),
            Err(Error::NoNode) => None,
            Err(error) => return Err(error),
        };
        // A node starts at version 0, and each write adds one.
        let next = version.map_or(0, |version| version.wrapping_add(1));
        match now {
            // It is as it was.
            None if version.is_none() => Ok(false),
            Some((_, now)) if Some(now) == version => Ok(false),
            // Another write came before this one, which its version then kept out.
            Some((other, now)) if now == next && other != data => Ok(false),
            _ => Err(Error::ConnectionLoss),
        }
    }
}

/// Takes it for not done when it is not known; for what may be done twice.
fn unknown(error: Error) -> Result<bool> {
    if error == Error::ConnectionLoss { Ok(false) } else { Err(error) }
}

/// Whether the request may have been done although it has no answer.
fn is_open(error: &Error) -> bool {
    matches!(error, Error::ConnectionLoss | Error::Timeout | Error::RequestTimeout)
}

/// The mark of a receipt.
const RECEIPT: &str = "receipt-";

impl Form {
    fn read(self, data: &[u8]) -> Result<i64> {
        if data.is_empty() {
            return Ok(0);
        }
        let number = match self {
            // Java: DistributedAtomicLong.bytesToValue takes the first bytes of longer data.
            Self::Long => data.first_chunk().map(|bytes| i64::from_be_bytes(*bytes)),
            Self::Int => data.first_chunk().map(|bytes| i32::from_be_bytes(*bytes).into()),
            Self::Text => std::str::from_utf8(data).ok().and_then(|text| text.trim().parse().ok()),
        };
        number.ok_or(Error::BadArguments)
    }

    fn write(self, value: i64) -> Result<Vec<u8>> {
        match self {
            Self::Long => Ok(value.to_be_bytes().to_vec()),
            Self::Int => match i32::try_from(value) {
                Ok(value) => Ok(value.to_be_bytes().to_vec()),
                Err(_) => Err(Error::BadArguments),
            },
            Self::Text => Ok(value.to_string().into_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_reads_what_it_writes() {
        for form in [Form::Long, Form::Int, Form::Text] {
            for value in [0, 1, -1, 2_147_483_647, -2_147_483_648] {
                assert_eq!(form.read(&form.write(value).unwrap()), Ok(value), "{form:?}");
            }
            assert_eq!(form.read(b""), Ok(0));
            assert_eq!(form.read(b"ab"), Err(Error::BadArguments));
        }
        assert_eq!(Form::Long.write(258), Ok(vec![0, 0, 0, 0, 0, 0, 1, 2]));
        assert_eq!(Form::Int.write(-2), Ok(vec![0xff, 0xff, 0xff, 0xfe]));
        assert_eq!(Form::Int.write(1 << 31), Err(Error::BadArguments));
        assert_eq!(Form::Text.write(-17), Ok(b"-17".to_vec()));
    }
}
