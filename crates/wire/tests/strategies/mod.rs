//! Random records, such as a well-behaved sender can make.

use ostler_wire::acl::{Acl, AclEntry, Id, Perms};
use ostler_wire::error::ErrorCode;
use ostler_wire::ids::{SessionId, WallMs, Xid, Zxid};
use ostler_wire::jute::Text;
use ostler_wire::reply::{OpResult, ReplyHeader};
use ostler_wire::request::{CreateRequest, Request, WatchLists};
use ostler_wire::stat::{Stat, StatPersisted};
use ostler_wire::txn::{CreateKind, CreateTxn, Txn, TxnDigest, TxnHeader, TxnRecord};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

type Data = Option<&'static [u8]>;
type Texts = Vec<Text<'static>>;

/// What buffers are cut from, so that records can borrow.
static BLOB: [u8; 8] = [0, 0xff, 0x7f, 0x80, 1, b'a', 0, 0];

pub(crate) fn data() -> impl Strategy<Value = Data> {
    let piece = (0..=BLOB.len(), 0..=BLOB.len()).prop_map(|(a, b)| &BLOB[a.min(b)..a.max(b)]);
    option::weighted(0.8, piece)
}

fn text() -> impl Strategy<Value = Text<'static>> {
    prop_oneof![3 => "(/[a-c]{1,3}){1,3}", 1 => ".{0,6}"].prop_map(Text::Owned)
}

fn texts() -> impl Strategy<Value = Texts> {
    vec(text(), 0..5)
}

fn entry() -> impl Strategy<Value = AclEntry<'static>> {
    (any::<i32>(), option::of(text()), option::of(text()))
        .prop_map(|(perms, scheme, id)| AclEntry { perms: Perms(perms), scheme, id })
}

fn entries() -> impl Strategy<Value = Option<Vec<AclEntry<'static>>>> {
    option::weighted(0.9, vec(entry(), 0..4))
}

pub(crate) fn acl_list() -> impl Strategy<Value = Vec<Acl>> {
    let acl = (any::<i32>(), ".{0,6}", ".{0,6}")
        .prop_map(|(perms, scheme, id)| Acl { perms: Perms(perms), id: Id::new(&scheme, &id) });
    vec(acl, 0..4)
}

pub(crate) fn reply_header(zxid: i64) -> ReplyHeader {
    ReplyHeader { xid: Xid(1), zxid: Zxid(zxid), err: ErrorCode::OK }
}

prop_compose! {
    pub(crate) fn stat()(
        (czxid, mzxid, ctime, mtime) in any::<(i64, i64, i64, i64)>(),
        (version, cversion, aversion) in any::<(i32, i32, i32)>(),
        (owner, data_length, num_children, pzxid) in any::<(i64, i32, i32, i64)>(),
    ) -> Stat {
        Stat {
            czxid: Zxid(czxid),
            mzxid: Zxid(mzxid),
            ctime: WallMs(ctime),
            mtime: WallMs(mtime),
            version,
            cversion,
            aversion,
            ephemeral_owner: SessionId(owner),
            data_length,
            num_children,
            pzxid: Zxid(pzxid),
        }
    }
}

pub(crate) fn stat_persisted() -> impl Strategy<Value = StatPersisted> {
    stat().prop_map(|stat| StatPersisted {
        czxid: stat.czxid,
        mzxid: stat.mzxid,
        ctime: stat.ctime,
        mtime: stat.mtime,
        version: stat.version,
        cversion: stat.cversion,
        aversion: stat.aversion,
        ephemeral_owner: stat.ephemeral_owner.0,
        pzxid: stat.pzxid,
    })
}

prop_compose! {
    /// Without a TTL, as all opcodes but one have it.
    fn create_request()(
        path in text(), data in data(), acl in entries(), flags in any::<i32>(),
    ) -> CreateRequest<'static> {
        CreateRequest { path, data, acl, flags, ttl_ms: -1 }
    }
}

