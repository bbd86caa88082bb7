//! All commands: the table from which they are found, explained and completed.

use super::commands::{acls, ensemble, files, own, quotas, reads, trees, watches, writes};
use super::failure::Failure;
use super::options::{self, Opt, Parsed, Together};
use super::session::Shell;

/// A command.
pub(super) struct Command {
    /// What is typed.
    pub name: &'static str,
    /// What follows the name in the usage.
    pub syntax: &'static str,
    /// Its options.
    pub options: &'static [Opt],
    /// How many of the options may be given together.
    pub together: Together,
    /// Whether its usage has a list of the options.
    pub lists_options: bool,
    /// Whether what follows is words only, even behind a dash.
    pub has_no_options: bool,
    /// How many words must follow the name.
    pub words_min: usize,
    /// Whether it makes no sense without a session.
    pub needs_session: bool,
    /// Whether Apache's shell of 3.9 does not have it.
    pub is_ours: bool,
    /// What it does.
    pub run: Run,
}

type Run = fn(&mut Shell, &Parsed) -> Result<(), Failure>;

impl Command {
    const fn new(name: &'static str, syntax: &'static str, words_min: usize, run: Run) -> Self {
        Self {
            name,
            syntax,
            options: &[],
            together: Together::Any,
            lists_options: false,
            has_no_options: false,
            words_min,
            needs_session: true,
            is_ours: false,
            run,
        }
    }

    const fn options(mut self, options: &'static [Opt]) -> Self {
        self.options = options;
        self
    }

    const fn together(mut self, together: Together) -> Self {
        self.together = together;
        self
    }

    const fn listed(mut self) -> Self {
        self.lists_options = true;
        self
    }

    /// Java: such commands do not look for options at all.
    const fn plain(mut self) -> Self {
        self.has_no_options = true;
        self
    }

    const fn sessionless(mut self) -> Self {
        self.needs_session = false;
        self
    }

    const fn ours(mut self) -> Self {
        self.is_ours = true;
        self
    }

    /// How it is used: a line, and the options where they are listed.
    pub(super) fn usage(&self) -> String {
        let line = format!("{} {}", self.name, self.syntax);
        if self.lists_options { format!("{line}\n{}", options::list(self.options)) } else { line }
    }
}

