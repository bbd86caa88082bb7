//! The file that `export` writes and `import` reads: a subtree as JSON.
//!
//! ```text
//! {"format": "ostler-export", "version": 1, "root": "/a", "nodes": [
//! {"path":"","data":"text"},
//! {"path":"/b","base64":"/w=="},
//! {"path":"/b/c","acl":["digest:joe:Xa=:cdrwa"],"kind":"ttl","ttl_ms":60000}
//! ]}
//! ```
//!
//! One znode a line, parents before children, so that such files can be compared line by line.
//! Paths are what follows the root. Data that are no text stand in base64; without either they are
//! null. Without `acl` everybody may do everything, without `kind` the znode is an ordinary one.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ostler_client::CreateOptions;
use ostler_wire::acl::Acl;
use serde_json::{Map, Value, json};

use super::acl_text;

/// How long a znode lives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// Until it is deleted.
    Persistent,
    /// As long as the session of whoever made it.
    Ephemeral,
    /// Until its last child is gone.
    Container,
    /// Until it was not changed for so many milliseconds.
    Ttl(u64),
}

/// The owner that marks a container.
const CONTAINER: i64 = i64::MIN;
/// The bits of an owner that mark a TTL, and the ones that hold it.
const TTL_MARK: u64 = 0xff_0000 << 40;
const TTL_BITS: u64 = (1 << 40) - 1;

impl Kind {
    /// What the owner in a stat says.
    pub(super) fn of_owner(owner: i64) -> Self {
        let bits = owner.cast_unsigned();
        match owner {
            0 => Self::Persistent,
            CONTAINER => Self::Container,
            _ if bits & !TTL_BITS == TTL_MARK => Self::Ttl(bits & TTL_BITS),
            _ => Self::Ephemeral,
        }
    }
}

/// A znode of an export.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Node {
    /// What follows the root; empty for the root itself.
    pub path: String,
    /// Its data.
    pub data: Option<Vec<u8>>,
    /// Who may do what.
    pub acl: Vec<Acl>,
    /// How long it lives.
    pub kind: Kind,
}

impl Node {
    /// How to create it.
    pub(super) fn options(&self) -> CreateOptions {
        let options = match self.kind {
            Kind::Persistent => CreateOptions::persistent(),
            Kind::Ephemeral => CreateOptions::ephemeral(),
            Kind::Container => CreateOptions::container(),
            Kind::Ttl(ttl_ms) => CreateOptions::ttl(Duration::from_millis(ttl_ms)),
        };
        options.acl(self.acl.clone())
    }

    /// Its line, without the end.
    pub(super) fn line(&self) -> String {
        let mut fields = Map::new();
        fields.insert("path".to_string(), json!(self.path));
        match self.data.as_deref().map(|data| (data, std::str::from_utf8(data))) {
            None => {}
            Some((_, Ok(text))) => drop(fields.insert("data".to_string(), json!(text))),
            Some((data, Err(_))) => {
                fields.insert("base64".to_string(), json!(STANDARD.encode(data)));
            }
        }
        if self.acl != Acl::open() {
            fields.insert("acl".to_string(), json!(acl_text::write(&self.acl)));
        }
        let kind = match self.kind {
            Kind::Persistent => None,
            Kind::Ephemeral => Some("ephemeral"),
            Kind::Container => Some("container"),
            Kind::Ttl(_) => Some("ttl"),
        };
        if let Some(kind) = kind {
            fields.insert("kind".to_string(), json!(kind));
        }
        if let Kind::Ttl(ttl_ms) = self.kind {
            fields.insert("ttl_ms".to_string(), json!(ttl_ms));
        }
        Value::Object(fields).to_string()
    }