fn watch_lists(with_persistent: bool) -> impl Strategy<Value = WatchLists<'static>> {
    (any::<i64>(), texts(), texts(), texts(), texts(), texts()).prop_map(
        move |(zxid, data, exist, child, persistent, recursive)| {
            let lists = WatchLists {
                relative_zxid: Zxid(zxid),
                data,
                exist,
                child,
                ..WatchLists::default()
            };
            if with_persistent { WatchLists { persistent, recursive, ..lists } } else { lists }
        },
    )
}

/// Any request at all.
pub(crate) fn request() -> impl Strategy<Value = Request<'static>> {
    prop_oneof![
        3 => path_request(),
        3 => write_request(),
        2 => vec(multi_write(), 0..5).prop_map(Request::Multi),
        1 => vec(multi_read(), 0..5).prop_map(Request::MultiRead),
        2 => session_request(),
    ]
}

/// Requests of a path and a number or a flag.
fn path_request() -> impl Strategy<Value = Request<'static>> {
    (0..12, text(), any::<i32>(), any::<bool>()).prop_map(
        |(which, path, number, watch)| match which {
            0 => Request::AddWatch { path, mode: number },
            1 => Request::Check { path, version: number },
            2 => Request::CheckWatches { path, watcher_type: number },
            3 => Request::Delete { path, version: number },
            4 => Request::RemoveWatches { path, watcher_type: number },
            5 => Request::Exists { path, watch },
            6 => Request::GetChildren { path, watch },
            7 => Request::GetChildren2 { path, watch },
            8 => Request::GetData { path, watch },
            9 => Request::GetAcl { path },
            10 => Request::GetAllChildrenNumber { path },
            _ => Request::GetEphemerals { prefix: watch.then_some(path) },
        },
    )
}

fn write_request() -> impl Strategy<Value = Request<'static>> {
    prop_oneof![
        create_request().prop_map(Request::Create),
        create_request().prop_map(Request::Create2),
        create_request().prop_map(Request::CreateContainer),
        (create_request(), any::<i64>())
            .prop_map(|(create, ttl_ms)| Request::CreateTtl(CreateRequest { ttl_ms, ..create })),
        (text(), data(), any::<i32>()).prop_map(|(path, data, version)| Request::SetData {
            path,
            data,
            version
        }),
        (text(), entries(), any::<i32>()).prop_map(|(path, acl, version)| Request::SetAcl {
            path,
            acl,
            version
        }),
    ]
}

fn session_request() -> impl Strategy<Value = Request<'static>> {
    prop_oneof![
        Just(Request::CloseSession),
        Just(Request::Ping),
        Just(Request::WhoAmI),
        (text(), data()).prop_map(|(scheme, auth)| Request::Auth { scheme, auth }),
        data().prop_map(|token| Request::Sasl { token }),
        option::of(text()).prop_map(|path| Request::Sync { path }),
        watch_lists(false).prop_map(Request::SetWatches),
        watch_lists(true).prop_map(Request::SetWatches2),
        (option::of(text()), option::of(text()), option::of(text()), any::<i64>()).prop_map(
            |(joining, leaving, members, config_id)| Request::Reconfig {
                joining,
                leaving,
                members,
                config_id
            }
        ),
    ]
}

/// A part of a multi whose flags agree with its opcode, so that decoding keeps its type.
fn multi_write() -> impl Strategy<Value = Request<'static>> {
    let create = (create_request(), vec(entry(), 0..3), 0..=3)
        .prop_map(|(create, acl, flags)| CreateRequest { acl: Some(acl), flags, ..create });
    prop_oneof![
        (create, 0..6, 0..i64::MAX).prop_map(|(create, which, ttl_ms)| match which {
            0 | 1 => Request::Create(create),
            2 => Request::Create2(create),
            3 => Request::CreateContainer(CreateRequest { flags: 4, ..create }),
            _ => Request::CreateTtl(CreateRequest { flags: which + 1, ttl_ms, ..create }),
        }),
        (text(), any::<i32>()).prop_map(|(path, version)| Request::Delete { path, version }),
        (text(), any::<i32>()).prop_map(|(path, version)| Request::Check { path, version }),
        (text(), data(), any::<i32>()).prop_map(|(path, data, version)| Request::SetData {
            path,
            data,
            version
        }),
    ]
}

