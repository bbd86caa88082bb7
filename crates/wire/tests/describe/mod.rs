//! Records as the golden files print them: `{name=value name=value}`.
//!
//! Texts are quoted, byte arrays are hex behind an `x`, lists are `[a, b]`, absent is `null`. The
//! names are those of ZooKeeper's own classes, so a swapped pair of fields shows up here.

use ostler_wire::acl::{Acl, AclEntry};
use ostler_wire::connect::{ConnectRequest, ConnectResponse};
use ostler_wire::jute::{DecodeError, Put, Reader, Text};
use ostler_wire::op::OpCode;
use ostler_wire::reply::{self, OpResult};
use ostler_wire::request::{CreateRequest, Request, WatchLists};
use ostler_wire::stat::{Stat, StatPersisted};
use ostler_wire::txn::{CreateKind, CreateTxn, Txn, TxnHeader, TxnRecord};

/// A record under construction.
pub(crate) struct Fields(String);

impl Fields {
    pub(crate) fn new() -> Self {
        Self(String::from("{"))
    }

    pub(crate) fn with(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        if self.0.len() > 1 {
            self.0.push(' ');
        }
        self.0.push_str(&format!("{name}={value}"));
        self
    }

    pub(crate) fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    if text == "-" {
        return Vec::new();
    }
    let digits: Vec<u32> = text.chars().map(|c| c.to_digit(16).expect("a hex digit")).collect();
    assert!(digits.len().is_multiple_of(2), "hex digits come in pairs: {text}");
    digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).expect("one byte")).collect()
}

pub(crate) fn data(bytes: Option<&[u8]>) -> String {
    bytes.map_or_else(|| "null".into(), |bytes| format!("x{}", hex(bytes)))
}

pub(crate) fn text(text: Option<&str>) -> String {
    text.map_or_else(|| "null".into(), |text| format!("\"{text}\""))
}

pub(crate) fn list<T>(elements: &[T], one: impl Fn(&T) -> String) -> String {
    format!("[{}]", elements.iter().map(one).collect::<Vec<_>>().join(", "))
}

