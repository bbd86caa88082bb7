//! What the random clients ask: everything, of few paths, so that they meet.

use std::borrow::Cow;

use ostler_wire::acl::{AclEntry, Perms};
use ostler_wire::ids::Zxid;
use ostler_wire::request::{CreateRequest, Request, WatchLists};

use crate::random::Random;

/// Any request, mostly reads and writes.
pub(crate) fn request(random: &mut Random, last_zxid: Zxid) -> Request<'static> {
    let watch = random.below(2) == 0;
    let path = path(random);
    match random.below(100) {
        0..15 => Request::GetData { path, watch },
        15..25 => Request::Exists { path, watch },
        25..32 => Request::GetChildren { path, watch },
        32..39 => Request::GetChildren2 { path, watch },
        39..41 => Request::GetAcl { path },
        41..48 => Request::Sync { path: Some(path) },
        48..51 => {
            let relative_zxid = Zxid(random.below(last_zxid.0.cast_unsigned() + 2).cast_signed());
            let lists = WatchLists { relative_zxid, data: paths(random), ..WatchLists::default() };
            let lists = WatchLists { exist: paths(random), child: paths(random), ..lists };
            if watch {
                return Request::SetWatches(lists);
            }
            let (persistent, recursive) = (paths(random), paths(random));
            Request::SetWatches2(WatchLists { persistent, recursive, ..lists })
        }
        51..58 => {
            let count = random.below(5);
            Request::Multi((0..count).map(|_| part(random)).collect())
        }
        58..60 => Request::SetAcl { path, acl: Some(acl(random)), version: version(random) },
        60..68 => about_watches(random, path),
        68..70 => {
            let part = |random: &mut Random| match random.below(2) {
                0 => Request::GetData { path: self::path(random), watch },
                _ => Request::GetChildren { path: self::path(random), watch },
            };
            let count = random.below(4);
            Request::MultiRead((0..count).map(|_| part(random)).collect())
        }
        70 => Request::GetEphemerals { prefix: Some(path) },
        71 => Request::GetAllChildrenNumber { path },
        _ => write(random),
    }
}

fn about_watches(random: &mut Random, path: Cow<'static, str>) -> Request<'static> {
    let watcher_type = 1 + i32::try_from(random.below(5)).expect("below 5");
    match random.below(6) {
        0..2 => Request::AddWatch { path, mode: watcher_type % 2 },
        2..5 => Request::RemoveWatches { path, watcher_type },
        _ => Request::CheckWatches { path, watcher_type },
    }
}

/// What can stand in a multi.
fn part(random: &mut Random) -> Request<'static> {
    match random.below(8) {
        0 => Request::Check { path: path(random), version: version(random) },
        _ => write(random),
    }
}

fn write(random: &mut Random) -> Request<'static> {
    let path = path(random);
    match random.below(10) {
        0..3 => Request::Create(create(random)),
        3 => Request::Create2(create(random)),
        4 => Request::CreateContainer(CreateRequest { flags: 4, ..create(random) }),
        5..8 => Request::SetData { path, data: data(random), version: version(random) },
        _ if path == "/" => Request::Create(create(random)),
        _ => Request::Delete { path, version: version(random) },
    }
}

fn create(random: &mut Random) -> CreateRequest<'static> {
    let flags = [0, 0, 0, 1, 1, 1, 2, 3];
    CreateRequest {
        path: path(random),
        data: data(random),
        acl: Some(acl(random)),
        flags: *random.pick(&flags),
        ttl_ms: -1,
    }
}

fn path(random: &mut Random) -> Cow<'static, str> {
    const PATHS: &[&str] =
        &["/a", "/b", "/c", "/a/x", "/a/y", "/b/x", "/b/y", "/a/x/1", "/c/n-", "/"];
    Cow::Borrowed(*random.pick(PATHS))
}

fn paths(random: &mut Random) -> Vec<Cow<'static, str>> {
    let count = random.below(4);
    (0..count).map(|_| path(random)).collect()
}

fn data(random: &mut Random) -> Option<&'static [u8]> {
    const DATA: &[Option<&[u8]>] =
        &[None, Some(b""), Some(b"1"), Some(b"twenty-two"), Some(&[7; 300])];
    *random.pick(DATA)
}

fn acl(random: &mut Random) -> Vec<AclEntry<'static>> {
    let perms = match random.below(40) {
        0 => Perms(Perms::ALL.0 & !Perms::READ.0),
        1 => Perms(Perms::ALL.0 & !Perms::CREATE.0),
        2 => Perms(Perms::ALL.0 & !Perms::WRITE.0 & !Perms::DELETE.0),
        _ => Perms::ALL,
    };
    let text = |text| Some(Cow::Borrowed(text));
    vec![AclEntry { perms, scheme: text("world"), id: text("anyone") }]
}

fn version(random: &mut Random) -> i32 {
    *random.pick(&[-1, -1, -1, -1, -1, -1, 0, 1, 2])
}
