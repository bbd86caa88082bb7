//! The options of a command, read as Apache's shell reads them, and the list of them in its usage.
//!
//! The rules are those of Commons CLI's default parser for options with a single dash, which is
//! what Apache's commands have:
//!
//! ```text
//! -s          an option             -v 3    -v3    -v=3    an option with its value
//! -sv 3       several in one word   --      everything behind it is a word
//! -           a word                -x      unknown: an error, unless an option wants a value
//! ```
//!
//! Options may stand before, between and behind the words. The first value given to an option
//! counts.

use super::failure::Failure;

/// An option of a command.
pub(super) struct Opt {
    /// Without the dash; mostly one letter.
    pub name: &'static str,
    /// Whether a value follows.
    pub takes_value: bool,
    /// For the list of options.
    pub meaning: &'static str,
}

impl Opt {
    /// An option that is there or not.
    pub(super) const fn flag(name: &'static str, meaning: &'static str) -> Self {
        Self { name, takes_value: false, meaning }
    }

    /// An option that is followed by a value.
    pub(super) const fn value(name: &'static str, meaning: &'static str) -> Self {
        Self { name, takes_value: true, meaning }
    }
}

/// How many of a command's options may be given together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Together {
    /// Any number.
    Any,
    /// At most one of them.
    AtMostOne,
    /// Exactly one of them.
    ExactlyOne,
}

/// A command line, understood.
#[derive(Debug, Default)]
pub(super) struct Parsed {
    /// What is not an option, the name of the command first.
    pub words: Vec<String>,
    options: Vec<(&'static str, Option<String>)>,
}

impl Parsed {
    /// Words alone.
    pub(super) fn without_options(words: &[String]) -> Self {
        Self { words: words.to_vec(), options: Vec::new() }
    }

    /// Whether the option was given.
    pub(super) fn has(&self, name: &str) -> bool {
        self.options.iter().any(|(given, _)| *given == name)
    }

    /// The value of the option, the first one if it was given several times.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.options.iter().find(|(given, _)| *given == name)?.1.as_deref()
    }

    /// The word with this number; 0 is the command.
    pub(super) fn word(&self, index: usize) -> Option<&str> {
        self.words.get(index).map(String::as_str)
    }
}

/// Reads the words of a command line, the command's name first.
pub(super) fn parse(
    options: &'static [Opt],
    together: Together,
    words: &[String],
) -> Result<Parsed, Failure> {
    let mut parser = Parser { options, together, parsed: Parsed::default(), wanting: None };
    let mut words = words.iter();
    for word in words.by_ref() {
        if word == "--" {
            break;
        }
        parser.take(word)?;
    }
    parser.parsed.words.extend(words.cloned());
    parser.finish()
}

struct Parser {
    options: &'static [Opt],
    together: Together,
    parsed: Parsed,
    /// The option that was read last, as long as it waits for its value.
    wanting: Option<&'static str>,
}

impl Parser {
    fn take(&mut self, word: &str) -> Result<(), Failure> {
        if self.wanting.is_some() && !self.is_option(word) {
            self.give(without_quotes(word));
            return Ok(());
        }
        match word.strip_prefix('-') {
            None | Some("") => self.parsed.words.push(word.to_string()),
            Some(name) if name.starts_with('-') => return Err(unknown(word)),
            Some(name) => self.take_option(word, name)?,
        }
        Ok(())
    }

    /// An option in any of its forms; `name` is the word without its dash.
    fn take_option(&mut self, word: &str, name: &str) -> Result<(), Failure> {
        if let Some(option) = self.find(name) {
            return self.start(option);
        }
        if let Some((name, value)) = name.split_once('=') {
            // Only names of one letter: Java: DefaultParser.handleShortAndLongOption.
            let option = self.find(name).filter(|option| option.takes_value && name.len() == 1);
            self.start(option.ok_or_else(|| unknown(word))?)?;
            self.give(value);
            return Ok(());
        }
        for (at, letter) in name.char_indices() {
            let option = self.find(letter.encode_utf8(&mut [0; 4])).ok_or_else(|| unknown(word))?;
            self.start(option)?;
            let rest = &name[at + letter.len_utf8()..];
            if option.takes_value && !rest.is_empty() {
                self.give(rest);
                break;
            }
        }
        Ok(())
    }

    fn start(&mut self, option: &'static Opt) -> Result<(), Failure> {
        self.check_value()?;
        if self.together != Together::Any
            && let Some((chosen, _)) = self.parsed.options.iter().find(|(n, _)| *n != option.name)
        {
            return Err(Failure::parse(
                "AlreadySelectedException",
                &format!(
                    "The option '{}' was specified but an option from this group has already been \
                     selected: '{chosen}'",
                    option.name
                ),
            ));
        }
        self.parsed.options.push((option.name, None));
        self.wanting = option.takes_value.then_some(option.name);
        Ok(())
    }

    fn give(&mut self, value: &str) {
        let last = self.parsed.options.last_mut();
        last.expect("an option waits for a value").1 = Some(value.to_string());
        self.wanting = None;
    }

    fn finish(self) -> Result<Parsed, Failure> {
        self.check_value()?;
        if self.together == Together::ExactlyOne && self.parsed.options.is_empty() {
            let list: Vec<String> =
                self.options.iter().map(|o| format!("-{} {}", o.name, o.meaning)).collect();
            return Err(Failure::parse(
                "MissingOptionException",
                &format!("Missing required option: [{}]", list.join(", ")),
            ));
        }
        Ok(self.parsed)
    }

