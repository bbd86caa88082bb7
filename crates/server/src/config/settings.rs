//! What was set, where, and whether it makes sense: file and process properties brought together.
//!
//! Values are looked up here by name and come out typed, with the default of the table for what
//! was not set. What they mean for each other is decided by the caller.
//!
//! Invariant: after [`Settings::check`] every typed key that is set has a value of its kind.

use super::error::{ConfigError, Origin};
use super::flags::Flags;
use super::keys::{self, Key, Kind, Scope, Support};
use super::membership::parse_role;
use super::properties::{self, Property};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A value and the place it was written at.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    pub(super) value: String,
    pub(super) origin: Origin,
}

/// Everything that was set.
#[derive(Debug, Default)]
pub(super) struct Settings {
    /// Keys of the file that are read by name.
    typed: BTreeMap<String, Setting>,
    /// Process properties by their full names, with those that the file stands for.
    properties: BTreeMap<String, Setting>,
    /// To be logged as warnings, one line each.
    pub(super) warnings: Vec<String>,
    /// To be logged for whoever looks for them, one line each.
    pub(super) notes: Vec<String>,
}

impl Settings {
    /// The process properties alone.
    pub(super) fn new(flags: &Flags) -> Self {
        let mut settings = Self::default();
        for definition in flags.definitions() {
            let (value, origin) = (definition.value.clone(), definition.origin.clone());
            settings.properties.insert(definition.name.clone(), Setting { value, origin });
        }
        settings
    }

    /// Adds the keys of a file; they win over process properties.
    pub(super) fn add_file(&mut self, path: &Path) -> Result<(), ConfigError> {
        self.warn_if_relative(path);
        let place = Arc::new(path.to_owned());
        for Property { key, value, line } in read_properties(path)? {
            let setting = Setting { value, origin: Origin::File(Arc::clone(&place), line) };
            if keys::typed(&key).is_some() {
                self.typed.insert(key, setting);
            } else {
                self.properties.insert(format!("zookeeper.{key}"), setting);
            }
        }
        Ok(())
    }

    /// Sets a typed key as if it stood in a file.
    pub(super) fn set_typed(&mut self, key: &str, value: &str) {
        debug_assert!(keys::typed(key).is_some(), "{key} is in the table");
        let setting = Setting { value: value.to_owned(), origin: Origin::Argument };
        self.typed.insert(key.to_owned(), setting);
    }

    /// Refuses wrong values and collects the warnings about names without effect.
    pub(super) fn check(&mut self) -> Result<(), ConfigError> {
        for (key, setting) in self.in_order(&self.typed) {
            let row = keys::typed(key).expect("only names of the table are inserted");
            check_typed(row, &setting.value)
                .and_then(|()| check_choice(key, &setting.value))
                .map_err(|why| ConfigError::at(&setting.origin, key, &setting.value, why))?;
        }
        let mut warnings = Vec::new();
        let mut notes = Vec::new();
        for (key, setting) in self.in_order(&self.typed) {
            warnings.extend(warning(keys::typed(key), key, setting));
        }
        for (name, setting) in self.in_order(&self.properties) {
            let row = keys::property(name);
            let ours = row.is_some()
                || matches!(setting.origin, Origin::File(..))
                || keys::pass_through(name).is_some()
                || ["zookeeper.", "jute.", "znode.", "readonlymode."]
                    .iter()
                    .any(|beginning| name.starts_with(beginning));
            if ours {
                warnings.extend(warning(row, name, setting));
            } else {
                notes.push(format!("{}: -D{name} does not concern Ostler", setting.origin));
            }
        }
        self.warnings.append(&mut warnings);
        self.notes.append(&mut notes);
        Ok(())
    }

    /// Adds the warnings about keys that would matter now that there is an ensemble.
    pub(super) fn warn_of_ensemble_keys(&mut self) {
        let typed = self.in_order(&self.typed).into_iter();
        let typed = typed.map(|(key, setting)| (keys::typed(key), key, setting));
        let properties = self.in_order(&self.properties).into_iter();
        let properties = properties.map(|(name, setting)| (keys::property(name), name, setting));
        let warnings: Vec<String> = typed
            .chain(properties)
            .filter(|(row, ..)| row.is_some_and(|row| row.support == Support::Ensemble))
            .filter(|(row, _, setting)| row.is_some_and(|row| !row.is_default(&setting.value)))
            .map(|(_, name, setting)| {
                let shown = shown(name, setting);
                format!("{shown} is not implemented in this version: ignored")
            })
            .collect();
        self.warnings.extend(warnings);
    }

