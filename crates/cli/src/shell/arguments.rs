//! The arguments of the program: `ostler shell [option ...] [command [word ...]]`.
//!
//! These are not clap's: Apache's shell has options of several letters behind one dash, passes over
//! those it does not know, and takes the first word without a dash as the command, with everything
//! behind it.

/// What the shell was asked to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Arguments {
    /// The connect string.
    pub servers: String,
    /// Session timeout as typed, in milliseconds.
    pub timeout_ms: String,
    /// Whether a read-only session will do.
    pub read_only: bool,
    /// Whether to end when there is no session within the timeout.
    pub wait_for_connection: bool,
    /// A file of client properties.
    pub client_configuration: Option<String>,
    /// A command to run once, with its words; empty for a session.
    pub command: Vec<String>,
    /// What is to be said of the options themselves.
    pub complaint: Option<String>,
}

/// Reads the arguments.
pub(super) fn parse(arguments: impl IntoIterator<Item = String>) -> Arguments {
    let mut parsed = Arguments {
        servers: "localhost:2181".to_string(),
        timeout_ms: "30000".to_string(),
        read_only: false,
        wait_for_connection: false,
        client_configuration: None,
        command: Vec::new(),
        complaint: None,
    };
    let mut arguments = arguments.into_iter();
    while let Some(option) = arguments.next() {
        let value = match option.as_str() {
            "-server" | "-timeout" | "-client-configuration" => {
                let Some(value) = arguments.next() else {
                    // Java: ZooKeeperMain.parseOptions says so and goes on.
                    parsed.complaint =
                        Some(format!("Error: no argument found for option {option}"));
                    break;
                };
                value
            }
            _ => String::new(),
        };
        match option.as_str() {
            "-server" => parsed.servers = value,
            "-timeout" => parsed.timeout_ms = value,
            "-client-configuration" => parsed.client_configuration = Some(value),
            "-r" => parsed.read_only = true,
            "-waitforconnection" => parsed.wait_for_connection = true,
            // Java: ZooKeeperMain.parseOptions passes over what it does not know.
            unknown if unknown.starts_with('-') => {}
            _ => {
                parsed.command.push(option);
                parsed.command.extend(arguments);
                break;
            }
        }
    }
    parsed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Arguments {
        parse(line.split_whitespace().map(str::to_string))
    }

    #[test]
    fn options_stand_before_the_command() {
        let arguments = parsed(
            "-server a:1,b:2/c -timeout 5000 -r -waitforconnection -client-configuration f \
             -unknown get -s /a -server",
        );
        assert_eq!(
            arguments,
            Arguments {
                servers: "a:1,b:2/c".to_string(),
                timeout_ms: "5000".to_string(),
                read_only: true,
                wait_for_connection: true,
                client_configuration: Some("f".to_string()),
                command: ["get", "-s", "/a", "-server"].map(str::to_string).to_vec(),
                complaint: None,
            }
        );
        assert!(parsed("").command.is_empty());
    }

    #[test]
    fn a_missing_value_is_complained_about() {
        let arguments = parsed("-r -server");
        assert_eq!(
            arguments.complaint.as_deref(),
            Some("Error: no argument found for option -server")
        );
        assert_eq!(arguments.servers, "localhost:2181");
        assert!(arguments.read_only);
    }
}
