//! The servers of an ensemble: `server.N`, `group.N` and `weight.N` lines.
//!
//! Lines are read and checked for shape here. Names are not looked up, and what an ensemble of
//! these servers would do is not decided here.
//!
//! ```text
//! server.<id>=<address>[|<address>...][;[<client host>:]<client port>]
//! <address> = <host>:<quorum port>:<election port>[:participant|:observer]
//! ```

use std::collections::BTreeMap;
use std::fmt;

/// Whether a server votes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// It votes and may lead.
    #[default]
    Participant,
    /// It learns what was decided.
    Observer,
}

impl fmt::Display for Role {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Participant => "PARTICIPANT",
            Self::Observer => "OBSERVER",
        })
    }
}

/// One of the addresses at which the other servers find a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuorumAddress {
    /// Name or address; an IPv6 address without its brackets.
    pub host: String,
    /// Port for what a leader sends to learners.
    pub quorum_port: u16,
    /// Port for elections.
    pub election_port: u16,
}

/// One server of the ensemble.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The `N` of `server.N`.
    pub id: u64,
    /// At least one address.
    pub addresses: Vec<QuorumAddress>,
    /// Whether it votes.
    pub role: Role,
    /// Where clients find it: host (0.0.0.0 if not given) and port.
    pub client: Option<(String, u16)>,
}

/// All servers of the ensemble with their groups and weights.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Membership {
    /// By id.
    pub members: BTreeMap<u64, Member>,
    /// The group of each server, when groups are used.
    pub groups: BTreeMap<u64, u64>,
    /// The weight of each server's vote, where it is not 1.
    pub weights: BTreeMap<u64, u64>,
    /// Whether a `group` or `weight` line was seen.
    pub hierarchical: bool,
    /// Which of the memberships that this ensemble had: the name of the file says so.
    pub version: i64,
}

impl Membership {
    /// How many servers have this role.
    #[must_use]
    pub fn count(&self, role: Role) -> usize {
        self.members.values().filter(|member| member.role == role).count()
    }

    /// Takes in one line.
    ///
    /// # Errors
    /// The reason, when the line has not the right shape.
    pub(super) fn add(
        &mut self,
        key: &str,
        value: &str,
        multi_address: bool,
    ) -> Result<(), String> {
        // Java: QuorumHierarchical, which takes the number behind the first dot, if any.
        let number = key.split_once('.').map_or(key, |(_, number)| number);
        if key.starts_with("server.") {
            let id = parse_number(number)?;
            self.members.insert(id, parse_member(id, value, multi_address)?);
            return Ok(());
        }
        self.hierarchical = true;
        let number = parse_number(number)?;
        if key.starts_with("weight") {
            self.weights.insert(number, parse_number(value)?);
            return Ok(());
        }
        for id in value.split(':') {
            let id = parse_number(id.trim())?;
            if self.groups.insert(id, number).is_some() {
                // Java: QuorumHierarchical.parse, missing blank included.
                return Err(format!("Server {id}is in multiple groups"));
            }
        }
        Ok(())
    }

    /// Checks what can be wrong only with all lines together.
    ///
    /// # Errors
    /// The reason.
    pub(super) fn check(&self, standalone_enabled: bool) -> Result<(), String> {
        let ungrouped = self
            .members
            .values()
            .filter(|member| self.hierarchical && member.role == Role::Participant)
            .find(|member| !self.groups.contains_key(&member.id));
        if let Some(member) = ungrouped {
            return Err(format!("Server {}is not in a group", member.id));
        }
        let observers = self.count(Role::Observer);
        match self.count(Role::Participant) {
            0 if !standalone_enabled => {
                Err("standaloneEnabled = false then number of participants should be >0".into())
            }
            0 if observers > 0 => {
                Err("Observers w/o participants is an invalid configuration".into())
            }
            1 if standalone_enabled && observers > 0 => {
                Err("Observers w/o quorum is an invalid configuration".into())
            }
            _ => Ok(()),
        }
    }
}

