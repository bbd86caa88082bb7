//! The order in which the ids of a connection become the entries of an ACL.
//!
//! In Java they lie in a hash table, and `auth` in a list is replaced by them in the order of that
//! table. Clients and other servers read the list as it is stored, so the same ids should make the
//! same list.
// Java: ServerCnxn.getAuthInfo, the keys of a ConcurrentHashMap.

use alloc::vec::Vec;

use ostler_wire::acl::Id;

/// The ids by the places that they have in Java's table, those of one place as they came.
pub(super) fn in_table_order(ids: &[Id]) -> Vec<&Id> {
    let mut places = FIRST_PLACES;
    while ids.len() >= places - places / 4 {
        places *= 2;
    }
    let mut sorted: Vec<&Id> = ids.iter().collect();
    sorted.sort_by_key(|id| {
        let hash = hash_of_id(id);
        (hash ^ (hash >> 16)) as usize & (places - 1)
    });
    sorted
}

// Java: Id.hashCode, as its record compiler writes it.
fn hash_of_id(id: &Id) -> u32 {
    [&id.scheme, &id.id]
        .iter()
        .fold(17, |hash: u32, text| hash.wrapping_mul(37).wrapping_add(hash_of_text(text)))
}

// Java: String.hashCode.
fn hash_of_text(text: &str) -> u32 {
    text.encode_utf16().fold(0, |hash: u32, unit| hash.wrapping_mul(31).wrapping_add(unit.into()))
}

/// The size of a new table; it doubles when three quarters are taken.
const FIRST_PLACES: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{DigestAlgorithm, digest_id};

    #[test]
    fn hashes_are_javas() {
        assert_eq!(hash_of_text(""), 0);
        assert_eq!(hash_of_text("digest"), 0xB09C_9DC4);
        assert_eq!(hash_of_text("\u{1f600}"), 55357 * 31 + 56832);
    }

    #[test]
    fn ids_stand_as_in_apaches_lists() {
        for (passwords, expect) in [
            (&["u:p", "w:p", "v:q"][..], &["w", "u", "v"][..]),
            (&["w:p", "u:p", "v:q"], &["w", "u", "v"]),
            (&["a:b", "u:p", "w:p", "v:q"], &["a", "w", "u", "v"]),
            (&["zz:p", "u:p", "w:p", "v:q"], &["w", "zz", "u", "v"]),
        ] {
            let digest = |text: &&str| Id::new("digest", &digest_id(DigestAlgorithm::Sha1, text));
            let address = [Id::new("ip", "127.0.0.1")];
            let ids: Vec<Id> = address.into_iter().chain(passwords.iter().map(digest)).collect();
            let found = in_table_order(&ids).into_iter().filter(|id| id.scheme == "digest");
            let users: Vec<_> = found.map(|id| id.id.split(':').next().unwrap()).collect();
            assert_eq!(users, expect);
        }
    }
}
