//! Several operations in one request: [`Multi`] for writes, [`MultiRead`] for reads.

use ostler_wire::error::ErrorCode;
use ostler_wire::jute::Reader;
use ostler_wire::reply::OpResult;
use ostler_wire::request::Request;
use ostler_wire::stat::Stat;

use crate::client::Client;
use crate::error::{Error, Result};
use crate::node::{CreateOptions, Created, Data};
use crate::path::{self, Chroot};
use crate::reply::{Reply, decoded};
use crate::session::queue::Purpose;

/// Writes that are done together, in this order, or not at all.
///
/// ```no_run
/// # async fn example(client: ostler_client::Client) -> ostler_client::Result<()> {
/// use ostler_client::{CreateOptions, Error};
///
/// let moved = client
///     .multi()
///     .check("/from", 3)
///     .delete("/from", None)
///     .create("/to", "data", &CreateOptions::persistent())
///     .send()
///     .await;
/// match moved {
///     Ok(results) => println!("{results:?}"),
///     Err(Error::Multi { index, cause }) => println!("the part {index} was refused: {cause}"),
///     Err(error) => return Err(error),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "nothing is done before it is sent"]
pub struct Multi {
    client: Client,
    parts: Vec<Part>,
    refused: Option<Error>,
}

/// One write with the server's path.
#[derive(Debug)]
enum Part {
    Create { path: String, data: Data, options: CreateOptions },
    Delete { path: String, version: i32 },
    Set { path: String, data: Data, version: i32 },
    Check { path: String, version: i32 },
}

impl Part {
    fn request(&self) -> Request<'_> {
        match self {
            Self::Create { path, data, options } => options.request(path, data),
            Self::Delete { path, version } => {
                Request::Delete { path: path.into(), version: *version }
            }
            Self::Set { path, data, version } => {
                Request::SetData { path: path.into(), data: data.as_slice(), version: *version }
            }
            Self::Check { path, version } => {
                Request::Check { path: path.into(), version: *version }
            }
        }
    }
}

/// What one write of a [`Multi`] has done.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum MultiResult {
    /// A znode was created.
    Created(Created),
    /// A znode was deleted.
    Deleted,
    /// Data were set; the stat right after it.
    Set(Stat),
    /// The version was the expected one.
    Checked,
}

impl Multi {
    pub(crate) fn new(client: Client) -> Self {
        Self { client, parts: Vec::new(), refused: None }
    }

    fn part(mut self, path: &str, checked: Result<()>, part: impl FnOnce(String) -> Part) -> Self {
        match checked {
            Ok(()) => self.parts.push(part(self.client.handle.outward(path))),
            Err(cause) => {
                let index = self.parts.len();
                let cause = Box::new(cause);
                self.refused.get_or_insert(Error::Multi { index, cause });
            }
        }
        self
    }

    /// Creates a znode.
    pub fn create(self, path: &str, data: impl Into<Data>, options: &CreateOptions) -> Self {
        let (data, options) = (data.into(), options.clone());
        self.part(path, options.check_path(path), |path| Part::Create { path, data, options })
    }

    /// Deletes a znode.
    pub fn delete(self, path: &str, version: Option<i32>) -> Self {
        let version = version.unwrap_or(-1);
        self.part(path, path::check(path), |path| Part::Delete { path, version })
    }

    /// Sets the data of a znode.
    pub fn set(self, path: &str, data: impl Into<Data>, version: Option<i32>) -> Self {
        let (data, version) = (data.into(), version.unwrap_or(-1));
        self.part(path, path::check(path), |path| Part::Set { path, data, version })
    }

    /// Fails the whole unless the znode exists and has this version, if one is given.
    pub fn check(self, path: &str, version: impl Into<Option<i32>>) -> Self {
        let version = version.into().unwrap_or(-1);
        self.part(path, path::check(path), |path| Part::Check { path, version })
    }

    /// How many writes it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.parts.len()
    }

    /// Whether it has none, which is allowed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Queues it. The reply has one result for each write.
    ///
    /// Errors: [`Error::Multi`] with the place and the reason of the write that was refused.
    pub fn send(self) -> Reply<Vec<MultiResult>> {
        if let Some(error) = self.refused {
            return Reply::refused(error);
        }
        let request = Request::Multi(self.parts.iter().map(Part::request).collect());
        let chroot = self.client.handle.shared.chroot.clone();
        let answer = self.client.handle.call(&request, Purpose::Plain);
        Reply::coming(answer, move |answer| {
            let results = decoded(&answer?, OpResult::read_all)?;
            written(results, &chroot)
        })
    }
}

