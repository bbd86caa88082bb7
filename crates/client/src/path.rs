//! Paths before they are sent: refused with the sentences of ZooKeeper's own client, and moved
//! below the chroot and back.

use ostler_wire::path::validate;

use crate::error::{Error, Result};

/// Checks a path that is sent as it is.
pub(crate) fn check(path: &str) -> Result<()> {
    if validate(path).is_ok() { Ok(()) } else { Err(bad_path(path, path)) }
}

/// Checks a path to which the server appends digits.
pub(crate) fn check_sequential(path: &str) -> Result<()> {
    let longer = format!("{path}1");
    if validate(&longer).is_ok() { Ok(()) } else { Err(bad_path(path, &longer)) }
}

fn bad_path(path: &str, judged: &str) -> Error {
    Error::BadPath { path: path.to_owned(), why: reason(judged) }
}

/// Why a path is not valid, word for word as users know it.
// Java: PathUtils.validatePath; shells print it and scripts look for it. Places count UTF-16 units.
fn reason(path: &str) -> String {
    let units: Vec<u16> = path.encode_utf16().collect();
    let Some(first) = units.first() else { return "Path length must be > 0".to_owned() };
    if *first != SLASH {
        return "Path must start with / character".to_owned();
    }
    if units.len() > 1 && units.last() == Some(&SLASH) {
        return "Path must not end with / character".to_owned();
    }
    for place in 1..units.len() {
        if let Some(reason) = reason_at(&units, place) {
            return format!("Invalid path string \"{path}\" caused by {reason} @{place}");
        }
    }
    format!("Invalid path string \"{path}\"")
}

fn reason_at(units: &[u16], place: usize) -> Option<&'static str> {
    let ends = matches!(units.get(place + 1), None | Some(&SLASH));
    match units[place] {
        0 => Some("null character not allowed"),
        SLASH if units[place - 1] == SLASH => Some("empty node name specified"),
        DOT if ends && units[..place].ends_with(&[SLASH]) => Some("relative paths not allowed"),
        DOT if ends && units[..place].ends_with(&[SLASH, DOT]) => {
            Some("relative paths not allowed")
        }
        1..=0x1f | 0x7f..=0x9f | 0xd800..=0xf8ff | 0xfff0.. => Some("invalid character"),
        _ => None,
    }
}

const SLASH: u16 = b'/' as u16;
const DOT: u16 = b'.' as u16;

/// The part of the tree that a client sees as the whole: empty, or a path without a slash at its
/// end.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Chroot(String);

impl Chroot {
    /// `/` is no chroot.
    pub(crate) fn new(path: &str) -> Result<Self> {
        check(path)?;
        Ok(Self(if path == "/" { String::new() } else { path.to_owned() }))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The server's path of the client's `path`.
    pub(crate) fn outward(&self, path: &str) -> String {
        match (self.0.as_str(), path) {
            ("", _) => path.to_owned(),
            (chroot, "/") => chroot.to_owned(),
            (chroot, _) => format!("{chroot}{path}"),
        }
    }

    /// The client's path of the server's `path`. What is not below the chroot stays as it is.
    pub(crate) fn inward(&self, path: &str) -> String {
        match path.strip_prefix(&self.0) {
            Some("") => "/".to_owned(),
            Some(rest) if rest.starts_with('/') => rest.to_owned(),
            _ => path.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(result: Result<()>) -> String {
        match result {
            Ok(()) => "fine".to_owned(),
            Err(Error::BadPath { why, .. }) => why,
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn reasons_are_those_of_zookeepers_client() {
        for (path, expected) in [
            ("/", "fine"),
            ("/a/b", "fine"),
            ("/...", "fine"),
            ("/a..", "fine"),
            ("/.a", "fine"),
            ("", "Path length must be > 0"),
            ("a", "Path must start with / character"),
            ("/a/", "Path must not end with / character"),
            ("//", "Path must not end with / character"),
            ("/a//b", "Invalid path string \"/a//b\" caused by empty node name specified @3"),
            ("/.", "Invalid path string \"/.\" caused by relative paths not allowed @1"),
            ("/a/./b", "Invalid path string \"/a/./b\" caused by relative paths not allowed @3"),
            ("/a/..", "Invalid path string \"/a/..\" caused by relative paths not allowed @4"),
            ("/../b", "Invalid path string \"/../b\" caused by relative paths not allowed @2"),
            ("/a\0", "Invalid path string \"/a\0\" caused by null character not allowed @2"),
            ("/\u{1}", "Invalid path string \"/\u{1}\" caused by invalid character @1"),
            ("/é\u{1f600}", "Invalid path string \"/é\u{1f600}\" caused by invalid character @2"),
        ] {
            assert_eq!(why(check(path)), expected, "{path:?}");
        }
    }

    #[test]
    fn a_sequential_path_may_end_in_a_slash() {
        assert_eq!(why(check_sequential("/a/")), "fine");
        assert_eq!(why(check_sequential("/")), "fine");
        assert_eq!(why(check_sequential("/a/.")), "fine");
        assert_eq!(why(check_sequential("")), "Path must start with / character");
    }

    #[test]
    fn a_chroot_is_put_in_front_and_taken_away() {
        let chroot = Chroot::new("/app").unwrap();
        assert_eq!(chroot.outward("/"), "/app");
        assert_eq!(chroot.outward("/a"), "/app/a");
        assert_eq!(chroot.inward("/app"), "/");
        assert_eq!(chroot.inward("/app/a"), "/a");
        assert_eq!(chroot.inward("/apple"), "/apple");
        assert_eq!(chroot.inward("/zookeeper/config"), "/zookeeper/config");
        let none = Chroot::new("/").unwrap();
        assert_eq!(none, Chroot::default());
        assert_eq!(none.outward("/"), "/");
        assert_eq!(none.inward("/"), "/");
        assert_eq!(none.inward("/a"), "/a");
    }
}
