//! Who a client is, which ACLs it may set, and what it may do with a znode.
//!
//! Schemes here: `world`, `auth`, `ip`, `digest`, and `super`, which no client can claim by itself.
//! The ids belong to the connection; a request is judged by the ids of the moment it was read.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ostler_wire::acl::{Acl, AclEntry, Id, Perms};
use ostler_wire::error::ErrorCode;
use sha1::Digest as _;

use crate::limits::AuthSettings;

/// The hash in a digest id, `DigestAuthenticationProvider.digestAlg`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum DigestAlgorithm {
    Sha1,
    Sha256,
    Sha512,
    Sha3_256,
}

impl DigestAlgorithm {
    /// The algorithm of this Java name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name.to_ascii_uppercase().as_str() {
            "SHA1" | "SHA-1" => Self::Sha1,
            "SHA-256" => Self::Sha256,
            "SHA-512" => Self::Sha512,
            "SHA3-256" => Self::Sha3_256,
            _ => return None,
        })
    }

    fn base64_of(self, bytes: &[u8]) -> String {
        match self {
            Self::Sha1 => BASE64.encode(sha1::Sha1::digest(bytes)),
            Self::Sha256 => BASE64.encode(sha2::Sha256::digest(bytes)),
            Self::Sha512 => BASE64.encode(sha2::Sha512::digest(bytes)),
            Self::Sha3_256 => BASE64.encode(sha3::Sha3_256::digest(bytes)),
        }
    }
}

/// The ids that an auth packet adds to its connection, whose present ids are `ids`.
pub fn authenticate(
    settings: &AuthSettings,
    scheme: &str,
    auth: Option<&[u8]>,
    ids: &[Id],
) -> Result<Vec<Id>, ErrorCode> {
    match scheme {
        // Every connection has its address from the start; the bytes are not looked at.
        "ip" => Ok(ids.iter().filter(|id| id.scheme == "ip").cloned().collect()),
        "digest" if settings.digest_enabled => {
            let auth = auth.ok_or(ErrorCode::AUTH_FAILED)?;
            let id = digest_id(settings.digest_algorithm, &String::from_utf8_lossy(auth));
            let mut added = Vec::new();
            if settings.super_digest.as_ref() == Some(&id) {
                added.push(Id::new("super", ""));
            }
            added.push(Id { scheme: "digest".to_string(), id });
            Ok(added)
        }
        _ => Err(ErrorCode::AUTH_FAILED),
    }
}

/// The part of an id that may be shown to its owner.
// Java: AuthUtil.getUser; schemes without a provider, `super` among them, show nothing.
#[must_use]
pub fn user(id: &Id) -> &str {
    match id.scheme.as_str() {
        "digest" => id.id.split(':').next().unwrap_or_default(),
        "super" => "",
        _ => &id.id,
    }
}

/// `user:password` becomes `user:base64(hash(user:password))`.
#[must_use]
pub fn digest_id(algorithm: DigestAlgorithm, user_password: &str) -> String {
    let user = user_password.split(':').next().unwrap_or_default();
    alloc::format!("{user}:{}", algorithm.base64_of(user_password.as_bytes()))
}

/// Whether somebody with these ids may do `wanted` where `acl` rules.
#[must_use]
pub fn allows(settings: &AuthSettings, acl: &[Acl], wanted: Perms, ids: &[Id]) -> bool {
    if settings.skip_acl || acl.is_empty() {
        return true;
    }
    let granted = |entry: &Acl| entry.perms.intersects(wanted);
    if acl.iter().any(|entry| granted(entry) && entry.id.is_anyone()) {
        return true;
    }
    ids.iter().any(|id| {
        id.scheme == "super"
            || acl.iter().any(|entry| granted(entry) && matches(settings, &entry.id, id))
    })
}

/// Whether the ACL's id means the caller's.
fn matches(settings: &AuthSettings, acl_id: &Id, caller: &Id) -> bool {
    acl_id.scheme == caller.scheme
        && match caller.scheme.as_str() {
            "digest" => settings.digest_enabled && acl_id.id == caller.id,
            "ip" => {
                let caller: Option<IpAddr> = caller.id.parse().ok();
                matches!((Network::parse(&acl_id.id), caller), (Some(network), Some(address))
                    if network.contains(address))
            }
            _ => false,
        }
}