    fn read(value: &Value) -> Result<Self, String> {
        let text = |name: &str| value.get(name).and_then(Value::as_str);
        let path = text("path").ok_or("it has no path")?.to_string();
        let data = match (text("data"), text("base64")) {
            (Some(data), _) => Some(data.as_bytes().to_vec()),
            (None, Some(data)) => {
                Some(STANDARD.decode(data).map_err(|error| format!("{path}: base64: {error}"))?)
            }
            (None, None) => None,
        };
        let acl = match value.get("acl") {
            None => Acl::open(),
            Some(list) => read_acl(list).map_err(|why| format!("{path}: acl: {why}"))?,
        };
        let kind = match text("kind") {
            None => Kind::Persistent,
            Some("ephemeral") => Kind::Ephemeral,
            Some("container") => Kind::Container,
            Some("ttl") => {
                let ttl_ms = value.get("ttl_ms").and_then(Value::as_u64);
                Kind::Ttl(ttl_ms.ok_or_else(|| format!("{path}: it has no ttl_ms"))?)
            }
            Some(kind) => return Err(format!("{path}: the kind {kind} is not known")),
        };
        Ok(Self { path, data, acl, kind })
    }
}

fn read_acl(list: &Value) -> Result<Vec<Acl>, String> {
    let mut acl = Vec::new();
    let mut complaints = Vec::new();
    for entry in list.as_array().ok_or("it is no list")? {
        acl.extend(acl_text::parse_entry(entry.as_str().ok_or("it is no text")?, &mut complaints));
    }
    complaints.into_iter().next().map_or(Ok(acl), Err)
}

/// What stands before the lines of the znodes.
pub(super) fn head(root: &str) -> String {
    let root = json!(root);
    format!("{{\"format\": \"ostler-export\", \"version\": 1, \"root\": {root}, \"nodes\": [\n")
}

/// What stands behind them.
pub(super) const TAIL: &str = "\n]}\n";

/// Reads a file: its root and the znodes.
///
/// # Errors
/// A sentence about what is wrong with it.
pub(super) fn read(text: &str) -> Result<(String, Vec<Node>), String> {
    let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if value.get("format").and_then(Value::as_str) != Some("ostler-export") {
        return Err("it is not an export of this shell".to_string());
    }
    if value.get("version").and_then(Value::as_u64) != Some(1) {
        return Err("it is of a version that is not known".to_string());
    }
    let root = value.get("root").and_then(Value::as_str).ok_or("it has no root")?.to_string();
    let nodes = value.get("nodes").and_then(Value::as_array).ok_or("it has no nodes")?;
    let nodes = nodes.iter().map(Node::read).collect::<Result<Vec<_>, _>>()?;
    Ok((root, nodes))
}

#[cfg(test)]
mod tests {
    use ostler_wire::acl::{Id, Perms};

    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let node = |path: &str, data: Option<&[u8]>, kind| Node {
            path: path.to_string(),
            data: data.map(<[u8]>::to_vec),
            acl: Acl::open(),
            kind,
        };
        let mut nodes = vec![
            node("", Some(b"text \"\n"), Kind::Persistent),
            node("/bytes", Some(&[0xff, 0]), Kind::Container),
            node("/null", None, Kind::Ttl(1000)),
            node("/empty", Some(b""), Kind::Ephemeral),
        ];
        nodes[1].acl = vec![Acl { perms: Perms(3), id: Id::new("x509", "CN=a,O=b:c") }];
        let lines: Vec<String> = nodes.iter().map(Node::line).collect();
        assert_eq!(lines[0], r#"{"data":"text \"\n","path":""}"#);
        let text = format!("{}{}{TAIL}", head("/a"), lines.join(",\n"));
        assert_eq!(read(&text).unwrap(), ("/a".to_string(), nodes));
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        let strange = format!("{}{}{TAIL}", head("/"), r#"{"path":"/a","kind":"x"}"#);
        for (text, why) in [
            ("{", "EOF"),
            ("{}", "not an export"),
            (r#"{"format":"ostler-export","version":2}"#, "version"),
            (&strange, "/a: the kind x"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn owners_tell_the_kind() {
        assert_eq!(Kind::of_owner(0), Kind::Persistent);
        assert_eq!(Kind::of_owner(i64::MIN), Kind::Container);
        assert_eq!(Kind::of_owner(0x10_0000_1234_0000), Kind::Ephemeral);
        assert_eq!(Kind::of_owner(0xff00_0000_0000_03e8_u64.cast_signed()), Kind::Ttl(1000));
    }
}
