//! Who a client is, which ACLs it may set, and what it may do with a znode.
//!
//! Schemes here: `world`, `auth`, `ip`, `digest`, `ensemble`, and `super`, which no client can
//! claim by itself. Of `sasl` and `x509` there is what concerns ACLs; no client can log in by them
//! yet. The ids belong to the connection; a request is judged by the ids of the moment it was read.

mod id_order;
mod network;
mod x509_name;

use alloc::collections::BTreeSet;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ostler_wire::acl::{Acl, AclEntry, Id, Perms};
use ostler_wire::error::ErrorCode;
use sha1::Digest as _;

use crate::limits::{AUTH_ENTRIES_MAX_BYTES, AuthSettings, IDS_MAX_BYTES};
use crate::messages::Ids;
use id_order::in_table_order;
use network::Network;
use x509_name::is_distinguished_name;

/// The hash in a digest id, `DigestAuthenticationProvider.digestAlg`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum DigestAlgorithm {
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
    Sha512_224,
    Sha512_256,
    Sha3_224,
    Sha3_256,
    Sha3_384,
    Sha3_512,
}

impl DigestAlgorithm {
    /// The algorithm of this Java name, in any case.
    // Java: MessageDigest.getInstance, without its broken algorithms.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name.to_ascii_uppercase().as_str() {
            "SHA" | "SHA1" | "SHA-1" => Self::Sha1,
            "SHA224" | "SHA-224" => Self::Sha224,
            "SHA256" | "SHA-256" => Self::Sha256,
            "SHA384" | "SHA-384" => Self::Sha384,
            "SHA512" | "SHA-512" => Self::Sha512,
            "SHA512/224" | "SHA-512/224" => Self::Sha512_224,
            "SHA512/256" | "SHA-512/256" => Self::Sha512_256,
            "SHA3-224" => Self::Sha3_224,
            "SHA3-256" => Self::Sha3_256,
            "SHA3-384" => Self::Sha3_384,
            "SHA3-512" => Self::Sha3_512,
            _ => return None,
        })
    }

    fn base64_of(self, bytes: &[u8]) -> String {
        match self {
            Self::Sha1 => BASE64.encode(sha1::Sha1::digest(bytes)),
            Self::Sha224 => BASE64.encode(sha2::Sha224::digest(bytes)),
            Self::Sha256 => BASE64.encode(sha2::Sha256::digest(bytes)),
            Self::Sha384 => BASE64.encode(sha2::Sha384::digest(bytes)),
            Self::Sha512 => BASE64.encode(sha2::Sha512::digest(bytes)),
            Self::Sha512_224 => BASE64.encode(sha2::Sha512_224::digest(bytes)),
            Self::Sha512_256 => BASE64.encode(sha2::Sha512_256::digest(bytes)),
            Self::Sha3_224 => BASE64.encode(sha3::Sha3_224::digest(bytes)),
            Self::Sha3_256 => BASE64.encode(sha3::Sha3_256::digest(bytes)),
            Self::Sha3_384 => BASE64.encode(sha3::Sha3_384::digest(bytes)),
            Self::Sha3_512 => BASE64.encode(sha3::Sha3_512::digest(bytes)),
        }
    }
}

/// Why an auth packet was refused. Either way the connection closes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// The client is told that its authentication failed.
    Failed,
    /// It is told nothing: it has come to the wrong ensemble.
    WrongEnsemble,
}

/// The ids that an auth packet adds to its connection, whose present ids are `ids`.
pub fn authenticate(
    settings: &AuthSettings,
    scheme: &str,
    auth: Option<&[u8]>,
    ids: &[Id],
) -> Result<Vec<Id>, Refusal> {
    match scheme {
        // Every connection has its address from the start; the bytes are not looked at.
        "ip" => Ok(ids.iter().filter(|id| id.scheme == "ip").cloned().collect()),
        "digest" if settings.digest_enabled => {
            let auth = auth.ok_or(Refusal::Failed)?;
            let id = digest_id(settings.digest_algorithm, &String::from_utf8_lossy(auth));
            let mut added = Vec::new();
            if settings.super_digest.as_ref() == Some(&id) {
                added.push(Id::new("super", ""));
            }
            added.push(Id { scheme: "digest".to_string(), id });
            Ok(added)
        }
        "ensemble" if settings.ensemble_enabled => {
            let name = String::from_utf8_lossy(auth.unwrap_or_default());
            let names = settings.ensemble_names.as_ref();
            let known = |names: &Vec<String>| names.iter().any(|known| *known == name);
            // A client that says nothing does not mind where it is.
            if name.is_empty() || names.is_none_or(known) {
                Ok(Vec::new())
            } else {
                Err(Refusal::WrongEnsemble)
            }
        }
        _ => Err(Refusal::Failed),
    }
}

