//! Znode paths: which are valid, and how they come apart.
//!
//! Only writes validate paths; reads just fail to find what cannot exist.

use core::fmt;

/// Why a path is not valid.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PathError {
    /// No characters at all.
    Empty,
    /// Does not start with a slash.
    NotAbsolute,
    /// Ends in a slash and is not the root.
    TrailingSlash,
    /// Two slashes in a row.
    EmptyComponent,
    /// A component is `.` or `..`.
    RelativeComponent,
    /// Holds a character that paths must not hold.
    BadCharacter(char),
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the path is empty"),
            Self::NotAbsolute => f.write_str("the path does not start with /"),
            Self::TrailingSlash => f.write_str("the path ends in /"),
            Self::EmptyComponent => f.write_str("the path has an empty component"),
            Self::RelativeComponent => f.write_str("the path has a component . or .."),
            Self::BadCharacter(bad) => write!(f, "the path holds U+{:04X}", u32::from(*bad)),
        }
    }
}

impl core::error::Error for PathError {}

/// Checks a path as create, setData, setACL and check do.
pub fn validate(path: &str) -> Result<(), PathError> {
    if is_plain(path.as_bytes()) {
        return Ok(());
    }
    if path.is_empty() {
        return Err(PathError::Empty);
    }
    let inner = path.strip_prefix('/').ok_or(PathError::NotAbsolute)?;
    if inner.is_empty() {
        return Ok(());
    }
    if inner.ends_with('/') {
        return Err(PathError::TrailingSlash);
    }
    for component in inner.split('/') {
        match component {
            "" => return Err(PathError::EmptyComponent),
            "." | ".." => return Err(PathError::RelativeComponent),
            _ => {}
        }
    }
    match inner.chars().find(|c| !is_allowed(*c)) {
        None => Ok(()),
        Some(bad) => Err(PathError::BadCharacter(bad)),
    }
}

/// Whether a path is valid by a look at each byte and the one before it: printable ASCII, and no
/// component that begins with a dot. Almost all paths are; what this refuses may be valid.
fn is_plain(path: &[u8]) -> bool {
    let [b'/', inner @ ..] = path else { return false };
    // Without an early exit inside, the compiler makes wide instructions of it.
    let is_good = path.iter().zip(inner).fold(true, |is_good, (before, byte)| {
        let begins_badly = (*before == b'/') & ((*byte == b'/') | (*byte == b'.'));
        is_good & (b' '..=b'~').contains(byte) & !begins_badly
    });
    is_good && !inner.ends_with(b"/")
}

/// ZooKeeper judges UTF-16 units, so everything beyond U+FFFF falls with the surrogates.
fn is_allowed(c: char) -> bool {
    !matches!(c,
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{e000}'..='\u{f8ff}' | '\u{fff0}'..)
}

/// The text before the last slash: `""` for children of the root; `None` without any slash.
#[must_use]
pub fn parent(path: &str) -> Option<&str> {
    path.rsplit_once('/').map(|(parent, _)| parent)
}

/// Parent and last component.
#[must_use]
pub fn split(path: &str) -> Option<(&str, &str)> {
    path.rsplit_once('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_what_clients_use() {
        for path in ["/", "/a", "/a/b", "/...", "/a b", "/\u{200b}", "/\u{f900}", "/\u{ffef}"] {
            assert_eq!(validate(path), Ok(()), "{path:?}");
        }
    }

    #[test]
    fn refuses_with_the_reason() {
        for (path, reason) in [
            ("", PathError::Empty),
            ("a", PathError::NotAbsolute),
            ("/a/", PathError::TrailingSlash),
            ("//", PathError::TrailingSlash),
            ("/a//b", PathError::EmptyComponent),
            ("/.", PathError::RelativeComponent),
            ("/a/../b", PathError::RelativeComponent),
            ("/a\0", PathError::BadCharacter('\0')),
            ("/\u{1f}", PathError::BadCharacter('\u{1f}')),
            ("/\u{7f}", PathError::BadCharacter('\u{7f}')),
            ("/\u{e000}", PathError::BadCharacter('\u{e000}')),
            ("/\u{fffd}", PathError::BadCharacter('\u{fffd}')),
            ("/\u{1f600}", PathError::BadCharacter('\u{1f600}')),
        ] {
            assert_eq!(validate(path), Err(reason), "{path:?}");
        }
    }

    #[test]
    fn comes_apart_at_the_last_slash() {
        assert_eq!(split("/a/b"), Some(("/a", "b")));
        assert_eq!(split("/a"), Some(("", "a")));
        assert_eq!(split("/"), Some(("", "")));
        assert_eq!(parent("foo"), None);
    }
}
