//! The servers of a connect string, and in which order they are tried.
//!
//! Names stay names here: whoever connects looks them up, each time anew, so that a server which
//! moved is found again.

use std::fmt;

use crate::error::{Error, Result};
use crate::path::Chroot;
use crate::random::Random;

/// A server's host, a name or an address without brackets, and its port.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Host {
    /// Name or address.
    pub name: String,
    /// Port.
    pub port: u16,
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.contains(':') {
            write!(f, "[{}]:{}", self.name, self.port)
        } else {
            write!(f, "{}:{}", self.name, self.port)
        }
    }
}

const PORT: u16 = 2181;

/// A connect string in parts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ConnectString {
    pub(crate) hosts: Vec<Host>,
    pub(crate) chroot: Chroot,
}

impl ConnectString {
    /// Reads `host[:port][,host[:port]…][/chroot]`; an IPv6 address stands in brackets.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let (list, chroot) = match text.find('/') {
            Some(slash) => (&text[..slash], Chroot::new(&text[slash..])?),
            None => (text, Chroot::default()),
        };
        let hosts = list.split(',').map(str::trim).filter(|host| !host.is_empty());
        let hosts: Vec<Host> = hosts
            .map(parse_host)
            .collect::<core::result::Result<_, _>>()
            .map_err(|why| Error::BadConnectString { text: text.to_owned(), why })?;
        if hosts.is_empty() {
            let why = "it names no server".to_owned();
            return Err(Error::BadConnectString { text: text.to_owned(), why });
        }
        Ok(Self { hosts, chroot })
    }
}

fn parse_host(text: &str) -> core::result::Result<Host, String> {
    let (name, port) = if let Some(rest) = text.strip_prefix('[') {
        let (name, rest) = rest.split_once(']').ok_or("a bracket is not closed")?;
        match rest.strip_prefix(':') {
            Some(port) => (name, Some(port)),
            None if rest.is_empty() => (name, None),
            None => return Err(format!("{rest:?} stands behind a bracket")),
        }
    } else {
        match text.rsplit_once(':') {
            // Several colons without brackets: an address without a port.
            Some((name, _)) if name.contains(':') => (text, None),
            Some((name, port)) => (name, Some(port)),
            None => (text, None),
        }
    };
    if name.is_empty() {
        return Err("a host has no name".to_owned());
    }
    let port = match port {
        None => PORT,
        Some(port) => port.parse().map_err(|_| format!("{port:?} is not a port"))?,
    };
    Ok(Host { name: name.to_owned(), port })
}

/// The servers in the order in which they are tried, round and round.
#[derive(Clone, Debug)]
pub(crate) struct Hosts {
    list: Vec<Host>,
    /// Place of the one to be tried next.
    next: usize,
    /// How many were tried in vain since the last success.
    tried: usize,
}

impl Hosts {
    pub(crate) fn new(mut list: Vec<Host>, shuffle: Option<&mut Random>) -> Self {
        assert!(!list.is_empty(), "a connect string names a server");
        if let Some(random) = shuffle {
            random.shuffle(&mut list);
        }
        Self { list, next: 0, tried: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    /// How often all of them were tried in vain.
    pub(crate) fn rounds(&self) -> usize {
        self.tried / self.list.len()
    }

    /// Whether all of them were tried in vain, equally often.
    pub(crate) fn at_end_of_round(&self) -> bool {
        self.tried > 0 && self.tried.is_multiple_of(self.list.len())
    }

    /// The server to try now.
    pub(crate) fn advance(&mut self) -> Host {
        self.tried += 1;
        self.look_around()
    }

    /// The next server in turn, for a question that is no attempt to connect.
    pub(crate) fn look_around(&mut self) -> Host {
        let host = self.list[self.next].clone();
        self.next = (self.next + 1) % self.list.len();
        host
    }

    /// The one that was tried last serves.
    pub(crate) fn succeeded(&mut self) {
        self.tried = 0;
    }

    /// `host` shall be the next.
    pub(crate) fn prefer(&mut self, host: &Host) {
        if let Some(place) = self.list.iter().position(|known| known == host) {
            self.next = place;
        }
        self.tried = 0;
    }

    /// Takes a new list. True if the client should leave `current`: when it is not in the list, and
    /// when servers were added, with the probability that spreads all clients evenly.
    pub(crate) fn update(
        &mut self,
        mut list: Vec<Host>,
        current: Option<&Host>,
        random: &mut Random,
    ) -> bool {
        random.shuffle(&mut list);
        let before = core::mem::take(&mut self.list);
        // Whoever leaves tries the new ones first, which nobody uses yet.
        list.sort_by_key(|host| before.contains(host));
        let Some(current) = current else {
            *self = Self { list, next: 0, tried: 0 };
            return false;
        };
        let stays = list.contains(current);
        let grown = list.len() > before.len();
        let leaves = !stays || (grown && random.below(list.len()) >= before.len());
        *self = Self { list, next: 0, tried: 0 };
        leaves
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(text: &str) -> Vec<String> {
        ConnectString::parse(text).unwrap().hosts.iter().map(Host::to_string).collect()
    }

    #[test]
    fn connect_strings_come_apart() {
        assert_eq!(hosts("a"), ["a:2181"]);
        assert_eq!(hosts("a:1, b:2,"), ["a:1", "b:2"]);
        assert_eq!(hosts("[::1]:2182,[::2],::3"), ["[::1]:2182", "[::2]:2181", "[::3]:2181"]);
        let parts = ConnectString::parse("a:1,b/x/y").unwrap();
        assert_eq!((parts.hosts.len(), parts.chroot.as_str()), (2, "/x/y"));
        assert_eq!(ConnectString::parse("a/").unwrap().chroot.as_str(), "");
    }

    #[test]
    fn what_is_not_one_is_refused() {
        for text in ["", ",", "/x", "a:x", "a:70000", "[::1", "[::1]x", ":2181"] {
            let result = ConnectString::parse(text);
            assert!(matches!(result, Err(Error::BadConnectString { .. })), "{text}: {result:?}");
        }
        assert!(matches!(ConnectString::parse("a/x/"), Err(Error::BadPath { .. })));
    }

    #[test]
    fn hosts_are_tried_in_turn() {
        let mut hosts = Hosts::new(ConnectString::parse("a,b").unwrap().hosts, None);
        assert!(!hosts.at_end_of_round());
        assert_eq!(hosts.advance().name, "a");
        assert_eq!(hosts.advance().name, "b");
        assert!(hosts.at_end_of_round());
        assert_eq!(hosts.rounds(), 1);
        hosts.succeeded();
        assert_eq!(hosts.advance().name, "a");
    }

    #[test]
    fn a_new_list_moves_those_whose_server_left() {
        let parse = |text| ConnectString::parse(text).unwrap().hosts;
        let mut random = Random::new(1);
        let mut hosts = Hosts::new(parse("a,b"), None);
        let current = parse("a").remove(0);
        assert!(!hosts.update(parse("a,b"), Some(&current), &mut random));
        assert!(hosts.update(parse("b,c"), Some(&current), &mut random));
        assert_eq!(hosts.advance().name, "c");
        let mut left = 0;
        for seed in 0..1000 {
            let mut hosts = Hosts::new(parse("a,b"), None);
            let mut random = Random::new(seed);
            left += usize::from(hosts.update(parse("a,b,c,d"), Some(&current), &mut random));
        }
        assert!((400..600).contains(&left), "{left}");
    }
}