fn multi_read() -> impl Strategy<Value = Request<'static>> {
    (text(), any::<bool>(), any::<bool>()).prop_map(|(path, watch, children)| {
        if children {
            Request::GetChildren { path, watch }
        } else {
            Request::GetData { path, watch }
        }
    })
}

pub(crate) fn op_result() -> impl Strategy<Value = OpResult> {
    prop_oneof![
        ".{0,6}".prop_map(|path| OpResult::Created { path }),
        (".{0,6}", stat()).prop_map(|(path, stat)| OpResult::CreatedWithStat { path, stat }),
        Just(OpResult::Deleted),
        Just(OpResult::Checked),
        stat().prop_map(OpResult::DataSet),
        (data(), stat())
            .prop_map(|(data, stat)| OpResult::Data { data: data.map(<[u8]>::to_vec), stat }),
        vec(".{0,6}", 0..4).prop_map(OpResult::Children),
        any::<i32>().prop_map(|code| OpResult::Error(ErrorCode(code))),
    ]
}

fn create_txn() -> impl Strategy<Value = Txn<'static>> {
    let kind = prop_oneof![
        any::<bool>().prop_map(|ephemeral| CreateKind::Plain { ephemeral }),
        any::<bool>().prop_map(|ephemeral| CreateKind::WithStat { ephemeral }),
        Just(CreateKind::Container),
        any::<i64>().prop_map(|ttl_ms| CreateKind::Ttl { ttl_ms }),
    ];
    (kind, text(), data(), acl_list(), any::<i32>()).prop_map(
        |(kind, path, data, acl, parent_cversion)| {
            Txn::Create(CreateTxn { kind, path, data, acl, parent_cversion })
        },
    )
}

/// What can stand inside a multi.
fn sub_txn() -> impl Strategy<Value = Txn<'static>> {
    prop_oneof![
        create_txn(),
        (text(), any::<bool>()).prop_map(|(path, container)| Txn::Delete { path, container }),
        (text(), data(), any::<i32>()).prop_map(|(path, data, version)| Txn::SetData {
            path,
            data,
            version,
            reconfig: false
        }),
        (text(), any::<i32>()).prop_map(|(path, version)| Txn::Check { path, version }),
        any::<i32>().prop_map(|code| Txn::Error(ErrorCode(code))),
    ]
}

fn txn() -> impl Strategy<Value = Txn<'static>> {
    let alone = |txn: &Txn<'_>| !matches!(txn, Txn::Check { .. });
    prop_oneof![
        3 => sub_txn().prop_filter("a check stands only inside a multi", alone),
        1 => (text(), data(), any::<i32>()).prop_map(|(path, data, version)| Txn::SetData {
            path, data, version, reconfig: true
        }),
        1 => (text(), acl_list(), any::<i32>())
            .prop_map(|(path, acl, version)| Txn::SetAcl { path, acl, version }),
        1 => any::<i32>().prop_map(|timeout_ms| Txn::CreateSession { timeout_ms }),
        1 => texts().prop_map(|paths| Txn::CloseSession { paths: Some(paths) }),
        2 => vec(sub_txn(), 0..5).prop_map(Txn::Multi),
    ]
}

prop_compose! {
    pub(crate) fn txn_record()(
        (session, cxid, zxid, time) in any::<(i64, i32, i64, i64)>(),
        txn in txn(),
        tree_digest in any::<Option<u64>>(),
    ) -> TxnRecord<'static> {
        TxnRecord {
            header: TxnHeader {
                session: SessionId(session),
                cxid: Xid(cxid),
                zxid: Zxid(zxid),
                time: WallMs(time),
            },
            txn,
            digest: tree_digest
                .map(|tree_digest| TxnDigest { version: TxnDigest::VERSION, tree_digest }),
        }
    }
}
