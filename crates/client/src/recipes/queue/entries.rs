//! What the queues have in common: sequential znodes below one path, taken from the front.

use std::time::Duration;

use crate::{Client, CreateOptions, Error, OneshotWatch, Reply, Result};

use super::super::steady::{ensure_parent, insist, join, pause};

/// The znodes below a path whose names `order` understands; others are left alone.
#[derive(Debug)]
pub(crate) struct Entries<K> {
    pub(crate) client: Client,
    pub(crate) path: String,
    order: fn(&str) -> Option<K>,
}

/// Names in their order, and a watch that is ready when they have changed.
pub(crate) type Listed<K> = (Vec<(K, String)>, OneshotWatch);

impl<K: Ord> Entries<K> {
    pub(crate) fn new(client: &Client, path: String, order: fn(&str) -> Option<K>) -> Self {
        Self { client: client.clone(), path, order }
    }

    /// Adds a znode whose name begins with `stem`. Not repeated when the link breaks, since that
    /// could add it twice.
    pub(crate) async fn add(&self, stem: &str, data: &[u8]) -> Result<()> {
        let path = join(&self.path, stem);
        let options = CreateOptions::persistent().sequential();
        loop {
            match self.client.create(&path, data, &options).await {
                Ok(_) => return Ok(()),
                Err(Error::NoNode) => ensure_path(&self.client, &self.path).await?,
                Err(error) => return Err(error),
            }
        }
    }

    /// How many znodes there are, taken ones and strangers too.
    pub(crate) async fn count(&self) -> Result<usize> {
        let stat = insist(&self.client, || self.client.exists(&self.path)).await?;
        let count = stat.map_or(0, |stat| stat.num_children);
        Ok(usize::try_from(count).unwrap_or(0))
    }

    pub(crate) fn in_order(&self, names: Vec<String>) -> Vec<(K, String)> {
        let keyed = names.into_iter().filter_map(|name| Some(((self.order)(&name)?, name)));
        let mut names: Vec<_> = keyed.collect();
        names.sort_unstable();
        names
    }

    /// The entries there are.
    pub(crate) async fn list(&self) -> Result<Vec<(K, String)>> {
        match insist(&self.client, || self.client.children(&self.path)).await {
            Ok((names, _)) => Ok(self.in_order(names)),
            Err(Error::NoNode) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// The same, and a watch for their changes. Creates the path when it is missing.
    pub(crate) async fn list_and_watch(&self) -> Result<Listed<K>> {
        loop {
            let list = || self.client.children_and_watch(&self.path);
            match insist(&self.client, list).await {
                Ok((names, _, watch)) => return Ok((self.in_order(names), watch)),
                Err(Error::NoNode) => ensure_path(&self.client, &self.path).await?,
                Err(error) => return Err(error),
            }
        }
    }

    /// The data of an entry; nothing when it has gone.
    pub(crate) async fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let path = join(&self.path, name);
        present(insist(&self.client, || self.client.get(&path)).await.map(|(data, _)| data))
    }

    /// Removes an entry and gives its data; nothing when somebody else was faster.
    ///
    /// When the link breaks before the removal is confirmed it is asked for again. If the entry is
    /// gone then, nobody can say who has removed it: [`Error::ConnectionLoss`].
    pub(crate) async fn claim(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let Some(data) = self.read(name).await? else { return Ok(None) };
        let path = join(&self.path, name);
        let (mut tries, mut unsure) = (0, None);
        loop {
            let removed: Reply<()> = self.client.delete(&path, None);
            match removed.await {
                Ok(()) => return Ok(Some(data)),
                Err(Error::NoNode) => return unsure.map_or(Ok(None), Err),
                Err(error) if error.is_retryable() => {
                    unsure = Some(error);
                    pause(&self.client, &mut tries).await;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// Creates the path of a queue, which stays.
///
/// Were it taken away when it is empty, as containers are, the numbers of items would begin anew: a
/// new item would get the name of one that somebody has read and, behind a broken link, still
/// tries to remove.
pub(crate) async fn ensure_path(client: &Client, path: &str) -> Result<()> {
    ensure_parent(client, path).await?;
    let persistent = CreateOptions::persistent();
    match insist(client, || client.create(path, b"", &persistent)).await {
        // Whoever needs it looks again, also when its parent has gone meanwhile.
        Ok(_) | Err(Error::NodeExists | Error::NoNode) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Makes a missing znode a value.
pub(crate) fn present<T>(answer: Result<T>) -> Result<Option<T>> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(Error::NoNode) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The ten digits of a sequential znode as a number that sorts: the server counts from 2^31 - 1 on
/// with negative numbers.
pub(crate) fn sequence(digits: &str) -> Option<u32> {
    let is_number = digits.strip_prefix('-').unwrap_or(digits).bytes().all(|b| b.is_ascii_digit());
    let number: i32 = digits.parse().ok()?;
    is_number.then_some(number.cast_unsigned())
}

/// A time to stop waiting: the runtime's time when it is reached.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(Option<Duration>);

impl Deadline {
    pub(crate) const NEVER: Self = Self(None);

    pub(crate) fn after(client: &Client, time: Duration) -> Self {
        Self(Some(client.runtime().now().saturating_add(time)))
    }

    /// How long it is until then, or until `sooner` has passed.
    pub(crate) fn left(self, client: &Client, sooner: Option<Duration>) -> Option<Duration> {
        let left = self.0.map(|deadline| deadline.saturating_sub(client.runtime().now()));
        match (left, sooner) {
            (Some(left), Some(sooner)) => Some(left.min(sooner)),
            (left, sooner) => left.or(sooner),
        }
    }

    pub(crate) fn is_over(self, client: &Client) -> bool {
        self.0.is_some_and(|deadline| deadline <= client.runtime().now())
    }
}

/// Waits for a change, but no longer than so long.
pub(crate) async fn changed<F: Future>(client: &Client, change: F, time: Option<Duration>) {
    match time {
        None => drop(change.await),
        Some(time) => drop(super::super::steady::within(client, time, change).await),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequence_numbers_sort_over_the_roll_over() {
        let order = ["0000000000", "0000000010", "2147483647", "-2147483648", "-0000000007"];
        let numbers: Vec<_> = order.iter().map(|digits| sequence(digits).unwrap()).collect();
        assert!(numbers.is_sorted(), "{numbers:?}");
        for bad in ["", "-", "+1", "1x", "2147483648"] {
            assert_eq!(sequence(bad), None, "{bad}");
        }
    }
}