/// The list to be stored for what a client sent, or the error that refuses it.
// Java: PrepRequestProcessor.fixupACL.
pub fn check_list(
    settings: &AuthSettings,
    entries: Option<&[AclEntry<'_>]>,
    ids: &[Id],
) -> Result<Vec<Acl>, ErrorCode> {
    let entries = entries.unwrap_or_default();
    let mut list = Vec::with_capacity(entries.len());
    for (position, entry) in entries.iter().enumerate() {
        if !entries[..position].contains(entry) {
            check_entry(settings, entry, ids, &mut list)?;
        }
    }
    if list.is_empty() { Err(ErrorCode::INVALID_ACL) } else { Ok(list) }
}

fn check_entry(
    settings: &AuthSettings,
    entry: &AclEntry<'_>,
    ids: &[Id],
    list: &mut Vec<Acl>,
) -> Result<(), ErrorCode> {
    let scheme = entry.scheme.as_deref().ok_or(ErrorCode::INVALID_ACL)?;
    if scheme == "auth" {
        let before = list.len();
        let authenticated = ids.iter().filter(|id| id.scheme == "digest");
        list.extend(authenticated.map(|id| Acl { perms: entry.perms, id: id.clone() }));
        return if list.len() > before { Ok(()) } else { Err(ErrorCode::INVALID_ACL) };
    }
    let id = entry.id.as_deref();
    let valid = match scheme {
        "world" => id.ok_or(ErrorCode::MARSHALLING_ERROR)? == "anyone",
        "digest" if settings.digest_enabled => {
            is_digest_id(id.ok_or(ErrorCode::MARSHALLING_ERROR)?)
        }
        "ip" => Network::parse(id.ok_or(ErrorCode::MARSHALLING_ERROR)?).is_some(),
        _ => false,
    };
    if !valid {
        return Err(ErrorCode::INVALID_ACL);
    }
    list.push(Acl { perms: entry.perms, id: Id::new(scheme, id.unwrap_or_default()) });
    Ok(())
}

/// Exactly two parts at colons, where empty parts at the end do not count.
// Java: String.split drops trailing empty strings.
fn is_digest_id(id: &str) -> bool {
    id.trim_end_matches(':').split(':').count() == 2
}

/// An address with an optional number of leading bits that count.
struct Network {
    address: IpAddr,
    bits: u32,
}

impl Network {
    fn parse(text: &str) -> Option<Self> {
        let (address_text, bits_text) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address_text.parse().ok()?;
        if address.is_ipv6() && address_text.contains('.') {
            return None;
        }
        let bits_max = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits_text {
            Some(bits) => bits.parse().ok().filter(|bits| *bits <= bits_max)?,
            None => bits_max,
        };
        Some(Self { address, bits })
    }

    fn contains(&self, other: IpAddr) -> bool {
        match (self.address, other) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let differing = own.to_bits() ^ other.to_bits();
                differing.leading_zeros() >= self.bits
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let differing = own.to_bits() ^ other.to_bits();
                differing.leading_zeros() >= self.bits
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(scheme: &'static str, id: &'static str) -> AclEntry<'static> {
        AclEntry { perms: Perms::ALL, scheme: Some(scheme.into()), id: Some(id.into()) }
    }

    #[test]
    fn digest_ids_equal_javas() {
        assert_eq!(digest_id(DigestAlgorithm::Sha1, "u:p"), "u:Jq7wMyA/w2Vd5WIDAKdu4OIIFEQ=");
        assert!(digest_id(DigestAlgorithm::Sha1, "abc").starts_with("abc:"));
    }

    #[test]
    fn the_superuser_is_known_by_its_digest() {
        let settings = AuthSettings {
            super_digest: Some("super:lK75jTNcA+U9vtVEw5vB51mj/w4=".to_string()),
            ..AuthSettings::default()
        };
        let ids = authenticate(&settings, "digest", Some(b"super:secret"), &[]).unwrap();
        assert!(ids.contains(&Id::new("super", "")));
        let nobody = [Acl { perms: Perms(0), id: Id::new("world", "anyone") }];
        assert!(allows(&settings, &nobody, Perms::WRITE, &ids));
        assert!(!allows(&settings, &nobody, Perms::WRITE, &[Id::new("ip", "127.0.0.1")]));
    }

    #[test]
    fn ids_in_lists_are_checked_by_scheme() {
        let settings = AuthSettings::default();
        for (scheme, id, valid) in [
            ("world", "anyone", true),
            ("world", "everyone", false),
            ("digest", "a:b", true),
            ("digest", ":b", true),
            ("digest", "a", false),
            ("digest", "a:", false),
            ("digest", "a:b:c", false),
            ("ip", "127.0.0.1", true),
            ("ip", "127.0.0.1/8", true),
            ("ip", "127.0.0.1/33", false),
            ("ip", "::1", true),
            ("ip", "::ffff:1.2.3.4", false),
            ("ip", "localhost", false),
            ("super", "", false),
            ("nonsense", "x", false),
            ("auth", "", false),
        ] {
            let list = check_list(&settings, Some(&[entry(scheme, id)]), &[]);
            assert_eq!(list.is_ok(), valid, "{scheme}:{id}");
        }
        assert_eq!(check_list(&settings, None, &[]), Err(ErrorCode::INVALID_ACL));
        assert_eq!(check_list(&settings, Some(&[]), &[]), Err(ErrorCode::INVALID_ACL));
    }

    #[test]
    fn auth_stands_for_every_authenticated_id() {
        let settings = AuthSettings::default();
        let ids = [Id::new("ip", "1.2.3.4"), Id::new("digest", "a:x"), Id::new("digest", "b:y")];
        let list = check_list(&settings, Some(&[entry("auth", "ignored")]), &ids).unwrap();
        assert_eq!(list.iter().map(|acl| acl.id.id.as_str()).collect::<Vec<_>>(), ["a:x", "b:y"]);
    }

    #[test]
    fn duplicates_are_stored_once() {
        let twice = [entry("world", "anyone"), entry("world", "anyone")];
        assert_eq!(check_list(&AuthSettings::default(), Some(&twice), &[]), Ok(Acl::open()));
    }

    #[test]
    fn addresses_match_under_the_mask() {
        let settings = AuthSettings::default();
        let list = |id: &str| [Acl { perms: Perms::READ, id: Id::new("ip", id) }];
        let caller = [Id::new("ip", "10.1.2.3")];
        assert!(allows(&settings, &list("10.0.0.0/8"), Perms::READ, &caller));
        assert!(allows(&settings, &list("0.0.0.0/0"), Perms::READ, &caller));
        assert!(!allows(&settings, &list("10.1.2.4"), Perms::READ, &caller));
        assert!(!allows(&settings, &list("::/0"), Perms::READ, &caller));
        assert!(!allows(&settings, &list("10.0.0.0/8"), Perms::WRITE, &caller));
    }
}