/// A role, in any case.
///
/// # Errors
/// The reason, when it is none.
pub(super) fn parse_role(text: &str) -> Result<Role, String> {
    match text.to_ascii_lowercase().as_str() {
        "participant" => Ok(Role::Participant),
        "observer" => Ok(Role::Observer),
        _ => Err(format!("Unrecognised peertype: {text}")),
    }
}

pub(super) fn parse_member(id: u64, value: &str, multi_address: bool) -> Result<Member, String> {
    let mut parts: Vec<&str> = value.split(';').collect();
    // Java: String.split, which drops empty parts at the end.
    while parts.len() > 1 && parts.last().is_some_and(|part| part.is_empty()) {
        parts.pop();
    }
    let (servers, client) = match parts.as_slice() {
        [servers] => (servers, None),
        [servers, client] => (servers, Some(parse_client(client, value)?)),
        _ => return Err(wrong_form(value)),
    };
    let servers: Vec<&str> = servers.split('|').collect();
    if servers.len() > 1 && !multi_address {
        return Err(format!(
            "Multiple address feature is disabled, but multiple addresses were specified for \
             sid {id}"
        ));
    }
    let mut addresses = Vec::with_capacity(servers.len());
    let mut role: Option<Role> = None;
    for server in servers {
        let (address, address_role) = parse_address(id, server, value)?;
        addresses.push(address);
        match (role, address_role) {
            (Some(one), Some(other)) if one != other => {
                return Err(format!(
                    "Multiple addresses should have similar roles: {one} vs {other}"
                ));
            }
            _ => role = role.or(address_role),
        }
    }
    Ok(Member { id, addresses, role: role.unwrap_or_default(), client })
}

fn parse_client(client: &str, value: &str) -> Result<(String, u16), String> {
    let parts = split_host(client)?;
    match parts.as_slice() {
        [port] => Ok(("0.0.0.0".to_owned(), parse_port("", port)?)),
        [host, port] => Ok(((*host).to_owned(), parse_port(host, port)?)),
        _ => Err(wrong_form(value)),
    }
}

fn parse_address(
    id: u64,
    address: &str,
    value: &str,
) -> Result<(QuorumAddress, Option<Role>), String> {
    let parts = split_host(address)?;
    let (host, quorum_port, election_port, role) = match parts.as_slice() {
        [host, quorum_port, election_port] => (host, quorum_port, election_port, None),
        [host, quorum_port, election_port, role] => {
            (host, quorum_port, election_port, Some(parse_role(role)?))
        }
        _ => return Err(wrong_form(value)),
    };
    let quorum_port = parse_port(host, quorum_port)?;
    let election_port = parse_port(host, election_port)?;
    if quorum_port == election_port {
        return Err(format!(
            "Client and election port must be different! Please update the configuration file on \
             server.{id}"
        ));
    }
    let host = (*host).to_owned();
    Ok((QuorumAddress { host, quorum_port, election_port }, role))
}

/// Splits at colons, except inside the brackets of an IPv6 address at the beginning.
fn split_host(text: &str) -> Result<Vec<&str>, String> {
    let Some(inside) = text.strip_prefix('[') else {
        return Ok(text.split(':').collect());
    };
    let Some((host, rest)) = inside.split_once(']') else {
        return Err(format!("{text} starts with '[' but has no matching ']'"));
    };
    let mut parts = vec![host];
    match rest.strip_prefix(':') {
        Some(rest) => parts.extend(rest.split(':')),
        None if rest.is_empty() => {}
        None => return Err(format!("{text} has something other than ':' after ']'")),
    }
    Ok(parts)
}

fn parse_port(host: &str, port: &str) -> Result<u16, String> {
    let number: i32 = port.parse().map_err(|_| format!("Address unresolved: {host}:{port}"))?;
    u16::try_from(number).map_err(|_| format!("port out of range:{number}"))
}

/// A number that Java can hold in a long.
fn parse_number(text: &str) -> Result<u64, String> {
    let number = text.parse().ok().filter(|number| i64::try_from(*number).is_ok());
    number.ok_or_else(|| format!("For input string: \"{text}\""))
}

fn wrong_form(value: &str) -> String {
    format!(
        "{value} does not have the form server_config or server_config;client_config where \
         server_config is the pipe separated list of host:port:port or host:port:port:type and \
         client_config is port or host:port"
    )
}

