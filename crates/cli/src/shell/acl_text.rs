//! Access control lists as they are typed: `scheme:id:perms[,scheme:id:perms]`.
//!
//! The scheme ends at the first colon, the permissions start behind the last one, so ids may hold
//! colons but no commas.

use ostler_wire::acl::{Acl, Id, Perms};

use super::render;

/// Reads a list, and the complaints about what cannot be read of it, a line each. The rest of a
/// list with a bad entry counts nevertheless.
pub(super) fn parse(text: &str) -> (Vec<Acl>, Vec<String>) {
    let mut list = Vec::new();
    let mut complaints = Vec::new();
    // Java: String.split leaves out what is empty at the end, but not if it is all there is.
    let entries = match text.trim_end_matches(',') {
        "" if !text.is_empty() => return (list, complaints),
        entries => entries,
    };
    for entry in entries.split(',') {
        list.extend(parse_entry(entry, &mut complaints));
    }
    (list, complaints)
}

/// Reads one entry, whose id may hold commas.
pub(super) fn parse_entry(entry: &str, complaints: &mut Vec<String>) -> Option<Acl> {
    let parts = entry
        .rsplit_once(':')
        .and_then(|(id, perms)| id.split_once(':').map(|(scheme, id)| (scheme, id, perms)));
    let Some((scheme, id, perms)) = parts else {
        complaints.push(format!("{entry} does not have the form scheme:id:perm"));
        return None;
    };
    Some(Acl { perms: parse_perms(perms, complaints), id: Id::new(scheme, id) })
}

fn parse_perms(text: &str, complaints: &mut Vec<String>) -> Perms {
    let mut perms = Perms(0);
    for letter in text.chars() {
        match render::LETTERS.iter().find(|(known, _)| *known == letter) {
            Some((_, perm)) => perms = perms.union(*perm),
            None => complaints.push(format!("Unknown perm type: {letter}")),
        }
    }
    perms
}

/// A list as it is typed, for files.
pub(super) fn write(list: &[Acl]) -> Vec<String> {
    let entry = |acl: &Acl| format!("{}:{}:{}", acl.id.scheme, acl.id.id, render::perms(acl.perms));
    list.iter().map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_and_written() {
        for text in ["world:anyone:cdrwa", "digest:joe:Xa=:r,ip:10.0.0.0/8:rw", "auth::cdrwa"] {
            let (list, complaints) = parse(text);
            assert!(complaints.is_empty(), "{complaints:?}");
            assert_eq!(write(&list).join(","), text);
        }
    }

    #[test]
    fn what_cannot_be_read_is_complained_about_and_left_out() {
        let (list, complaints) = parse("foo,world:anyone:rz,a:b,");
        assert_eq!(write(&list), ["world:anyone:r"]);
        assert_eq!(
            complaints,
            [
                "foo does not have the form scheme:id:perm",
                "Unknown perm type: z",
                "a:b does not have the form scheme:id:perm",
            ]
        );
        assert_eq!(parse("").1.len(), 1);
        assert_eq!(parse(",").1.len(), 0);
    }
}