/// A multi that failed has nothing but errors; the first that is one tells which write it was.
fn written(results: Vec<OpResult>, chroot: &Chroot) -> Result<Vec<MultiResult>> {
    let errors = results.iter().enumerate().filter_map(|(index, result)| match result {
        OpResult::Error(code) => Some((index, *code)),
        _ => None,
    });
    let failed =
        |code: &ErrorCode| !matches!(*code, ErrorCode::OK | ErrorCode::RUNTIME_INCONSISTENCY);
    let mut errors = errors.peekable();
    if let Some(first) = errors.peek().copied() {
        let (index, code) = errors.find(|(_, code)| failed(code)).unwrap_or(first);
        return Err(Error::Multi { index, cause: Box::new(Error::from_code(code.0)) });
    }
    results.into_iter().map(|result| write_result(result, chroot)).collect()
}

fn write_result(result: OpResult, chroot: &Chroot) -> Result<MultiResult> {
    Ok(match result {
        OpResult::CreatedWithStat { path, stat } => {
            MultiResult::Created(Created { path: chroot.inward(&path), stat })
        }
        OpResult::Created { path } => {
            MultiResult::Created(Created { path: chroot.inward(&path), stat: Stat::default() })
        }
        OpResult::Deleted => MultiResult::Deleted,
        OpResult::DataSet(stat) => MultiResult::Set(stat),
        OpResult::Checked => MultiResult::Checked,
        OpResult::Data { .. } | OpResult::Children(_) | OpResult::Error(_) => {
            return Err(Error::bad_answer("a multi is not answered like that"));
        }
    })
}

/// Reads in one request. Each succeeds or fails by itself; all see the same state.
///
/// ```no_run
/// # async fn example(client: ostler_client::Client) -> ostler_client::Result<()> {
/// for read in client.multi_read().get("/a").get("/b").children("/c").send().await? {
///     println!("{read:?}");
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "nothing is read before it is sent"]
pub struct MultiRead {
    client: Client,
    /// The server's paths, and whether the children are wanted.
    parts: Vec<(String, bool)>,
    refused: Option<Error>,
}

/// What one read of a [`MultiRead`] has found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Read {
    /// Of a `get`.
    Data {
        /// The data; `None` is null.
        data: Option<Vec<u8>>,
        /// What else is known of the znode.
        stat: Stat,
    },
    /// Of a `children`.
    Children(Vec<String>),
}

impl MultiRead {
    pub(crate) fn new(client: Client) -> Self {
        Self { client, parts: Vec::new(), refused: None }
    }

    fn part(mut self, path: &str, of_children: bool) -> Self {
        match path::check(path) {
            Ok(()) => self.parts.push((self.client.handle.outward(path), of_children)),
            Err(error) => drop(self.refused.get_or_insert(error)),
        }
        self
    }

    /// Data and stat of a znode.
    pub fn get(self, path: &str) -> Self {
        self.part(path, false)
    }

    /// The names of a znode's children.
    pub fn children(self, path: &str) -> Self {
        self.part(path, true)
    }

    /// Queues it. The reply has one outcome for each read, in this order.
    ///
    /// Errors: [`Error::BadPath`] if one of the paths is not valid; nothing is read then.
    pub fn send(self) -> Reply<Vec<Result<Read>>> {
        if let Some(error) = self.refused {
            return Reply::refused(error);
        }
        let requests = self.parts.iter().map(|(path, of_children)| {
            let path = path.into();
            if *of_children {
                Request::GetChildren { path, watch: false }
            } else {
                Request::GetData { path, watch: false }
            }
        });
        let request = Request::MultiRead(requests.collect());
        let answer = self.client.handle.call(&request, Purpose::Plain);
        Reply::reading(answer, |from: &mut Reader<'_>| {
            Ok(OpResult::read_all(from)?.into_iter().map(read_result).collect())
        })
    }
}

fn read_result(result: OpResult) -> Result<Read> {
    match result {
        OpResult::Data { data, stat } => Ok(Read::Data { data, stat }),
        OpResult::Children(names) => Ok(Read::Children(names)),
        OpResult::Error(code) => Err(Error::from_code(code.0)),
        _ => Err(Error::bad_answer("a multiRead is not answered like that")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_of_a_multi_is_that_of_the_write_that_failed() {
        let codes = |codes: &[i32]| {
            codes.iter().map(|code| OpResult::Error(ErrorCode(*code))).collect::<Vec<_>>()
        };
        let error = |index, cause| Err(Error::Multi { index, cause: Box::new(cause) });
        let chroot = Chroot::default();
        assert_eq!(written(codes(&[0, -101, -2]), &chroot), error(1, Error::NoNode));
        assert_eq!(written(codes(&[-110, -2]), &chroot), error(0, Error::NodeExists));
        assert_eq!(written(codes(&[-2]), &chroot), error(0, Error::Server(-2)));
        assert_eq!(written(Vec::new(), &chroot), Ok(Vec::new()));
    }
}