    fn check_value(&self) -> Result<(), Failure> {
        match self.wanting {
            None => Ok(()),
            Some(name) => Err(Failure::parse(
                "MissingArgumentException",
                &format!("Missing argument for option: {name}"),
            )),
        }
    }

    /// Whether a word would be taken for an option where a value is wanted: a word whose first
    /// letter names an option is.
    fn is_option(&self, word: &str) -> bool {
        let Some(name) = word.strip_prefix('-') else { return false };
        let name = name.split_once('=').map_or(name, |(name, _)| name);
        let Some(letter) = name.chars().next() else { return false };
        self.find(name).or_else(|| self.find(letter.encode_utf8(&mut [0; 4]))).is_some()
    }

    fn find(&self, name: &str) -> Option<&'static Opt> {
        self.options.iter().find(|option| option.name == name)
    }
}

fn unknown(word: &str) -> Failure {
    Failure::parse("UnrecognizedOptionException", &format!("Unrecognized option: {word}"))
}

/// Java: Util.stripLeadingAndTrailingQuotes. A second pair of quotes around a value goes too.
fn without_quotes(word: &str) -> &str {
    match word.strip_prefix('"').and_then(|word| word.strip_suffix('"')) {
        Some(inner) if !inner.contains('"') => inner,
        _ => word,
    }
}

/// The list of options as it stands below a usage line, each line with its end.
pub(super) fn list(options: &[Opt]) -> String {
    let mut options: Vec<&Opt> = options.iter().collect();
    options.sort_by_key(|option| option.name.to_lowercase());
    let left = |option: &Opt| {
        let value = if option.takes_value { " <arg>" } else { "" };
        format!(" -{}{value}", option.name)
    };
    let width = options.iter().map(|option| left(option).len()).max().unwrap_or(0);
    let mut text = String::new();
    for option in options {
        let line = format!("{:width$}   {}", left(option), option.meaning);
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOME: &[Opt] = &[
        Opt::flag("s", "stat"),
        Opt::value("v", "version"),
        Opt::flag("b", "base64"),
        Opt::value("file", "a file"),
    ];

    fn parsed(line: &str) -> String {
        let words: Vec<String> = line.split(' ').map(str::to_string).collect();
        match parse(SOME, Together::Any, &words) {
            Ok(parsed) => {
                let options: Vec<String> = parsed
                    .options
                    .iter()
                    .map(|(name, value)| match value {
                        Some(value) => format!("{name}={value}"),
                        None => (*name).to_string(),
                    })
                    .collect();
                format!("{} | {}", parsed.words.join(" "), options.join(" "))
            }
            Err(failure) => failure.text.unwrap_or_default(),
        }
    }

    #[test]
    fn options_come_in_all_their_forms() {
        for (line, expected) in [
            ("set /a x", "set /a x | "),
            ("set -s /a -v 3 x", "set /a x | s v=3"),
            ("set -v3 /a", "set /a | v=3"),
            ("set -v=3 /a", "set /a | v=3"),
            ("set -v -1 /a", "set /a | v=-1"),
            ("set -sbv 3 /a", "set /a | s b v=3"),
            ("set -sv3 /a", "set /a | s v=3"),
            ("set -v 1 -v 2 /a", "set /a | v=1 v=2"),
            ("set -- -s /a", "set -s /a | "),
            ("set - /a", "set - /a | "),
            ("set -file f -s", "set | file=f s"),
            ("set -v -x /a", "set /a | v=-x"),
            ("set -v \"3\" /a", "set /a | v=3"),
            ("set -v= /a", "set /a | v="),
        ] {
            assert_eq!(parsed(line), expected, "{line}");
        }
    }

    #[test]
    fn what_is_no_option_is_refused_in_java_s_words() {
        for (line, expected) in [
            ("set -x", "UnrecognizedOptionException: Unrecognized option: -x"),
            ("set -sx", "UnrecognizedOptionException: Unrecognized option: -sx"),
            ("set --s", "UnrecognizedOptionException: Unrecognized option: --s"),
            ("set -s=1", "UnrecognizedOptionException: Unrecognized option: -s=1"),
            ("set -file=f", "UnrecognizedOptionException: Unrecognized option: -file=f"),
            ("set -v", "MissingArgumentException: Missing argument for option: v"),
            ("set -v -s", "MissingArgumentException: Missing argument for option: v"),
            ("set -v --", "MissingArgumentException: Missing argument for option: v"),
        ] {
            assert_eq!(parsed(line), format!("org.apache.commons.cli.{expected}"), "{line}");
        }
    }

    #[test]
    fn of_a_group_one_may_or_must_be_given() {
        let words = |line: &str| line.split(' ').map(str::to_string).collect::<Vec<_>>();
        let text = |line, together| parse(SOME, together, &words(line)).err().unwrap().text;
        assert_eq!(
            text("q -s -b /a", Together::AtMostOne).unwrap(),
            "org.apache.commons.cli.AlreadySelectedException: The option 'b' was specified but an \
             option from this group has already been selected: 's'"
        );
        assert_eq!(
            text("q /a", Together::ExactlyOne).unwrap(),
            "org.apache.commons.cli.MissingOptionException: Missing required option: \
             [-s stat, -v version, -b base64, -file a file]"
        );
        assert!(parse(SOME, Together::ExactlyOne, &words("q -s -s /a")).is_ok());
    }

    #[test]
    fn the_list_is_sorted_and_in_columns() {
        assert_eq!(
            list(SOME),
            " -b            base64\n -file <arg>   a file\n -s            stat\n \
             -v <arg>      version\n"
        );
    }
}