/// The ids of a connection with some more, each once.
///
/// # Errors
/// Refused when they get too many or too long: every request carries them.
pub fn join(ids: &[Id], added: Vec<Id>) -> Result<Ids, Refusal> {
    let mut joined = ids.to_vec();
    for id in added {
        if !joined.contains(&id) {
            joined.push(id);
        }
    }
    let fits = joined.iter().map(weight_bytes).sum::<usize>() <= IDS_MAX_BYTES;
    if fits { Ok(Ids::from(joined)) } else { Err(Refusal::Failed) }
}

/// About what an id takes of memory.
fn weight_bytes(id: &Id) -> usize {
    size_of::<Id>() + id.scheme.len() + id.id.len()
}

/// Whether the client has shown what `enforce.auth` asks for: an id of one of the listed schemes.
#[must_use]
pub fn is_admitted(settings: &AuthSettings, ids: &[Id]) -> bool {
    settings.required_schemes.is_empty()
        || ids.iter().any(|id| settings.required_schemes.contains(&id.scheme))
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
            "sasl" => {
                settings.sasl_enabled
                    && (caller.id == "super"
                        || acl_id.id == caller.id
                        || settings.any_sasl_user.as_ref() == Some(&acl_id.id))
            }
            "x509" => {
                settings.x509_enabled
                    && (acl_id.id == caller.id
                        || settings.x509_super_user.as_ref() == Some(&caller.id))
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
    let mut seen = BTreeSet::new();
    let mut room_bytes = AUTH_ENTRIES_MAX_BYTES;
    for entry in entries {
        if seen.insert((entry.perms.0, entry.scheme.as_deref(), entry.id.as_deref())) {
            check_entry(settings, entry, ids, &mut room_bytes, &mut list)?;
        }
    }
    if list.is_empty() { Err(ErrorCode::INVALID_ACL) } else { Ok(list) }
}

fn check_entry(
    settings: &AuthSettings,
    entry: &AclEntry<'_>,
    ids: &[Id],
    room_bytes: &mut usize,
    list: &mut Vec<Acl>,
) -> Result<(), ErrorCode> {
    let scheme = entry.scheme.as_deref().ok_or(ErrorCode::INVALID_ACL)?;
    if scheme == "auth" {
        // One connection can have many ids, and one list can name them many times.
        let needed_bytes = ids.iter().map(weight_bytes).sum();
        *room_bytes = room_bytes.checked_sub(needed_bytes).ok_or(ErrorCode::INVALID_ACL)?;
        let before = list.len();
        let authenticated = in_table_order(ids).into_iter();
        let authenticated = authenticated.filter(|id| AUTHENTICATING.contains(&&*id.scheme));
        list.extend(authenticated.map(|id| Acl { perms: entry.perms, id: id.clone() }));
        return if list.len() > before { Ok(()) } else { Err(ErrorCode::INVALID_ACL) };
    }
    // A null id of a scheme that looks at it cannot be read.
    let id = || entry.id.as_deref().ok_or(ErrorCode::MARSHALLING_ERROR);
    let valid = match scheme {
        "world" => id()? == "anyone",
        "digest" if settings.digest_enabled => is_digest_id(id()?),
        "ip" => Network::parse(id()?).is_some(),
        "sasl" if settings.sasl_enabled => is_sasl_id(id()?),
        "x509" if settings.x509_enabled => is_distinguished_name(id()?),
        _ => false,
    };
    if !valid {
        return Err(ErrorCode::INVALID_ACL);
    }
    list.push(Acl { perms: entry.perms, id: Id::new(scheme, id()?) });
    Ok(())
}

/// Exactly two parts at colons, where empty parts at the end do not count.
// Java: String.split drops trailing empty strings.
fn is_digest_id(id: &str) -> bool {
    id.trim_end_matches(':').split(':').count() == 2
}

/// Without a realm anything; else `service@realm` or `service/host@realm`.
// Java: KerberosName, which calls any other text with an @ malformed.
fn is_sasl_id(id: &str) -> bool {
    let Some((principal, realm)) = id.split_once('@') else { return true };
    !realm.contains(['@', '/']) && principal.matches('/').count() <= 1
}

/// Schemes whose ids say who somebody is; `auth` in a list stands for ids of these.
const AUTHENTICATING: [&str; 3] = ["digest", "sasl", "x509"];

#[cfg(test)]
mod tests {
    use alloc::{format, vec};

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
    fn digests_are_those_of_the_named_algorithm() {
        for (names, hash) in [
            ("SHA sha1 SHA-1", "Jq7wMyA/w2Vd5WIDAKdu4OIIFEQ="),
            ("SHA224 SHA-224", "buY2RDLG1qb161QWn3zO7zdHv1Jw5JzOzvoq8w=="),
            ("SHA256 sha-256", "/Y8xRBngpX5duYn15uUqIRaIaCviy5TEwSk419hCwuA="),
            ("SHA-384", "joW9fAMExHHjPTquSoLHR7yNt+hmUQSWOdXLQ1YgEw4t89oJD5tqLNcOJbpOm3hr"),
            (
                "SHA-512",
                "JuOwXdmk4f1omXNJj7k4ILDOHOlc+8PMyEaxl9nrWl6OmV83jKYivSqJWsp5PsMTda6BtnipueoU1r5\
                 DtBd7CA==",
            ),
            ("SHA-512/224", "uQhd9bjKXP6GHJndVVZ2qIjzcJFAYrjzPmzxOg=="),
            ("SHA-512/256", "GahcuEqKVDomB4u/ebwuUp9/SoZ9jjQVdblytNb5wPo="),
            ("SHA3-224", "VetFxgqKhf3M+E8Pj5X4NLMXFF7lPCr+KjMt9g=="),
            ("SHA3-256 sha3-256", "3+U94Pf1dSrKR/q5qu/huTFf1Fha6TtpdtpSdhWvIS0="),
            ("SHA3-384", "d4zgobLcJSLRER2rxMYl64bQqLziPCVxzKEWJoX+pEfq/zm0wPI8ZyXDgZrO/jZl"),
            (
                "SHA3-512",
                "CxK7PYZe5JmbxbczQTl9zOaNZXrjA0kC+0x9tzWMsGKrpYRMUAdSUKhye+ylfkRhhXm3ReL68pT1mUc\
                 t81OUyQ==",
            ),
        ] {
            for name in names.split(' ') {
                let algorithm = DigestAlgorithm::from_name(name).expect(name);
                assert_eq!(digest_id(algorithm, "u:p"), alloc::format!("u:{hash}"), "{name}");
            }
        }
        for name in ["", "FOO", "MD5", "SHA3", "SHA-1 ", "SHA3256"] {
            assert_eq!(DigestAlgorithm::from_name(name), None, "{name}");
        }
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

    /// Every scheme has its provider.
    fn all_providers() -> AuthSettings {
        AuthSettings {
            sasl_enabled: true,
            any_sasl_user: Some("anybody".to_string()),
            x509_enabled: true,
            x509_super_user: Some("CN=root".to_string()),
            ensemble_enabled: true,
            ..AuthSettings::default()
        }
    }

    #[test]
    fn ids_of_further_schemes_need_their_provider() {
        let all = all_providers();
        for (scheme, id, valid) in [
            ("sasl", "joe", true),
            ("sasl", "", true),
            ("sasl", "a/b/c", true),
            ("sasl", "joe@REALM", true),
            ("sasl", "joe/host@REALM", true),
            ("sasl", "@", true),
            ("sasl", "a@b@c", false),
            ("sasl", "a/b/c@d", false),
            ("sasl", "a//b@c", false),
            ("sasl", "a@b/c", false),
            ("x509", "CN=joe,O=x", true),
            ("x509", "joe", false),
            ("ensemble", "x", false),
            ("key", "1", false),
        ] {
            let list = check_list(&all, Some(&[entry(scheme, id)]), &[]);
            assert_eq!(list.is_ok(), valid, "{scheme}:{id}");
            let list = check_list(&AuthSettings::default(), Some(&[entry(scheme, id)]), &[]);
            assert_eq!(list, Err(ErrorCode::INVALID_ACL), "{scheme}:{id}");
        }
        for (scheme, err) in [
            ("sasl", ErrorCode::MARSHALLING_ERROR),
            ("x509", ErrorCode::MARSHALLING_ERROR),
            ("ensemble", ErrorCode::INVALID_ACL),
            ("super", ErrorCode::INVALID_ACL),
        ] {
            let null = AclEntry { id: None, ..entry(scheme, "") };
            assert_eq!(check_list(&all, Some(&[null]), &[]), Err(err), "{scheme}");
        }
    }

    #[test]
    fn further_schemes_match_as_their_providers_say() {
        let all = all_providers();
        for (scheme, acl_id, caller, expect) in [
            ("sasl", "joe", "joe", true),
            ("sasl", "joe", "ann", false),
            ("sasl", "joe", "super", true),
            ("sasl", "anybody", "ann", true),
            ("x509", "CN=joe", "CN=joe", true),
            ("x509", "CN=joe", "CN=ann", false),
            ("x509", "CN=joe", "CN=root", true),
        ] {
            let list = [Acl { perms: Perms::READ, id: Id::new(scheme, acl_id) }];
            let ids = [Id::new(scheme, caller)];
            let allowed = |settings| allows(settings, &list, Perms::READ, &ids);
            assert_eq!(allowed(&all), expect, "{scheme}: {caller} as {acl_id}");
            assert!(!allowed(&AuthSettings::default()), "{scheme} without provider");
            let list = check_list(&all, Some(&[entry("auth", "")]), &ids);
            assert_eq!(list.map(|list| list[0].id.clone()), Ok(ids[0].clone()));
        }
    }

    #[test]
    fn a_client_can_ask_whether_it_has_come_to_the_right_ensemble() {
        let ask = |names: Option<&[&str]>, auth| {
            let names = names.map(|names| names.iter().map(ToString::to_string).collect());
            let settings = AuthSettings { ensemble_names: names, ..all_providers() };
            authenticate(&settings, "ensemble", auth, &[])
        };
        assert_eq!(ask(None, Some(b"any")), Ok(Vec::new()));
        let names = Some(&["one", "two"][..]);
        assert_eq!(ask(names, Some(b"two")), Ok(Vec::new()));
        assert_eq!(ask(names, Some(b"")), Ok(Vec::new()));
        assert_eq!(ask(names, None), Ok(Vec::new()));
        assert_eq!(ask(names, Some(b"three")), Err(Refusal::WrongEnsemble));
        assert_eq!(ask(names, Some(b"one, two")), Err(Refusal::WrongEnsemble));
        let without = authenticate(&AuthSettings::default(), "ensemble", Some(b"one"), &[]);
        assert_eq!(without, Err(Refusal::Failed));
    }

    #[test]
    fn the_ids_of_a_connection_are_bounded() {
        let mut ids = Ids::default();
        let added = |number: usize| vec![Id::new("digest", &format!("user{number}:hash"))];
        let refused = (0..10_000).find(|number| match join(&ids, added(*number)) {
            Ok(joined) => {
                ids = joined;
                false
            }
            Err(_) => true,
        });
        assert!((100..500).contains(&refused.expect("not without end")));
        assert_eq!(join(&ids, added(7)).expect("it is there").len(), ids.len());
        let long = "u".repeat(IDS_MAX_BYTES);
        assert_eq!(join(&[], vec![Id::new("digest", &long)]), Err(Refusal::Failed));
    }

    #[test]
    fn auth_in_a_list_is_bounded_however_often_it_stands_there() {
        let ids: Vec<Id> =
            (0..200).map(|number| Id::new("digest", &format!("user{number}:hash"))).collect();
        let entry = |number: i32| AclEntry {
            perms: Perms(number),
            scheme: Some("auth".into()),
            id: Some("".into()),
        };
        let settings = AuthSettings::default();
        let few: Vec<_> = (0..20).map(entry).collect();
        assert_eq!(check_list(&settings, Some(&few), &ids).map(|list| list.len()), Ok(4000));
        let many: Vec<_> = (0..50_000).map(entry).collect();
        assert_eq!(check_list(&settings, Some(&many), &ids), Err(ErrorCode::INVALID_ACL));
    }

    #[test]
    fn one_id_of_a_required_scheme_is_enough() {
        let required = |schemes: &[&str]| AuthSettings {
            required_schemes: schemes.iter().map(ToString::to_string).collect(),
            ..AuthSettings::default()
        };
        let ids = [Id::new("ip", "1.2.3.4"), Id::new("digest", "u:x")];
        assert!(is_admitted(&required(&[]), &[]));
        assert!(is_admitted(&required(&["digest"]), &ids));
        assert!(is_admitted(&required(&["sasl", "digest"]), &ids));
        assert!(!is_admitted(&required(&["sasl"]), &ids));
        assert!(!is_admitted(&required(&["digest"]), &ids[..1]));
    }
}
