//! Requests of transcripts.
//!
//! ```text
//! create|create2 PATH [DATA] [ephemeral] [seq] [flags=N] [acl=LIST]
//! container|createttl PATH [DATA] ...     the same; a time to live is ttl=MS
//! delete PATH [v=N]                       set PATH DATA [v=N]
//! get|exists|ls|ls2 PATH [watch]          getacl PATH
//! setacl PATH LIST [v=N]                  sync PATH
//! ping   close                            auth SCHEME [TEXT]
//! multi REQUEST , REQUEST ...             check PATH [v=N] (in a multi)
//! setwatches ZXID [data=P+P] [exist=P+P] [child=P+P] [persistent=P+P] [recursive=P+P]
//! addwatch PATH MODE                      checkwatches|removewatches PATH TYPE
//! multiread REQUEST , REQUEST ...         ephemerals PREFIX
//! count PATH                              whoami
//! op NUMBER [FIELD ...]                   any operation with any body
//! ```
//!
//! A LIST is `scheme:id:perms` joined by `+`; perms are letters of `cdrwa` or a number. A path or
//! text may hold `\xNNNN` for a character, and is null when it is `<null>`; `""` is empty. A FIELD
//! is `i:` int, `l:` long, `s:` string, `b:` bool, `h:` bytes in hex. `xid=N` overrides the number.

use std::borrow::Cow;

use ostler_wire::acl::{AclEntry, Perms};
use ostler_wire::ids::Zxid;
use ostler_wire::jute::Put as _;
use ostler_wire::request::{CreateRequest, Request, WatchLists};

use super::number;

/// The operation's number and its body.
pub(super) fn encode(text: &str) -> (i32, Vec<u8>) {
    let mut body = Vec::new();
    if let Some(fields) = text.strip_prefix("op ") {
        let mut fields = fields.split(' ').filter(|field| !field.starts_with("xid="));
        let op = number(fields.next().expect("a number"));
        fields.for_each(|field| put_field(field, &mut body));
        return (op, body);
    }
    let request = parse(text);
    request.write_body(&mut body);
    (request.op().number(), body)
}

/// The value of `name=value` in `text`.
pub(super) fn option<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    text.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
}

/// Bytes from hex digits.
pub(super) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<char> = text.chars().filter(|c| !c.is_whitespace()).collect();
    let byte = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16);
    digits.chunks(2).map(|pair| byte(pair).expect("hex digits")).collect()
}

fn parse(text: &str) -> Request<'_> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let has = |flag: &str| words.contains(&flag);
    let version = option(text, "v").map_or(-1, number);
    let path = words.get(1).map_or(Cow::Borrowed(""), |word| unescape(word));
    let watch = has("watch");
    match words[0] {
        "create" => Request::Create(create(text, path)),
        "create2" => Request::Create2(create(text, path)),
        "createttl" => Request::CreateTtl(create_ttl(text, path)),
        "container" => Request::CreateContainer(create(text, path)),
        "delete" => Request::Delete { path, version },
        "set" => Request::SetData { path, data: data(words.get(2)), version },
        "check" => Request::Check { path, version },
        "get" => Request::GetData { path, watch },
        "exists" => Request::Exists { path, watch },
        "ls" => Request::GetChildren { path, watch },
        "ls2" => Request::GetChildren2 { path, watch },
        "getacl" => Request::GetAcl { path },
        "setacl" => Request::SetAcl { path, acl: Some(acl(words[2])), version },
        "sync" => Request::Sync { path: Some(path) },
        "ping" => Request::Ping,
        "close" => Request::CloseSession,
        "auth" => Request::Auth { scheme: path, auth: data(words.get(2)) },
        "multi" => Request::Multi(parts(text, "multi")),
        "multiread" => Request::MultiRead(parts(text, "multiread")),
        "setwatches" => Request::SetWatches(WatchLists {
            relative_zxid: Zxid(number(words[1])),
            data: paths(text, "data"),
            exist: paths(text, "exist"),
            child: paths(text, "child"),
            ..WatchLists::default()
        }),
        "setwatches2" => Request::SetWatches2(WatchLists {
            relative_zxid: Zxid(number(words[1])),
            data: paths(text, "data"),
            exist: paths(text, "exist"),
            child: paths(text, "child"),
            persistent: paths(text, "persistent"),
            recursive: paths(text, "recursive"),
        }),
        "addwatch" => Request::AddWatch { path, mode: number(words[2]) },
        "checkwatches" => Request::CheckWatches { path, watcher_type: number(words[2]) },
        "removewatches" => Request::RemoveWatches { path, watcher_type: number(words[2]) },
        "ephemerals" => Request::GetEphemerals { prefix: (path != "<null>").then_some(path) },
        "count" => Request::GetAllChildrenNumber { path },
        "whoami" => Request::WhoAmI,
        other => panic!("no request is called {other}"),
    }
}

