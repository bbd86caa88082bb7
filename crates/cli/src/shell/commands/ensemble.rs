//! Commands about the servers: config, reconfig, version.

use crate::shell::client_config::parse_properties;
use crate::shell::failure::Failure;
use crate::shell::link::Slot;
use crate::shell::options::Parsed;
use crate::shell::render;
use crate::shell::session::Shell;
use crate::shell::table;

const CONFIG: &str = "/zookeeper/config";

/// `config [-c] [-w] [-s]`
pub(in crate::shell) fn config(shell: &mut Shell, parsed: &Parsed) -> Result<(), Failure> {
    let client = shell.client(CONFIG)?;
    let (data, stat) = if parsed.has("w") {
        let reply = client.config_and_watch();
        let (data, stat, watch) = shell.ask(CONFIG, reply)?;
        shell.link()?.follow_once(Slot::Data, CONFIG, watch);
        (data, stat)
    } else {
        let reply = client.config();
        shell.ask(CONFIG, reply)?
    };
    let text = String::from_utf8_lossy(&data);
    if parsed.has("c") {
        shell.console.line(&client_addresses(&text));
    } else {
        shell.console.line(&text);
    }
    if parsed.has("s") {
        shell.console.write(&render::stat(&stat));
    }
    Ok(())
}

/// The version of a configuration and the addresses at which its servers serve clients.
fn client_addresses(config: &str) -> String {
    let mut version = String::new();
    let mut addresses = Vec::new();
    for (name, value) in parse_properties(config) {
        if name == "version" {
            version = value.trim().to_string();
        } else if name.starts_with("server.") {
            let address = value.split_once(';').map_or("", |(_, address)| address.trim());
            let host = if address.is_empty() || address.contains(':') { "" } else { "0.0.0.0:" };
            addresses.push(format!("{host}{address}"));
        }
    }
    format!("{version} {}", addresses.join(","))
}

/// `reconfig [-s] [-v version] [-file path | -members ...] | [-add ...] [-remove ...]`
pub(in crate::shell) fn reconfig(shell: &mut Shell, parsed: &Parsed) -> Result<(), Failure> {
    let is_whole = parsed.has("file") || parsed.has("members");
    let is_change = parsed.has("add") || parsed.has("remove");
    if !is_whole && !is_change {
        let usage = table::find("reconfig").expect("this command").usage();
        return Err(Failure::new(usage));
    }
    let version = parsed.value("v").map_or(Ok(-1), |version| {
        i64::from_str_radix(version, 16)
            .map_err(|_| Failure::new("-v must be followed by a long (configuration version)"))
    })?;
    if is_whole && is_change {
        return Err(Failure::new(
            "Can't use -file or -members together with -add or -remove (mixing incremental and \
             non-incremental modes is not allowed)",
        ));
    }
    if parsed.has("file") && parsed.has("members") {
        return Err(Failure::new(
            "Can't use -file and -members together (conflicting non-incremental modes)",
        ));
    }
    let [joining, leaving, listed] =
        ["add", "remove", "members"].map(|option| parsed.value(option).map(str::to_lowercase));
    let members = match parsed.value("file") {
        Some(file) => Some(read_members(file)?),
        None => listed,
    };
    let client = shell.client("")?;
    let reply =
        client.reconfig(joining.as_deref(), leaving.as_deref(), members.as_deref(), version);
    let answer = shell.try_ask(reply)?;
    let (config, stat) = answer.map_err(|error| Failure::refused_without_path(&error))?;
    shell.console.line("Committed new configuration:");
    shell.console.line(&String::from_utf8_lossy(&config));
    if parsed.has("s") {
        shell.console.write(&render::stat(&stat));
    }
    Ok(())
}

/// The members in a dynamic configuration file, a line each.
fn read_members(file: &str) -> Result<String, Failure> {
    // Java: ReconfigCommand puts nothing between the name and the reason.
    let refuse = |reason: &str| Failure::new(format!("Error processing {file}{reason}"));
    let text = std::fs::read_to_string(file).map_err(|error| {
        let reason = match error.kind() {
            std::io::ErrorKind::NotFound => "No such file or directory".to_string(),
            std::io::ErrorKind::PermissionDenied => "Permission denied".to_string(),
            std::io::ErrorKind::IsADirectory => "Is a directory".to_string(),
            _ => error.to_string(),
        };
        refuse(&format!("{file} ({reason})"))
    })?;
    let mut members = Vec::new();
    for (name, value) in parse_properties(&text) {
        match name.split('.').next() {
            Some("server" | "group" | "weight") => members.push(format!("{name}={value}")),
            _ if name == "version" => {}
            _ => return Err(refuse(&format!("Unrecognised parameter: {name}"))),
        }
    }
    Ok(members.join("\n"))
}

/// `version`
pub(in crate::shell) fn version(shell: &mut Shell, parsed: &Parsed) -> Result<(), Failure> {
    if parsed.words.len() > 1 {
        return Err(Failure::new(table::find("version").expect("this command").usage()));
    }
    let ours = env!("CARGO_PKG_VERSION");
    shell.console.line(&format!("ZooKeeper CLI version: 3.9.5 (Ostler {ours})"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_addresses_stand_behind_the_version() {
        assert_eq!(client_addresses(""), " ");
        assert_eq!(
            client_addresses(
                "server.1=a:1:2:participant;127.0.0.1:3\nserver.2=b:1:2;3\nserver.3=c:1:2\n\
                 version=100000000"
            ),
            "100000000 127.0.0.1:3,0.0.0.0:3,"
        );
    }
}
