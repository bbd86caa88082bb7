//! Which servers there are, which one this is, and whether it may run alone.
//!
//! Reads the membership lines, from the file or from the dynamic file beside it, and `myid`.

use super::ensemble;
use super::error::{ConfigError, Origin};
use super::membership::{Member, Membership, Role};
use super::settings::{Settings, is_membership, read_properties};
use super::{Config, properties::Property};
use std::io::ErrorKind;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Fills in membership, server id and the client address that the membership names.
pub(super) fn resolve(
    config: &mut Config,
    settings: &mut Settings,
    path: &Path,
) -> Result<(), ConfigError> {
    let place = path.display().to_string();
    let refuse = |reason: String| ConfigError::new(Some(place.clone()), reason);
    let standalone_enabled = settings.bool("standaloneEnabled");
    let membership = read_membership(settings)?;
    membership.check(standalone_enabled).map_err(refuse)?;
    let warning = size_warning(&membership, standalone_enabled);
    settings.warnings.extend(warning.map(str::to_owned));
    config.server_id = read_my_id(&config.data_dir)?;
    let own = config.server_id.and_then(|id| membership.members.get(&id));
    if let Some(own) = own {
        take_client_address(config, own).map_err(refuse)?;
    }
    let voters = membership.count(Role::Participant);
    if voters > 1 || (voters == 1 && !standalone_enabled) {
        let my_id = check_ensemble(config, settings).map_err(refuse)?;
        ensemble::check_own_id(my_id, &membership, &place)?;
        settings.warn_of_ensemble_keys();
        let ensemble = ensemble::resolve(settings, &membership, my_id, config.tick_time_ms)?;
        config.ensemble = Some(ensemble);
    }
    config.membership = membership;
    Ok(())
}

fn read_membership(settings: &Settings) -> Result<Membership, ConfigError> {
    let multi_address = settings.bool("zookeeper.multiAddress.enabled");
    let mut membership = Membership::default();
    let mut add = |origin: &Origin, key: &str, value: &str| {
        let added = membership.add(key, value, multi_address);
        added.map_err(|reason| ConfigError::at(origin, key, value, reason))
    };
    let lines = settings.membership_lines();
    let Some(dynamic) = settings.text("dynamicConfigFile").map(PathBuf::from) else {
        for (key, setting) in lines {
            add(&setting.origin, key, &setting.value)?;
        }
        return Ok(membership);
    };
    if let Some((key, setting)) = lines.first() {
        let reason = format!("parameter: {key} must be in a separate dynamic config file");
        return Err(ConfigError::at(&setting.origin, key, &setting.value, reason));
    }
    let version = version_of(&dynamic);
    let dynamic = Arc::new(dynamic);
    for Property { key, value, line } in read_properties(&dynamic)? {
        let origin = Origin::File(Arc::clone(&dynamic), line);
        let reason = match key.as_str() {
            key if is_membership(key) => {
                add(&origin, key, &value)?;
                continue;
            }
            "version" => "dynamic file shouldn't have version inside".to_owned(),
            _ => format!("Unrecognised parameter: {key}"),
        };
        return Err(ConfigError::at(&origin, &key, &value, reason));
    }
    membership.version = version;
    Ok(membership)
}

/// The version in the name of a file with members, as servers that change them write it:
/// `zoo.cfg.dynamic.100000000`, in hexadecimal digits. 0 if there is none.
// Java: QuorumPeerConfig.getVersionFromFilename.
fn version_of(dynamic: &Path) -> i64 {
    let name = dynamic.to_string_lossy();
    let digits = name.rsplit_once('.').map(|(_, digits)| digits);
    digits.and_then(|digits| i64::from_str_radix(digits, 16).ok()).unwrap_or(0)
}

/// What to say about an ensemble of this size.
fn size_warning(membership: &Membership, standalone_enabled: bool) -> Option<&'static str> {
    match membership.count(Role::Participant) {
        0 => None,
        1 if standalone_enabled => {
            Some("Invalid configuration, only one server specified (ignoring)")
        }
        1 | 2 => Some("No server failure will be tolerated. You need at least 3 servers."),
        voters if voters % 2 == 0 => {
            Some("Non-optimal configuration, consider an odd number of servers.")
        }
        _ => None,
    }
}

/// The number on the first line of `<data_dir>/myid`, if there is such a file.
// Java: QuorumPeerConfig.setupMyId, which reads it for a standalone server too.
fn read_my_id(data_dir: &Path) -> Result<Option<u64>, ConfigError> {
    let path = data_dir.join("myid");
    let refuse = |reason| ConfigError::new(Some(path.display().to_string()), reason);
    if !path.is_file() {
        return Ok(None);
    }
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(refuse(error.to_string())),
    };
    let text = String::from_utf8_lossy(&bytes);
    let line = text.lines().next().unwrap_or_default().trim();
    match line.parse::<i64>() {
        // Java: QuorumPeerConfig.UNSET_SERVERID is -1, so that such a file says nothing.
        Ok(id) => Ok(u64::try_from(id).ok()),
        Err(_) => Err(refuse(format!("serverid {line} is not a number"))),
    }
}

/// The client part of the own server line is where clients are served.
fn take_client_address(config: &mut Config, own: &Member) -> Result<(), String> {
    let Some((host, port)) = &own.client else { return Ok(()) };
    let host = Some(host.clone()).filter(|host| !is_any(host));
    if let Some(static_port) = config.client_port {
        let static_host = config.client_port_address.clone().filter(|host| !is_any(host));
        if static_port != *port || (static_host.is_some() && static_host != host) {
            return Err(format!(
                "client address for this server (id = {}) in static config file is {} is \
                 different from client address found in dynamic file: {}",
                own.id,
                socket_text(static_host.as_deref(), static_port),
                socket_text(host.as_deref(), *port),
            ));
        }
    }
    config.client_port = Some(*port).filter(|port| *port != 0);
    config.client_port_address = host;
    Ok(())
}

fn is_any(host: &str) -> bool {
    host.parse().is_ok_and(|address: IpAddr| address.is_unspecified())
}

// Java: InetSocketAddress.toString, as far as it goes without looking names up.
fn socket_text(host: Option<&str>, port: u16) -> String {
    match host {
        None => format!("0.0.0.0/0.0.0.0:{port}"),
        Some(host) if host.parse::<IpAddr>().is_ok() => format!("/{host}:{port}"),
        Some(host) => format!("{host}:{port}"),
    }
}

/// What a member of an ensemble must have besides; its id.
fn check_ensemble(config: &Config, settings: &Settings) -> Result<u64, String> {
    for limit in ["initLimit", "syncLimit"] {
        if settings.number(limit) == Some(0) {
            return Err(format!("{limit} is not set"));
        }
    }
    config
        .server_id
        .ok_or_else(|| format!("myid file is missing ({})", config.data_dir.join("myid").display()))
}
