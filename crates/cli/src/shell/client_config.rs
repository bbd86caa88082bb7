//! Properties of the client: those of `-client-configuration`, and `-D` definitions of the
//! environment.
//!
//! Apache's client reads its properties from a file and from the Java system properties, which its
//! scripts take from `CLIENT_JVMFLAGS`. Here the same variable is read.

use std::collections::BTreeMap;
use std::time::Duration;

/// What the properties ask for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct ClientConfig {
    /// How long to wait for an answer; for ever, if it is not set.
    pub request_timeout: Option<Duration>,
    /// Whether watches are given up when the connection breaks.
    pub drops_watches: bool,
}

/// Reads the properties of a file, if one is named, on top of those of the environment.
///
/// # Errors
/// A sentence: the file cannot be read, a value is not valid, or something is asked for that this
/// client does not do.
pub(super) fn load(file: Option<&str>, jvm_flags: &str) -> Result<ClientConfig, String> {
    let mut properties = definitions(jvm_flags);
    if let Some(file) = file {
        let text = std::fs::read_to_string(file)
            .map_err(|error| format!("Error processing {file}: {error}"))?;
        properties.extend(parse_properties(&text));
    }
    understand(&properties)
}

fn understand(properties: &BTreeMap<String, String>) -> Result<ClientConfig, String> {
    let mut config = ClientConfig::default();
    let is_true = |name: &str| properties.get(name).is_some_and(|v| v.eq_ignore_ascii_case("true"));
    if is_true("zookeeper.client.secure") {
        return Err("zookeeper.client.secure: TLS is not supported by this shell yet".to_string());
    }
    if let Some(value) = properties.get("zookeeper.request.timeout") {
        let time_ms: u64 = value.trim().parse().map_err(|_| {
            format!("zookeeper.request.timeout={value} is no number of milliseconds")
        })?;
        config.request_timeout = (time_ms > 0).then(|| Duration::from_millis(time_ms));
    }
    config.drops_watches = is_true("zookeeper.disableAutoWatchReset");
    Ok(config)
}

/// The `-Dname=value` among the flags.
fn definitions(jvm_flags: &str) -> BTreeMap<String, String> {
    let defined = jvm_flags.split_whitespace().filter_map(|flag| flag.strip_prefix("-D"));
    defined
        .map(|definition| {
            let (name, value) = definition.split_once('=').unwrap_or((definition, ""));
            (name.to_string(), value.to_string())
        })
        .collect()
}

/// A file of properties as Java writes them: `name=value`, `name: value` or `name value` on a line,
/// `#` or `!` before a comment, a backslash before a line that goes on.
pub(super) fn parse_properties(text: &str) -> Vec<(String, String)> {
    let mut properties = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with(['#', '!']) {
            continue;
        }
        let mut logical = line.to_string();
        while continues(&logical) {
            logical.pop();
            let Some(next) = lines.next() else { break };
            logical.push_str(next.trim_start());
        }
        properties.push(split_property(&logical));
    }
    properties
}

fn continues(line: &str) -> bool {
    line.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1
}

fn split_property(line: &str) -> (String, String) {
    let mut name = String::new();
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => name.extend(chars.next()),
            '=' | ':' => break,
            c if c.is_whitespace() => {
                let rest = chars.as_str().trim_start();
                let value = rest.strip_prefix(['=', ':']).unwrap_or(rest);
                return (name, unescape(value.trim_start()));
            }
            c => name.push(c),
        }
    }
    (name, unescape(chars.as_str().trim_start()))
}

fn unescape(value: &str) -> String {
    let mut plain = String::new();
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('n') => plain.push('\n'),
                Some('t') => plain.push('\t'),
                Some('r') => plain.push('\r'),
                Some(c) => plain.push(c),
                None => {}
            },
            c => plain.push(c),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_properties_are_read_as_java_writes_them() {
        let text =
            "# comment\n! comment\n\n a = 1 \nb:2\nc 3\n d\\=e = x\\\n   y\nf\ng=C\\:\\\\d\n";
        let properties = parse_properties(text);
        let properties: Vec<(&str, &str)> =
            properties.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(
            properties,
            [("a", "1 "), ("b", "2"), ("c", "3"), ("d=e", "xy"), ("f", ""), ("g", "C:\\d")]
        );
    }

    #[test]
    fn the_environment_defines_properties_too() {
        let config = load(None, "-Xmx256m -Dzookeeper.request.timeout=1500").unwrap();
        assert_eq!(config.request_timeout, Some(Duration::from_millis(1500)));
        assert!(load(None, "-Dzookeeper.client.secure=true").unwrap_err().contains("TLS"));
        assert!(load(None, "-Dzookeeper.request.timeout=x").is_err());
        assert!(load(Some("/no/such/file"), "").unwrap_err().contains("/no/such/file"));
        assert_eq!(load(None, "").unwrap(), ClientConfig::default());
    }
}