#[cfg(test)]
mod tests {
    use super::{Membership, parse_member};

    /// Renders a member as `role host/quorum/election... client host/port`.
    fn check(value: &str, expect: &str) {
        let found = parse_member(1, value, true).map_or_else(
            |reason| format!("! {reason}"),
            |member| {
                let mut text = member.role.to_string();
                for at in &member.addresses {
                    text += &format!(" {}/{}/{}", at.host, at.quorum_port, at.election_port);
                }
                if let Some((host, port)) = &member.client {
                    text += &format!(" client {host}/{port}");
                }
                text
            },
        );
        assert_eq!(found, expect, "input {value:?}");
    }

    #[test]
    fn server_lines() {
        check("zk1:2888:3888", "PARTICIPANT zk1/2888/3888");
        check("zk1:2888:3888;", "PARTICIPANT zk1/2888/3888");
        check("zk1:2888:3888:Observer;2181", "OBSERVER zk1/2888/3888 client 0.0.0.0/2181");
        check("[::1]:1:2;[::2]:3", "PARTICIPANT ::1/1/2 client ::2/3");
        check("a:1:2|b:3:4:participant;c:5", "PARTICIPANT a/1/2 b/3/4 client c/5");
    }

    #[test]
    fn bad_server_lines() {
        for value in ["", "zk1", "zk1:2888", "a:1:2:observer:x", "a:1:2;b;c", "a:1:2;b:c:4"] {
            assert!(
                parse_member(1, value, true)
                    .expect_err(value)
                    .starts_with(&format!("{value} does not have the form server_config or")),
            );
        }
        check("a:x:3", "! Address unresolved: a:x");
        check("a:1:y", "! Address unresolved: a:y");
        check("a:1:2;b:z", "! Address unresolved: b:z");
        check("a:1:70000", "! port out of range:70000");
        check("a:-1:2", "! port out of range:-1");
        check("a:1:2:foo", "! Unrecognised peertype: foo");
        check("[::1:1:2", "! [::1:1:2 starts with '[' but has no matching ']'");
        check("[::1]1:2", "! [::1]1:2 has something other than ':' after ']'");
        check(
            "a:1:2:observer|b:1:2:participant",
            "! Multiple addresses should have similar roles: OBSERVER vs PARTICIPANT",
        );
        check(
            "a:7:7",
            "! Client and election port must be different! Please update the configuration file \
             on server.1",
        );
    }

    fn check_lines(lines: &[(&str, &str)], standalone_enabled: bool, expect: &str) {
        let mut membership = Membership::default();
        let found = lines
            .iter()
            .try_for_each(|(key, value)| membership.add(key, value, false))
            .and_then(|()| membership.check(standalone_enabled));
        assert_eq!(found.err().unwrap_or_default(), expect, "input {lines:?}");
    }

    #[test]
    fn lines_together() {
        let one = ("server.1", "a:1:2");
        let two = ("server.2", "b:1:2");
        let observer = ("server.3", "c:1:2:observer");
        let groups = [("group.1", "1"), ("group.2", "2"), ("weight.1", "5")];
        let none = "standaloneEnabled = false then number of participants should be >0";
        check_lines(&[], true, "");
        check_lines(&[], false, none);
        check_lines(&[observer], false, none);
        check_lines(&[observer], true, "Observers w/o participants is an invalid configuration");
        check_lines(&[one, observer], true, "Observers w/o quorum is an invalid configuration");
        check_lines(&[one, observer], false, "");
        check_lines(&[one, two, observer], true, "");
        check_lines(&[one, two, groups[0], groups[1], groups[2]], true, "");
        check_lines(&[one, two, groups[0]], true, "Server 2is not in a group");
        let twice = ("group.3", "1:2");
        check_lines(&[one, groups[1], twice], true, "Server 2is in multiple groups");
        check_lines(&[("server.x", "a:1:2")], true, "For input string: \"x\"");
        check_lines(&[("group.1", "1:y")], true, "For input string: \"y\"");
        check_lines(
            &[("server.1", "a:1:2|b:1:2")],
            true,
            "Multiple address feature is disabled, but multiple addresses were specified for sid 1",
        );
    }
}