fn texts(paths: &[Text<'_>]) -> String {
    list(paths, |path| text(Some(path)))
}

pub(crate) fn acl(entry: &Acl) -> String {
    let id = Fields::new()
        .with("scheme", text(Some(&entry.id.scheme)))
        .with("id", text(Some(&entry.id.id)));
    Fields::new().with("perms", entry.perms.0).with("id", id.end()).end()
}

fn acl_entry(entry: &AclEntry<'_>) -> String {
    let id = Fields::new()
        .with("scheme", text(entry.scheme.as_deref()))
        .with("id", text(entry.id.as_deref()));
    Fields::new().with("perms", entry.perms.0).with("id", id.end()).end()
}

fn acl_entries(entries: Option<&[AclEntry<'_>]>) -> String {
    entries.map_or_else(|| "null".into(), |entries| list(entries, acl_entry))
}

pub(crate) fn stat(stat: &Stat) -> String {
    Fields::new()
        .with("czxid", stat.czxid.0)
        .with("mzxid", stat.mzxid.0)
        .with("ctime", stat.ctime.0)
        .with("mtime", stat.mtime.0)
        .with("version", stat.version)
        .with("cversion", stat.cversion)
        .with("aversion", stat.aversion)
        .with("ephemeralOwner", stat.ephemeral_owner.0)
        .with("dataLength", stat.data_length)
        .with("numChildren", stat.num_children)
        .with("pzxid", stat.pzxid.0)
        .end()
}

pub(crate) fn stat_persisted(stat: &StatPersisted) -> String {
    Fields::new()
        .with("czxid", stat.czxid.0)
        .with("mzxid", stat.mzxid.0)
        .with("ctime", stat.ctime.0)
        .with("mtime", stat.mtime.0)
        .with("version", stat.version)
        .with("cversion", stat.cversion)
        .with("aversion", stat.aversion)
        .with("ephemeralOwner", stat.ephemeral_owner)
        .with("pzxid", stat.pzxid.0)
        .end()
}

pub(crate) fn connect_request(request: &ConnectRequest<'_>) -> String {
    let fields = Fields::new()
        .with("protocolVersion", request.protocol_version)
        .with("lastZxidSeen", request.last_zxid_seen.0)
        .with("timeOut", request.timeout_ms)
        .with("sessionId", request.session.0)
        .with("passwd", data(request.password));
    end_with_read_only(fields, request.read_only)
}

pub(crate) fn connect_response(response: &ConnectResponse) -> String {
    let fields = Fields::new()
        .with("protocolVersion", 0)
        .with("timeOut", response.timeout_ms)
        .with("sessionId", response.session.0)
        .with("passwd", data(Some(&response.password)));
    end_with_read_only(fields, response.read_only)
}

fn end_with_read_only(fields: Fields, read_only: Option<bool>) -> String {
    let record = fields.with("readOnly", read_only.unwrap_or(false)).end();
    match read_only {
        Some(_) => record,
        None => format!("{record} without the readOnly byte"),
    }
}

pub(crate) fn request(request: &Request<'_>) -> String {
    let fields = Fields::new();
    let path_field = |path: &Text<'_>| Fields::new().with("path", text(Some(path)));
    match request {
        Request::CloseSession | Request::Ping | Request::WhoAmI => return "no body".into(),
        Request::Multi(ops) | Request::MultiRead(ops) => return multi(ops),
        Request::AddWatch { path, mode } => path_field(path).with("mode", mode),
        Request::Auth { scheme, auth } => {
            fields.with("type", 0).with("scheme", text(Some(scheme))).with("auth", data(*auth))
        }
        Request::Check { path, version } | Request::Delete { path, version } => {
            path_field(path).with("version", version)
        }
        Request::CheckWatches { path, watcher_type }
        | Request::RemoveWatches { path, watcher_type } => {
            path_field(path).with("type", watcher_type)
        }
        Request::Create(body) | Request::Create2(body) | Request::CreateContainer(body) => {
            create(body)
        }
        Request::CreateTtl(body) => create(body).with("ttl", body.ttl_ms),
        Request::Exists { path, watch }
        | Request::GetChildren { path, watch }
        | Request::GetChildren2 { path, watch }
        | Request::GetData { path, watch } => path_field(path).with("watch", watch),
        Request::GetAcl { path } | Request::GetAllChildrenNumber { path } => path_field(path),
        Request::GetEphemerals { prefix } => fields.with("prefixPath", text(prefix.as_deref())),
        Request::Reconfig { joining, leaving, members, config_id } => fields
            .with("joiningServers", text(joining.as_deref()))
            .with("leavingServers", text(leaving.as_deref()))
            .with("newMembers", text(members.as_deref()))
            .with("curConfigId", config_id),
        Request::Sasl { token } => fields.with("token", data(*token)),
        Request::SetAcl { path, acl, version } => {
            path_field(path).with("acl", acl_entries(acl.as_deref())).with("version", version)
        }
        Request::SetData { path, data: bytes, version } => {
            path_field(path).with("data", data(*bytes)).with("version", version)
        }
        Request::SetWatches(lists) => watch_lists(lists),
        Request::SetWatches2(lists) => watch_lists(lists)
            .with("persistentWatches", texts(&lists.persistent))
            .with("persistentRecursiveWatches", texts(&lists.recursive)),
        Request::Sync { path } => fields.with("path", text(path.as_deref())),
    }
    .end()
}

fn create(create: &CreateRequest<'_>) -> Fields {
    Fields::new()
        .with("path", text(Some(&create.path)))
        .with("data", data(create.data))
        .with("acl", acl_entries(create.acl.as_deref()))
        .with("flags", create.flags)
}

fn watch_lists(lists: &WatchLists<'_>) -> Fields {
    Fields::new()
        .with("relativeZxid", lists.relative_zxid.0)
        .with("dataWatches", texts(&lists.data))
        .with("existWatches", texts(&lists.exist))
        .with("childWatches", texts(&lists.child))
}

fn multi(ops: &[Request<'_>]) -> String {
    if ops.is_empty() {
        return "no ops".into();
    }
    let one = |op: &Request<'_>| format!("type={} {}", op.op().number(), request(op));
    ops.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// Reads the body of a successful reply to `op` to its end, prints it, and writes it again.
pub(crate) fn reply(op: OpCode, body: &[u8]) -> Result<(String, Vec<u8>), DecodeError> {
    let from = &mut Reader::new(body);
    let mut out = Vec::new();
    let fields = match op {
        OpCode::Multi | OpCode::MultiRead => {
            let results = OpResult::read_all(from)?;
            OpResult::write_all(&results, &mut out);
            assert!(from.rest().is_empty(), "bytes are left over");
            return Ok((list(&results, |result| format!("{result:?}")), out));
        }
        OpCode::Create | OpCode::Sync => Fields::new().with("path", copy_text(from, &mut out)?),
        OpCode::Create2 | OpCode::CreateContainer | OpCode::CreateTtl => {
            let fields = Fields::new().with("path", copy_text(from, &mut out)?);
            fields.with("stat", copy_stat(from, &mut out)?)
        }
        OpCode::Exists | OpCode::SetData | OpCode::SetAcl => {
            Fields::new().with("stat", copy_stat(from, &mut out)?)
        }
        OpCode::GetData | OpCode::Reconfig => {
            let bytes = from.buffer()?;
            out.put_buffer(bytes);
            Fields::new().with("data", data(bytes)).with("stat", copy_stat(from, &mut out)?)
        }
        OpCode::GetAcl => {
            let (entries, znode) = (Acl::read_list(from)?, Stat::read(from)?);
            reply::write_acl(&entries, &znode, &mut out);
            Fields::new().with("acl", list(&entries, acl)).with("stat", stat(&znode))
        }
        OpCode::GetChildren => Fields::new().with("children", copy_names(from, &mut out)?),
        OpCode::GetChildren2 => {
            let fields = Fields::new().with("children", copy_names(from, &mut out)?);
            fields.with("stat", copy_stat(from, &mut out)?)
        }
        OpCode::GetEphemerals => Fields::new().with("ephemerals", copy_names(from, &mut out)?),
        OpCode::GetAllChildrenNumber => {
            Fields::new().with("totalNumber", copy_int(from, &mut out)?)
        }
        OpCode::AddWatch => Fields::new().with("err", copy_int(from, &mut out)?),
        OpCode::Sasl => {
            let token = from.buffer()?;
            out.put_buffer(token);
            Fields::new().with("token", data(token))
        }
        OpCode::WhoAmI => Fields::new().with("clientInfo", copy_client_infos(from, &mut out)?),
        _ => Fields::new(),
    };
    assert!(from.rest().is_empty(), "bytes are left over: {}", hex(from.rest()));
    Ok((fields.end(), out))
}

fn copy_int(from: &mut Reader<'_>, out: &mut Vec<u8>) -> Result<i32, DecodeError> {
    let value = from.int()?;
    out.put_int(value);
    Ok(value)
}

fn copy_text(from: &mut Reader<'_>, out: &mut Vec<u8>) -> Result<String, DecodeError> {
    let value = from.string()?;
    out.put_buffer(value.as_deref().map(str::as_bytes));
    Ok(text(value.as_deref()))
}

fn copy_stat(from: &mut Reader<'_>, out: &mut Vec<u8>) -> Result<String, DecodeError> {
    let value = Stat::read(from)?;
    value.write(out);
    Ok(stat(&value))
}

fn copy_names(from: &mut Reader<'_>, out: &mut Vec<u8>) -> Result<String, DecodeError> {
    let names = from.vector(Reader::text)?.unwrap_or_default();
    reply::write_names(names.len(), names.iter().map(AsRef::as_ref), out);
    Ok(texts(&names))
}

fn copy_client_infos(from: &mut Reader<'_>, out: &mut Vec<u8>) -> Result<String, DecodeError> {
    let infos = from.vector(|from| Ok((from.text()?, from.text()?)))?.unwrap_or_default();
    out.put_count(infos.len());
    for (scheme, user) in &infos {
        out.put_string(scheme);
        out.put_string(user);
    }
    Ok(list(&infos, |(scheme, user)| {
        Fields::new().with("authScheme", text(Some(scheme))).with("user", text(Some(user))).end()
    }))
}

pub(crate) fn txn_header(header: &TxnHeader, type_number: i32) -> String {
    Fields::new()
        .with("clientId", header.session.0)
        .with("cxid", header.cxid.0)
        .with("zxid", header.zxid.0)
        .with("time", header.time.0)
        .with("type", type_number)
        .end()
}

/// The body of a transaction; a closeSession without paths is "none".
pub(crate) fn txn(txn: &Txn<'_>) -> String {
    let path_field = |path: &Text<'_>| Fields::new().with("path", text(Some(path)));
    match txn {
        Txn::Create(create) => create_txn(create),
        Txn::Delete { path, .. } => path_field(path),
        Txn::SetData { path, data: bytes, version, .. } => {
            path_field(path).with("data", data(*bytes)).with("version", version)
        }
        Txn::SetAcl { path, acl: entries, version } => {
            path_field(path).with("acl", list(entries, acl)).with("version", version)
        }
        Txn::Check { path, version } => path_field(path).with("version", version),
        Txn::CreateSession { timeout_ms } => Fields::new().with("timeOut", timeout_ms),
        Txn::CloseSession { paths: None } => return "none".into(),
        Txn::CloseSession { paths: Some(paths) } => {
            Fields::new().with("paths2Delete", texts(paths))
        }
        Txn::Error(code) => Fields::new().with("err", code.0),
        Txn::Multi(sub_txns) => Fields::new().with("txns", list(sub_txns, sub_txn)),
    }
    .end()
}

fn sub_txn(txn: &Txn<'_>) -> String {
    let body = data(Some(&txn_body(txn)));
    Fields::new().with("type", txn.type_number()).with("data", body).end()
}

/// The bytes of a transaction without header and digest.
pub(crate) fn txn_body(txn: &Txn<'_>) -> Vec<u8> {
    let header = TxnHeader {
        session: ostler_wire::ids::SessionId::NONE,
        cxid: ostler_wire::ids::Xid(0),
        zxid: ostler_wire::ids::Zxid::ZERO,
        time: ostler_wire::ids::WallMs(0),
    };
    let mut out = Vec::new();
    TxnRecord { header, txn: txn.clone(), digest: None }.encode(&mut out);
    out.split_off(TXN_HEADER_BYTES)
}

/// Length of an encoded transaction header.
pub(crate) const TXN_HEADER_BYTES: usize = 32;

fn create_txn(create: &CreateTxn<'_>) -> Fields {
    let fields = Fields::new()
        .with("path", text(Some(&create.path)))
        .with("data", data(create.data))
        .with("acl", list(&create.acl, acl));
    match create.kind {
        CreateKind::Plain { ephemeral } | CreateKind::WithStat { ephemeral } => {
            fields.with("ephemeral", ephemeral).with("parentCVersion", create.parent_cversion)
        }
        CreateKind::Container => fields.with("parentCVersion", create.parent_cversion),
        CreateKind::Ttl { ttl_ms } => {
            fields.with("parentCVersion", create.parent_cversion).with("ttl", ttl_ms)
        }
    }
}