    /// The typed keys that hold the membership, in the order of the file.
    pub(super) fn membership_lines(&self) -> Vec<(&str, &Setting)> {
        let mut lines = self.in_order(&self.typed);
        lines.retain(|(key, _)| is_membership(key));
        lines
    }

    /// All process properties by their full names.
    pub(super) fn property_values(&self) -> BTreeMap<String, String> {
        let pairs = self.properties.iter();
        pairs.map(|(name, setting)| (name.clone(), setting.value.clone())).collect()
    }

    /// What was set for a typed key or, by its full name, a process property.
    pub(super) fn setting(&self, name: &str) -> Option<&Setting> {
        let values = if keys::typed(name).is_some() { &self.typed } else { &self.properties };
        values.get(name)
    }

    /// A text that is not empty, or its default.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        let set = self.setting(name).map(|setting| setting.value.as_str());
        let some = |text: &&str| !text.is_empty();
        set.filter(some).or_else(|| Some(row(name).default).filter(some))
    }

    /// A switch, or its default.
    pub(super) fn bool(&self, name: &str) -> bool {
        let row = row(name);
        let value = self.setting(name).map_or(row.default, |setting| &setting.value);
        match row.kind {
            Kind::Bool => value.eq_ignore_ascii_case("true"),
            Kind::OnlyYes => value == "yes",
            Kind::UnlessNo => value != "no",
            Kind::UnlessFalse => value != "false",
            other => unreachable!("{name} is no switch but {other:?}"),
        }
    }

    /// A number, or its default; `None` where the default depends on other keys.
    pub(super) fn number(&self, name: &str) -> Option<i64> {
        let row = row(name);
        let set = self.setting(name).and_then(|setting| parse_number(row, &setting.value));
        let number = set.or_else(|| row.default.parse().ok());
        number.map(|number| row.min.map_or(number, |min| number.max(min)))
    }

    /// A port, unless it is unset.
    pub(super) fn port(&self, name: &str) -> Option<u16> {
        let port = self.number(name).and_then(|port| u16::try_from(port).ok());
        port.filter(|port| *port != 0)
    }

    /// Says so when a path depends on the directory in which the server was started.
    // Java: VerifyingFileFactory, whose wording operators know.
    pub(super) fn warn_if_relative(&mut self, path: &Path) {
        if !path.is_absolute() && !path.starts_with(".") {
            self.warnings.push(format!(
                "{} is relative. Prepend ./ to indicate that you're sure!",
                path.display()
            ));
        }
    }

    /// Entries as the reader meets them: by place, then by name.
    fn in_order<'a>(&self, from: &'a BTreeMap<String, Setting>) -> Vec<(&'a str, &'a Setting)> {
        let mut entries: Vec<_> = from.iter().map(|(key, value)| (key.as_str(), value)).collect();
        entries.sort_by_key(|(_, setting)| match &setting.origin {
            Origin::File(_, line) => *line,
            Origin::Argument | Origin::Environment => 0,
        });
        entries
    }
}

/// Whether a key of a file is one of the membership lines.
pub(super) fn is_membership(key: &str) -> bool {
    ["server.", "group", "weight"].iter().any(|beginning| key.starts_with(beginning))
}

/// The entries of a file.
pub(super) fn read_properties(path: &Path) -> Result<Vec<Property>, ConfigError> {
    let place = Some(path.display().to_string());
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(ConfigError::new(None, format!("{} file is missing", path.display())));
        }
        Err(error) => return Err(ConfigError::new(place, error.to_string())),
    };
    properties::parse(&bytes).map_err(|error| {
        let origin = Origin::File(Arc::new(PathBuf::from(path)), error.line);
        ConfigError::new(Some(origin.to_string()), error.reason)
    })
}

/// The row of a name that this crate itself asks for.
fn row(name: &str) -> &'static Key {
    let row = keys::typed(name).or_else(|| keys::property(name));
    row.unwrap_or_else(|| panic!("{name} is not in the table"))
}

/// What to say about a name that was set, if anything. Values stay out of it: some are secrets.
fn warning(row: Option<&'static Key>, name: &str, setting: &Setting) -> Option<String> {
    let from_file = matches!(setting.origin, Origin::File(..));
    let shown = shown(name, setting);
    let Some(row) = row else {
        return Some(format!("{shown} is not known and is ignored{}", hint(name, from_file)));
    };
    if let Some(min) = row.min
        && parse_number(row, &setting.value).is_some_and(|number| number < min)
    {
        return Some(format!("{shown} is raised to {min}, the least value"));
    }
    if row.is_default(&setting.value) {
        return None;
    }
    match row.support {
        Support::Later => Some(format!("{shown} is not implemented in this version: ignored")),
        Support::NoPart => Some(format!("{shown} tunes a part Ostler does not have: ignored")),
        Support::Works if is_bad_number(row, &setting.value) => {
            let default = if row.default.is_empty() { "the default" } else { row.default };
            Some(format!("{shown} is not a number: {default} is used"))
        }
        Support::Works | Support::Ensemble | Support::Foreign => None,
    }
}

