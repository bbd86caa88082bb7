//! One transaction of a log as a line of text.

use std::borrow::Cow;
use std::fmt::Write as _;

use ostler_wire::jute::{DecodeError, Reader, Text, repair};
use ostler_wire::txn::{CreateKind, CreateTxn, Txn, TxnRecord};

use super::java_text::{Dates, put_acl_list, put_acl_vector, put_text};

/// The text of a record's body, with the end of its line.
// Java: TxnLogToolkit.printTxn.
pub(crate) fn text_of(dates: &Dates, body: &[u8]) -> Result<String, DecodeError> {
    let record = TxnRecord::decode(body)?;
    let header = &record.header;
    let mut line = format!(
        "{} session 0x{:x} cxid 0x{:x} zxid 0x{:x} {} ",
        dates.short(header.time),
        header.session.0,
        i64::from(header.cxid.0),
        header.zxid.0,
        type_name(record.txn.type_number()),
    );
    match &record.txn {
        Txn::Multi(_) => put_multi(&mut line, body)?,
        txn => put_txn(&mut line, txn),
    }
    if !line.ends_with('\n') {
        line.push('\n');
    }
    Ok(line)
}

fn put_txn(out: &mut String, txn: &Txn<'_>) {
    match txn {
        Txn::Create(create) => put_create(out, create),
        Txn::SetData { path, data, version, .. } => {
            let _ = write!(out, "{path},{},{version}", data_text(*data));
        }
        Txn::Delete { path, .. } => put_text(out, path),
        Txn::Check { path, version } => {
            put_text(out, path);
            let _ = write!(out, ",{version}");
        }
        Txn::SetAcl { path, acl, version } => {
            put_text(out, path);
            out.push(',');
            put_acl_vector(out, acl);
            let _ = write!(out, ",{version}");
        }
        Txn::CreateSession { timeout_ms } => {
            let _ = write!(out, "{timeout_ms}");
        }
        Txn::CloseSession { paths: Some(paths) } => {
            out.push_str("v{");
            for (at, path) in paths.iter().enumerate() {
                out.push_str(if at == 0 { "" } else { "," });
                put_text(out, path);
            }
            out.push('}');
        }
        Txn::Error(code) => {
            let _ = write!(out, "{}", code.0);
        }
        // The second has its own function.
        Txn::CloseSession { paths: None } | Txn::Multi(_) => {}
    }
}

fn put_create(out: &mut String, create: &CreateTxn<'_>) {
    let _ = write!(out, "{},{},", create.path, data_text(create.data));
    put_acl_list(out, &create.acl);
    let parent_cversion = create.parent_cversion;
    let _ = match create.kind {
        CreateKind::Plain { ephemeral } | CreateKind::WithStat { ephemeral } => {
            write!(out, ",{ephemeral},{parent_cversion}")
        }
        CreateKind::Container => write!(out, ",{parent_cversion}"),
        CreateKind::Ttl { ttl_ms } => write!(out, ",{parent_cversion},{ttl_ms}"),
    };
}

/// The parts of a multi, each with the bytes of its record taken for text, as release 3.9.5 has it.
fn put_multi(out: &mut String, body: &[u8]) -> Result<(), DecodeError> {
    let from = &mut Reader::new(body.get(HEADER_BYTES..).unwrap_or_default());
    let parts = from.vector(|from| Ok((from.int()?, from.buffer()?)))?;
    for (at, (type_number, record)) in parts.unwrap_or_default().into_iter().enumerate() {
        out.push_str(if at == 0 { "" } else { ";" });
        let _ = write!(out, "{}:{}", type_name(type_number), data_text(record));
    }
    Ok(())
}

fn data_text(data: Option<&[u8]>) -> Text<'_> {
    repair(data.unwrap_or_default())
}

/// Java: Request.op2String.
fn type_name(number: i32) -> Cow<'static, str> {
    Cow::Borrowed(match number {
        -11 => "closeSession",
        -10 => "createSession",
        -1 => "error",
        1 => "create",
        2 => "delete",
        5 => "setData",
        7 => "setACL",
        13 => "check",
        14 => "multi",
        15 => "create2",
        16 => "reconfig",
        19 => "createContainer",
        20 => "deleteContainer",
        21 => "createTTL",
        other => return Cow::Owned(format!("unknown {other}")),
    })
}

/// Session, cxid, zxid, time and type.
const HEADER_BYTES: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use ostler_wire::acl::Acl;
    use ostler_wire::error::ErrorCode;
    use ostler_wire::ids::{SessionId, WallMs, Xid, Zxid};
    use ostler_wire::txn::TxnHeader;

    fn line(txn: Txn<'_>) -> String {
        let header = TxnHeader {
            session: SessionId(0x1_0000_0adf_9f00),
            cxid: Xid(-8),
            zxid: Zxid(0x1_0000_0003),
            time: WallMs(0),
        };
        let mut body = Vec::new();
        TxnRecord { header, txn, digest: None }.encode(&mut body);
        let line = text_of(&Dates::utc(), &body).expect("it was just made");
        let start = "1/1/70, 12:00:00 AM UTC session 0x100000adf9f00 cxid 0xfffffffffffffff8 \
                     zxid 0x100000003 ";
        line.strip_prefix(start).expect("every line begins so").to_owned()
    }

    fn create(kind: CreateKind) -> Txn<'static> {
        let (path, data) = ("/a".into(), Some(&b"x\xff"[..]));
        Txn::Create(CreateTxn { kind, path, data, acl: Acl::open(), parent_cversion: 3 })
    }

    #[test]
    fn each_kind_has_its_form() {
        let ephemeral = CreateKind::WithStat { ephemeral: true };
        let acl = "[31,s{'world,'anyone}\n]";
        assert_eq!(line(create(ephemeral)), format!("create2 /a,x\u{fffd},{acl},true,3\n"));
        let container = line(create(CreateKind::Container));
        assert_eq!(container, format!("createContainer /a,x\u{fffd},{acl},3\n"));
        let ttl = line(create(CreateKind::Ttl { ttl_ms: 60_000 }));
        assert_eq!(ttl, format!("createTTL /a,x\u{fffd},{acl},3,60000\n"));
        let delete = |container| Txn::Delete { path: "/a,b".into(), container };
        assert_eq!(line(delete(false)), "delete '/a%2Cb\n");
        assert_eq!(line(delete(true)), "deleteContainer '/a%2Cb\n");
        assert_eq!(line(Txn::Error(ErrorCode(-110))), "error -110\n");
        let paths = Some(vec!["/e".into(), "/f".into()]);
        assert_eq!(line(Txn::CloseSession { paths }), "closeSession v{'/e,'/f}\n");
        let set = Txn::SetAcl { path: "/a".into(), acl: Acl::open(), version: 1 };
        assert_eq!(line(set), "setACL '/a,v{s{31,s{'world,'anyone}}},1\n");
    }

    #[test]
    fn a_multi_shows_the_bytes_of_its_parts() {
        let delete = Txn::Delete { path: "/a".into(), container: false };
        let multi = Txn::Multi(vec![delete, Txn::Error(ErrorCode(-101))]);
        let (path, code) = ("\0\0\0\u{2}/a", "\u{fffd}".repeat(4));
        assert_eq!(line(multi), format!("multi delete:{path};error:{code}\n"));
    }
}
