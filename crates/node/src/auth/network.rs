//! Ids of the scheme `ip`: an address, and how many of its leading bits count.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The addresses that one ACL id stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Network {
    address: IpAddr,
    bits: u32,
}

impl Network {
    /// Reads `address` or `address/bits`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address = parse_v4(address).map(IpAddr::V4).or_else(|| parse_v6(address))?;
        let bits_max = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            Some(bits) => u32::try_from(parse_int(bits)?).ok().filter(|bits| *bits <= bits_max)?,
            None => bits_max,
        };
        Some(Self { address, bits })
    }

    /// Whether the id stands for this address; never for one of the other family.
    pub(super) fn contains(self, other: IpAddr) -> bool {
        let differing_from = match (self.address, other) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                (own.to_bits() ^ other.to_bits()).leading_zeros()
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                (own.to_bits() ^ other.to_bits()).leading_zeros()
            }
            _ => return false,
        };
        differing_from >= self.bits
    }
}

fn parse_v4(text: &str) -> Option<Ipv4Addr> {
    let mut octets = [0; 4];
    let mut parts = text.split('.');
    for octet in &mut octets {
        *octet = u8::try_from(parse_int(parts.next()?)?).ok()?;
    }
    parts.next().is_none().then(|| Ipv4Addr::from(octets))
}

/// Without a zone, and without an IPv4 address in its last groups.
fn parse_v6(text: &str) -> Option<IpAddr> {
    let address: Ipv6Addr = text.parse().ok()?;
    (!text.contains('.')).then_some(IpAddr::V6(address))
}

// Java: Integer.parseInt, which takes a sign and any number of zeros in front.
fn parse_int(text: &str) -> Option<i32> {
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_network() {
        for (text, valid) in [
            ("1.2.3.4", true),
            ("1.2.3.4/0", true),
            ("1.2.3.4/32", true),
            ("1.2.3.4/33", false),
            ("1.2.3.4/", false),
            ("1.2.3.4/-1", false),
            ("1.2.3.4/08", true),
            ("1.2.3.4/+8", true),
            ("1.2.3.4/8/8", false),
            ("0001.2.3.000", true),
            ("+1.-0.3.4", true),
            ("256.1.1.1", false),
            ("1.2.3", false),
            ("1.2.3.4.", false),
            ("1.2.3.4.5", false),
            ("1..3.4", false),
            (" 1.2.3.4", false),
            ("::", true),
            ("::/0", true),
            ("::1/128", true),
            ("::1/129", false),
            ("1::2::3", false),
            ("1:2:3:4:5:6:7:8", true),
            ("1:2:3:4:5:6:7::", true),
            ("1:2:3:4:5:6:7:8::", false),
            ("1:2:3:4:5:6:7:8:9", false),
            ("::00001", false),
            ("::G", false),
            (":1", false),
            ("1:", false),
            ("::ffff:1.2.3.4", false),
            ("fe80::1%eth0", false),
            ("", false),
            ("/8", false),
        ] {
            assert_eq!(Network::parse(text).is_some(), valid, "{text:?}");
        }
    }
}
