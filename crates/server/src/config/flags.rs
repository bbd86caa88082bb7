//! Process properties: `-Dname=value` from the command line and from `SERVER_JVMFLAGS`.
//!
//! They exist because scripts, images and manuals configure ZooKeeper through its Java machine.
//! Only definitions are taken; every other flag of a Java machine (`-Xmx`, `-XX:...`, agents)
//! means nothing here and is passed over. Which names mean something is not decided here.

use super::error::Origin;

/// Process properties in the order in which they were given; a later one wins.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    definitions: Vec<Definition>,
}

/// One `-Dname=value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Definition {
    pub(super) name: String,
    pub(super) value: String,
    pub(super) origin: Origin,
}

impl Flags {
    /// No properties at all.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// The definitions in the text of `SERVER_JVMFLAGS`, split as a shell splits words.
    #[must_use]
    pub fn from_environment(text: &str) -> Self {
        let mut flags = Self::none();
        for word in shell_words(text) {
            if let Some(definition) = word.strip_prefix("-D") {
                flags.define(definition, Origin::Environment);
            }
        }
        flags
    }

    /// Takes the `-Dname=value` words out of `arguments` and returns the others.
    pub fn take_arguments(&mut self, arguments: impl IntoIterator<Item = String>) -> Vec<String> {
        let mut others = Vec::new();
        for argument in arguments {
            match argument.strip_prefix("-D") {
                Some(definition) => self.define(definition, Origin::Argument),
                None => others.push(argument),
            }
        }
        others
    }

    /// Adds one `name=value`, as it stands behind `-D` on the command line.
    pub fn define_argument(&mut self, definition: &str) {
        self.define(definition, Origin::Argument);
    }

    pub(super) fn definitions(&self) -> &[Definition] {
        &self.definitions
    }

    // Java: a definition without `=` has the empty value; one without a name is dropped.
    fn define(&mut self, definition: &str, origin: Origin) {
        let (name, value) = definition.split_once('=').unwrap_or((definition, ""));
        if !name.is_empty() {
            let (name, value) = (name.to_owned(), value.to_owned());
            self.definitions.push(Definition { name, value, origin });
        }
    }
}

/// Words separated by white space; quotes of both kinds and backslashes as in a shell, without
/// expansion. A quote that is not closed reaches to the end.
fn shell_words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None | Some('"'), '\\') => word.get_or_insert_default().extend(rest.next()),
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::{Flags, shell_words};

    fn check(text: &str, expect: &[&str]) {
        assert_eq!(shell_words(text), expect, "input {text:?}");
    }

    #[test]
    fn words() {
        check("", &[]);
        check("  -Xmx1g\t-Da=b\n", &["-Xmx1g", "-Da=b"]);
        check("-Da='b c' -D\"x=y z\"", &["-Da=b c", "-Dx=y z"]);
        check("a\\ b 'c\\d' \"e\\\"f\"", &["a b", "c\\d", "e\"f"]);
        check("'' \"open end", &["", "open end"]);
    }

    #[test]
    fn only_definitions_are_taken() {
        let mut flags = Flags::from_environment("-Xmx1000m -Da=1 -XX:+UseG1GC -D -Dflag -D=x");
        let others = flags.take_arguments(["zoo.cfg", "-Da=2=3"].map(String::from));
        assert_eq!(others, ["zoo.cfg"]);
        let found: Vec<_> = flags
            .definitions()
            .iter()
            .map(|d| format!("{}: {}={}", d.origin, d.name, d.value))
            .collect();
        let expect = ["SERVER_JVMFLAGS: a=1", "SERVER_JVMFLAGS: flag=", "command line: a=2=3"];
        assert_eq!(found, expect);
    }
}