/// A name and its place as a warning shows them.
fn shown(name: &str, setting: &Setting) -> String {
    let from_file = matches!(setting.origin, Origin::File(..));
    let shown = match name.strip_prefix("zookeeper.") {
        Some(key) if from_file => key.to_owned(),
        _ if from_file => name.to_owned(),
        _ => format!("-D{name}"),
    };
    format!("{}: {}", setting.origin, shown.escape_debug())
}

/// How a name without effect should have been written.
fn hint(name: &str, from_file: bool) -> String {
    let key = name.strip_prefix("zookeeper.").unwrap_or(name);
    if from_file && keys::property(key).is_some_and(|row| row.scope == Scope::Process) {
        return format!("; set it as -D{key}, for instance in SERVER_JVMFLAGS");
    }
    if !from_file && keys::typed(key).is_some() {
        return format!("; {key} is read from the configuration file only");
    }
    match keys::suggestion(key) {
        Some(right) if from_file => format!(" (did you mean {right}?)"),
        Some(right) if keys::typed(right).is_some() => {
            format!(" (did you mean {right} in the configuration file?)")
        }
        Some(right) => format!(" (did you mean -Dzookeeper.{right}?)"),
        None => String::new(),
    }
}

/// Checks the value of a key that is read by name.
fn check_typed(row: &Key, value: &str) -> Result<(), String> {
    match row.kind {
        Kind::Bool if !["true", "false"].iter().any(|b| value.eq_ignore_ascii_case(b)) => {
            Err(format!("Invalid option {value} for {}. Choose 'true' or 'false.'", row.name))
        }
        Kind::Int | Kind::Long | Kind::Port => {
            let number = parse_number(row, value)
                .ok_or_else(|| format!("For input string: \"{}\"", value.escape_debug()))?;
            if row.kind == Kind::Port && u16::try_from(number).is_err() {
                return Err(format!("port out of range:{number}"));
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Checks keys that take only a few values.
fn check_choice(key: &str, value: &str) -> Result<(), String> {
    match key {
        "electionAlg" if value != "3" => {
            Err("Invalid electionAlg value. Only 3 is supported.".to_owned())
        }
        "peerType" => parse_role(value).map(|_| ()),
        "metricsProvider.className" if !METRICS_PROVIDERS.contains(&value) => {
            Err("metrics provider class was not found".to_owned())
        }
        _ => Ok(()),
    }
}

/// The providers that come with ZooKeeper; others would be Java classes.
const METRICS_PROVIDERS: &[&str] = &[
    "org.apache.zookeeper.metrics.impl.DefaultMetricsProvider",
    "org.apache.zookeeper.metrics.impl.NullMetricsProvider",
    "org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider",
];

fn is_bad_number(row: &Key, value: &str) -> bool {
    matches!(row.kind, Kind::Int | Kind::Long) && parse_number(row, value).is_none()
}

/// A number in decimal or, for process properties, also in hexadecimal and octal.
// Java: Integer.parseInt for typed keys, Integer.decode for properties.
fn parse_number(row: &Key, text: &str) -> Option<i64> {
    let number: i64 = if row.scope == Scope::Typed { text.parse().ok()? } else { decode(text)? };
    match row.kind {
        Kind::Long => Some(number),
        _ => i32::try_from(number).ok().map(i64::from),
    }
}

fn decode(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let prefixes = [("0x", 16), ("0X", 16), ("#", 16), ("0", 8)];
    let prefixed = prefixes
        .iter()
        .find_map(|(prefix, radix)| digits.strip_prefix(prefix).map(|rest| (rest, *radix)))
        .filter(|(rest, _)| !rest.is_empty());
    let (digits, radix) = prefixed.unwrap_or((digits, 10));
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let magnitude = i128::from_str_radix(digits, radix).ok()?;
    i64::try_from(if negative { -magnitude } else { magnitude }).ok()
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn numbers_of_properties() {
        for (text, expect) in [
            ("0", Some(0)),
            ("10", Some(10)),
            ("-10", Some(-10)),
            ("+10", Some(10)),
            ("0x10", Some(16)),
            ("-0XfF", Some(-255)),
            ("#10", Some(16)),
            ("010", Some(8)),
            ("08", None),
            ("0x", None),
            ("--1", None),
            ("0x-1", None),
            ("1 ", None),
            ("", None),
            ("1e3", None),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
        ] {
            assert_eq!(decode(text), expect, "input {text:?}");
        }
    }
}
