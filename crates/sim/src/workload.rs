//! What the random clients ask: everything, of few paths, so that they meet.

use std::borrow::Cow;

use ostler_node::rng::Rng;
use ostler_wire::acl::{AclEntry, Perms};
use ostler_wire::ids::Zxid;
use ostler_wire::request::{CreateRequest, Request, WatchLists};

/// Any request, mostly reads and writes; pings only `with_pings`.
pub(crate) fn request(rng: &mut Rng, last_zxid: Zxid, with_pings: bool) -> Request<'static> {
    let watch = rng.below(2) == 0;
    let path = path(rng);
    match rng.below(100) {
        0..15 => Request::GetData { path, watch },
        15..25 => Request::Exists { path, watch },
        25..32 => Request::GetChildren { path, watch },
        32..39 => Request::GetChildren2 { path, watch },
        39..41 => Request::GetAcl { path },
        41..44 if with_pings => Request::Ping,
        41..48 => Request::Sync { path: Some(path) },
        48..51 => {
            let relative_zxid = Zxid(rng.below(last_zxid.0.cast_unsigned() + 2).cast_signed());
            let lists = WatchLists { relative_zxid, data: paths(rng), ..WatchLists::default() };
            let lists = WatchLists { exist: paths(rng), child: paths(rng), ..lists };
            if watch {
                return Request::SetWatches(lists);
            }
            let (persistent, recursive) = (paths(rng), paths(rng));
            Request::SetWatches2(WatchLists { persistent, recursive, ..lists })
        }
        51..58 => {
            let count = rng.below(5);
            Request::Multi((0..count).map(|_| part(rng)).collect())
        }
        58..60 => Request::SetAcl { path, acl: Some(acl(rng)), version: version(rng) },
        60..68 => about_watches(rng, path),
        68..70 => {
            let part = |rng: &mut Rng| match rng.below(2) {
                0 => Request::GetData { path: self::path(rng), watch },
                _ => Request::GetChildren { path: self::path(rng), watch },
            };
            let count = rng.below(4);
            Request::MultiRead((0..count).map(|_| part(rng)).collect())
        }
        70 => Request::GetEphemerals { prefix: Some(path) },
        71 => Request::GetAllChildrenNumber { path },
        _ => write(rng),
    }
}

fn about_watches(rng: &mut Rng, path: Cow<'static, str>) -> Request<'static> {
    let watcher_type = 1 + i32::try_from(rng.below(5)).expect("below 5");
    match rng.below(6) {
        0..2 => Request::AddWatch { path, mode: watcher_type % 2 },
        2..5 => Request::RemoveWatches { path, watcher_type },
        _ => Request::CheckWatches { path, watcher_type },
    }
}

/// What can stand in a multi.
fn part(rng: &mut Rng) -> Request<'static> {
    match rng.below(8) {
        0 => Request::Check { path: path(rng), version: version(rng) },
        _ => write(rng),
    }
}

fn write(rng: &mut Rng) -> Request<'static> {
    let path = path(rng);
    match rng.below(10) {
        0..3 => Request::Create(create(rng)),
        3 => Request::Create2(create(rng)),
        4 => Request::CreateContainer(CreateRequest { flags: 4, ..create(rng) }),
        5..8 => Request::SetData { path, data: data(rng), version: version(rng) },
        _ if path == "/" => Request::Create(create(rng)),
        _ => Request::Delete { path, version: version(rng) },
    }
}

fn create(rng: &mut Rng) -> CreateRequest<'static> {
    let flags = [0, 0, 0, 1, 1, 1, 2, 3];
    CreateRequest {
        path: path(rng),
        data: data(rng),
        acl: Some(acl(rng)),
        flags: *pick(rng, &flags),
        ttl_ms: -1,
    }
}

fn path(rng: &mut Rng) -> Cow<'static, str> {
    const PATHS: &[&str] =
        &["/a", "/b", "/c", "/a/x", "/a/y", "/b/x", "/b/y", "/a/x/1", "/c/n-", "/"];
    Cow::Borrowed(*pick(rng, PATHS))
}

fn paths(rng: &mut Rng) -> Vec<Cow<'static, str>> {
    let count = rng.below(4);
    (0..count).map(|_| path(rng)).collect()
}

fn data(rng: &mut Rng) -> Option<&'static [u8]> {
    const DATA: &[Option<&[u8]>] =
        &[None, Some(b""), Some(b"1"), Some(b"twenty-two"), Some(&[7; 300])];
    *pick(rng, DATA)
}

fn acl(rng: &mut Rng) -> Vec<AclEntry<'static>> {
    let perms = match rng.below(40) {
        0 => Perms(Perms::ALL.0 & !Perms::READ.0),
        1 => Perms(Perms::ALL.0 & !Perms::CREATE.0),
        2 => Perms(Perms::ALL.0 & !Perms::WRITE.0 & !Perms::DELETE.0),
        _ => Perms::ALL,
    };
    let text = |text| Some(Cow::Borrowed(text));
    vec![AclEntry { perms, scheme: text("world"), id: text("anyone") }]
}

fn version(rng: &mut Rng) -> i32 {
    *pick(rng, &[-1, -1, -1, -1, -1, -1, 0, 1, 2])
}

fn pick<'p, T>(rng: &mut Rng, from: &'p [T]) -> &'p T {
    let at = rng.below(from.len() as u64);
    &from[usize::try_from(at).expect("below a length")]
}