/// The commands, sorted as in the usage.
pub(super) const COMMANDS: &[Command] = &[
    Command::new(
        "addWatch",
        "[-m mode] path # optional mode is one of [PERSISTENT, PERSISTENT_RECURSIVE] - default is \
         PERSISTENT_RECURSIVE",
        1,
        watches::add,
    )
    .options(&[Opt::value("m", "")]),
    Command::new("addauth", "scheme auth", 1, acls::add_auth),
    Command::new("close", "", 0, own::close).plain(),
    Command::new("config", "[-c] [-w] [-s]", 0, ensemble::config).options(&[
        Opt::flag("s", "stats"),
        Opt::flag("w", "watch"),
        Opt::flag("c", "client connection string"),
    ]),
    Command::new("connect", "host:port", 0, own::connect).plain().sessionless(),
    Command::new("create", "[-s] [-e] [-c] [-t ttl] path [data] [acl]", 1, writes::create).options(
        &[
            Opt::flag("e", "ephemeral"),
            Opt::flag("s", "sequential"),
            Opt::flag("c", "container"),
            Opt::value("t", "ttl"),
        ],
    ),
    Command::new("delete", "[-v version] path", 1, writes::delete)
        .options(&[Opt::value("v", "version")]),
    Command::new("deleteall", "path [-b batch size]", 1, writes::delete_all)
        .options(&[Opt::value("b", "batch size")]),
    Command::new("delquota", "[-n|-b|-N|-B] path", 1, quotas::delete)
        .options(&[
            Opt::flag("n", "num soft quota"),
            Opt::flag("b", "bytes soft quota"),
            Opt::flag("N", "num hard quota"),
            Opt::flag("B", "bytes hard quota"),
        ])
        .together(Together::AtMostOne),
    Command::new("du", "[-d depth] [-h] path", 1, trees::du)
        .options(&[Opt::value("d", "depth"), Opt::flag("h", "sizes for people")])
        .ours(),
    Command::new("exit", "", 0, own::quit).plain().sessionless().ours(),
    Command::new("export", "[-e] path [file]", 1, files::export)
        .options(&[Opt::flag("e", "ephemeral znodes too")])
        .ours(),
    Command::new("get", "[-s] [-w] [-b] [-x] path", 1, reads::get)
        .options(&[
            Opt::flag("s", "Print znode stats additionally"),
            Opt::flag("w", "Watch for changes on the znode"),
            Opt::flag("b", "Output data in base64 format"),
            Opt::flag("x", "Output data in hexdump format"),
        ])
        .listed(),
    Command::new("getAcl", "[-s] path", 1, acls::show).options(&[Opt::flag("s", "stats")]),
    Command::new("getAllChildrenNumber", "path", 1, reads::count),
    Command::new("getEphemerals", "path", 0, reads::ephemerals),
    Command::new("help", "[command]", 0, own::help).plain().sessionless().ours(),
    Command::new("history", "", 0, own::history).plain().sessionless(),
    Command::new("import", "[-o] file [path]", 1, files::import)
        .options(&[Opt::flag("o", "overwrite what is there")])
        .ours(),
    Command::new("listquota", "path", 1, quotas::list),
    Command::new("ls", "[-s] [-w] [-R] path", 0, reads::ls).options(&[
        Opt::flag("?", "help"),
        Opt::flag("s", "stat"),
        Opt::flag("w", "watch"),
        Opt::flag("R", "recurse"),
    ]),
    Command::new("printwatches", "on|off", 0, own::print_watches).plain().sessionless(),
    Command::new("quit", "", 0, own::quit).plain().sessionless(),
    Command::new(
        "reconfig",
        "[-s] [-v version] [[-file path] | [-members serverID=host:port1:port2;port3[,...]*]] | \
         [-add serverId=host:port1:port2;port3[,...]]* [-remove serverId[,...]*]",
        0,
        ensemble::reconfig,
    )
    .options(&[
        Opt::flag("s", "stats"),
        Opt::value("v", "required current config version"),
        Opt::value("file", "path of config file to parse for membership"),
        Opt::value(
            "members",
            "comma-separated list of config strings for non-incremental reconfig",
        ),
        Opt::value("add", "comma-separated list of config strings for new servers"),
        Opt::value("remove", "comma-separated list of server IDs to remove"),
    ]),
    Command::new("redo", "cmdno", 0, own::redo).plain().sessionless(),
    Command::new("removewatches", "path [-c|-d|-a] [-l]", 1, watches::remove).options(&[
        Opt::flag("c", "child watcher type"),
        Opt::flag("d", "data watcher type"),
        Opt::flag("p", "persistent watcher type"),
        Opt::flag("r", "persistent recursive watcher type"),
        Opt::flag("a", "any watcher type"),
        Opt::flag("l", "remove locally when there is no server connection"),
    ]),
    Command::new("set", "path data [-s] [-v version] [-b]", 2, writes::set)
        .options(&[
            Opt::flag("s", "Print znode stats additionally"),
            Opt::value("v", "Set with an expected version"),
            Opt::flag("b", "Supply data in base64 format"),
        ])
        .listed(),
    Command::new("setAcl", "[-s] [-v version] [-R] path acl", 2, acls::set).options(&[
        Opt::flag("s", "stats"),
        Opt::value("v", "version"),
        Opt::flag("R", "recursive"),
    ]),
    Command::new("setquota", "-n|-b|-N|-B val path", 1, quotas::set)
        .options(&[
            Opt::value("n", "num soft quota"),
            Opt::value("b", "bytes soft quota"),
            Opt::value("N", "num hard quota"),
            Opt::value("B", "bytes hard quota"),
        ])
        .together(Together::ExactlyOne),
    Command::new("stat", "[-w] path", 1, reads::stat).options(&[Opt::flag("w", "watch")]),
    Command::new("sync", "path", 1, reads::sync),
    Command::new("tree", "[-d depth] [-s] path", 1, trees::tree)
        .options(&[Opt::value("d", "depth"), Opt::flag("s", "sizes")])
        .ours(),
    Command::new("version", "", 0, ensemble::version).sessionless(),
    Command::new("watch", "[-R] [-n count] path", 1, watches::stream)
        .options(&[Opt::flag("R", "everything below too"), Opt::value("n", "end after so many")])
        .ours(),
    Command::new("whoami", "", 0, acls::who_am_i).plain(),
];

/// The command of this name.
pub(super) fn find(name: &str) -> Option<&'static Command> {
    COMMANDS.iter().find(|command| command.name == name)
}

/// How the program and each command are used: Apache's list, then what is ours.
pub(super) fn usage() -> String {
    let mut text =
        "ZooKeeper -server host:port -client-configuration properties-file cmd args".to_string();
    let (ours, apaches): (Vec<_>, Vec<_>) = COMMANDS.iter().partition(|command| command.is_ours);
    for command in apaches {
        text.push_str(&format!("\n\t{} {}", command.name, command.syntax));
    }
    text.push_str("\nOnly in this shell:");
    for command in ours {
        text.push_str(&format!("\n\t{} {}", command.name, command.syntax));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_sorted_and_found() {
        assert!(COMMANDS.is_sorted_by_key(|command| command.name));
        assert_eq!(find("ls").unwrap().usage(), "ls [-s] [-w] [-R] path");
        assert!(find("LS").is_none());
    }

    #[test]
    fn the_usage_starts_with_apaches_commands() {
        let usage = usage();
        let lines: Vec<&str> = usage.lines().collect();
        assert_eq!(
            lines[0],
            "ZooKeeper -server host:port -client-configuration properties-file cmd args"
        );
        assert_eq!(lines[2], "\taddauth scheme auth");
        assert_eq!(lines[3], "\tclose ");
        assert_eq!(lines[28], "\twhoami ");
        assert_eq!(lines[29], "Only in this shell:");
    }

    #[test]
    fn get_and_set_list_their_options() {
        assert_eq!(
            find("set").unwrap().usage(),
            "set path data [-s] [-v version] [-b]\n -b         Supply data in base64 format\n \
             -s         Print znode stats additionally\n \
             -v <arg>   Set with an expected version\n"
        );
    }
}