fn parts<'t>(text: &'t str, verb: &str) -> Vec<Request<'t>> {
    let parts = text.strip_prefix(verb).unwrap_or_default().split(" , ");
    parts.map(str::trim).filter(|part| !part.is_empty()).map(parse).collect()
}

fn create<'t>(text: &'t str, path: Cow<'t, str>) -> CreateRequest<'t> {
    let words: Vec<&str> = text.split_whitespace().skip(2).collect();
    let has = |flag: &str| words.contains(&flag);
    let is_data = |word: &&&str| {
        !["ephemeral", "seq"].contains(*word)
            && !["flags=", "acl=", "ttl=", "xid="].iter().any(|o| word.starts_with(o))
    };
    let flags = i32::from(has("ephemeral")) + 2 * i32::from(has("seq"));
    CreateRequest {
        path,
        data: data(words.iter().find(is_data)),
        acl: Some(acl(option(text, "acl").unwrap_or("world:anyone:cdrwa"))),
        flags: option(text, "flags").map_or(flags, number),
        ttl_ms: -1,
    }
}

fn create_ttl<'t>(text: &'t str, path: Cow<'t, str>) -> CreateRequest<'t> {
    let create = create(text, path);
    let flags = option(text, "flags").map_or(5 + create.flags / 2, number);
    CreateRequest { flags, ttl_ms: option(text, "ttl").map_or(-1, number), ..create }
}

fn data<'t>(word: Option<&&'t str>) -> Option<&'t [u8]> {
    match word.copied() {
        None | Some("\"\"") => Some(b""),
        Some("<null>") => None,
        Some(word) => Some(word.as_bytes()),
    }
}

fn acl(list: &str) -> Vec<AclEntry<'_>> {
    list.split('+').filter(|entry| *entry != "none").map(acl_entry).collect()
}

fn acl_entry(entry: &str) -> AclEntry<'_> {
    let (rest, perms) = entry.rsplit_once(':').expect("scheme:id:perms");
    let (scheme, id) = rest.split_once(':').expect("scheme:id:perms");
    let bit = |letter| match letter {
        'r' => 1,
        'w' => 2,
        'c' => 4,
        'd' => 8,
        'a' => 16,
        other => panic!("{other} is no permission"),
    };
    let text = |part: &'_ str| (part != "<null>").then(|| Cow::Owned(part.to_owned()));
    let perms = perms.parse().unwrap_or_else(|_| perms.chars().map(bit).sum());
    AclEntry { perms: Perms(perms), scheme: text(scheme), id: text(id) }
}

fn paths<'t>(text: &'t str, name: &str) -> Vec<Cow<'t, str>> {
    option(text, name).into_iter().flat_map(|list| list.split('+')).map(unescape).collect()
}

fn unescape(word: &str) -> Cow<'_, str> {
    if word == "\"\"" {
        return Cow::Borrowed("");
    }
    let mut parts = word.split("\\x");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (code, rest) = part.split_at(4);
        let code = u32::from_str_radix(code, 16).expect("four hex digits");
        text.push(char::from_u32(code).expect("a character"));
        text.push_str(rest);
    }
    Cow::Owned(text)
}

fn put_field(field: &str, body: &mut Vec<u8>) {
    let (kind, value) = field.split_once(':').expect("a field like i:1");
    match kind {
        "i" => body.put_int(number(value)),
        "l" => body.put_long(number(value)),
        "b" => body.put_bool(value == "1"),
        "s" if value == "<null>" => body.put_buffer(None),
        "s" => body.put_string(&unescape(value)),
        "h" => body.extend(hex(value)),
        other => panic!("{other} is no kind of field"),
    }
}
