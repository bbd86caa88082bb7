//! Rules for Rust files: sizes, names, module documentation, and words that must not be there.

use std::collections::BTreeSet;

use super::Finding;
use super::source::{self, Views};

const COLUMNS_MAX: usize = 100;
const FILE_LINES_MAX: usize = 1000;
const FUNCTION_LINES_MAX: usize = 70;

/// Macros that mark what is not finished, and an attribute that hides what is broken.
const BANNED_CODE: &[&str] = &["todo!", "unimplemented!", "dbg!", "#[ignore"];
const BANNED_COMMENTS: &[&str] = &["FIXME", "XXX", "TODO"];
/// Words of type names that say nothing.
const BANNED_NAMES: &[&str] = &["Manager", "Handler", "Util", "Utils", "Helper", "Impl"];
const BANNED_FILES: &[&str] = &["util.rs", "utils.rs", "helper.rs", "helpers.rs"];
/// A test that waits for time instead of for an event is slow, or wrong, or both.
const SLEEP: &str = "thread::sleep";
/// Between two questions to another process there is nothing else: near a deadline it may be.
const DEADLINE: &str = "deadline";
const DEADLINE_LINES: usize = 15;

/// Words that only some files of a directory may hold: directory, word, files, reason.
const PLACES: &[(&str, &str, &[&str], &str)] = &[(
    "crates/disk/src/",
    "std::fs",
    &["real_disk.rs", "dir_lock.rs"],
    "files are reached through the Disk trait",
)];

/// Checks one file.
pub(crate) fn check(path: &str, text: &str, findings: &mut Vec<Finding>) {
    let views = source::views(text);
    let tests = test_lines(path, &views.code);
    check_size(path, text, &views, findings);
    check_functions(path, &views.code, &tests, findings);
    check_words(path, &views, &tests, findings);
    check_places(path, &views.code, &tests, findings);
    check_names(path, &views.code, findings);
    if path.contains("src/") && !text.trim_start().starts_with("//!") {
        findings.push(Finding::new(path, 1, "has no module documentation at its top"));
    }
}

fn check_size(path: &str, text: &str, views: &Views, findings: &mut Vec<Finding>) {
    let lines = text.lines().count();
    if lines > FILE_LINES_MAX {
        let message = format!("has {lines} lines, more than {FILE_LINES_MAX}");
        findings.push(Finding::new(path, 0, message));
    }
    let mut in_drawing = false;
    let views = views.code.lines().zip(views.comments.lines());
    for (index, (line, (code, comment))) in text.lines().zip(views).enumerate() {
        let columns = line.chars().count();
        let unbreakable = if line.trim_start().starts_with("//") {
            let words = line.trim_start().trim_start_matches(['/', '!']).trim_start();
            in_drawing ^= words.starts_with("```");
            in_drawing || words.starts_with('|') || words.contains("://")
        } else {
            in_drawing = false;
            columns - literal_columns(line, code, comment) <= COLUMNS_MAX
        };
        if columns > COLUMNS_MAX && !unbreakable {
            let message = format!("has {columns} columns, more than {COLUMNS_MAX}");
            findings.push(Finding::new(path, index + 1, message));
        }
    }
}

/// How many columns of a line are the insides of literals, spaces not counted.
fn literal_columns(line: &str, code: &str, comment: &str) -> usize {
    let shown = code.chars().zip(comment.chars());
    line.chars().zip(shown).filter(|(c, shown)| *c != ' ' && *shown == (' ', ' ')).count()
}

/// Numbers of the lines that belong to tests: whole files, and modules under `#[cfg(test)]`.
fn test_lines(path: &str, code: &str) -> BTreeSet<usize> {
    let lines = code.lines().count();
    if path.contains("tests/") || path.ends_with("tests.rs") {
        return (1..=lines).collect();
    }
    let mut tests = BTreeSet::new();
    for (start, _) in code.match_indices("#[cfg(test)]") {
        let first = line_of(code, start);
        tests.extend(first..=block_end(code, start).unwrap_or(first));
    }
    tests
}

fn line_of(code: &str, offset: usize) -> usize {
    code[..offset].matches('\n').count() + 1
}

/// The line on which the first block behind `start` closes; `None` if a semicolon comes first.
fn block_end(code: &str, start: usize) -> Option<usize> {
    let mut braces = 0_usize;
    let mut brackets = 0_usize;
    for (offset, c) in code[start..].char_indices() {
        match c {
            '(' | '[' => brackets += 1,
            ')' | ']' => brackets = brackets.saturating_sub(1),
            ';' if braces == 0 && brackets == 0 => return None,
            '{' => braces += 1,
            '}' => {
                braces = braces.saturating_sub(1);
                if braces == 0 {
                    return Some(line_of(code, start + offset));
                }
            }
            _ => {}
        }
    }
    None
}

fn check_functions(path: &str, code: &str, tests: &BTreeSet<usize>, findings: &mut Vec<Finding>) {
    for (start, _) in code.match_indices("fn ") {
        if !starts_word(code, start) {
            continue;
        }
        let name: String = code[start + 3..].chars().take_while(|c| is_word_char(*c)).collect();
        let first = line_of(code, start);
        // A type `fn (…)` has no name.
        if name.is_empty() || tests.contains(&first) {
            continue;
        }
        let Some(last) = block_end(code, start) else { continue };
        let lines = last - first + 1;
        if lines > FUNCTION_LINES_MAX {
            let message = format!("fn {name} has {lines} lines, more than {FUNCTION_LINES_MAX}");
            findings.push(Finding::new(path, first, message));
        }
    }
}

fn check_words(path: &str, views: &Views, tests: &BTreeSet<usize>, findings: &mut Vec<Finding>) {
    let codes: Vec<&str> = views.code.lines().collect();
    for (index, comment) in views.comments.lines().enumerate() {
        let (line, code) = (index + 1, codes[index]);
        let in_code = BANNED_CODE.iter().filter(|word| has_word(code, word));
        let in_comments = BANNED_COMMENTS.iter().filter(|word| has_word(comment, word));
        for word in in_code.chain(in_comments) {
            findings.push(Finding::new(path, line, format!("{word} must not be here")));
        }
        let polls = || {
            let before = &codes[index.saturating_sub(DEADLINE_LINES)..index];
            before.iter().any(|code| code.contains(DEADLINE))
        };
        if tests.contains(&line) && has_word(code, SLEEP) && !polls() {
            let message = format!("{SLEEP} in a test without a deadline in sight");
            findings.push(Finding::new(path, line, message));
        }
    }
}

fn check_places(path: &str, code: &str, tests: &BTreeSet<usize>, findings: &mut Vec<Finding>) {
    for (directory, word, files, reason) in PLACES {
        let Some(file) = path.strip_prefix(directory).filter(|file| !files.contains(file)) else {
            continue;
        };
        for (index, line) in code.lines().enumerate() {
            if has_word(line, word) && !tests.contains(&(index + 1)) {
                let message = format!("{word} in {file}: {reason}");
                findings.push(Finding::new(path, index + 1, message));
            }
        }
    }
}

fn check_names(path: &str, code: &str, findings: &mut Vec<Finding>) {
    if BANNED_FILES.contains(&path.rsplit('/').next().unwrap_or(path)) {
        findings.push(Finding::new(path, 0, "is named after nothing"));
    }
    for (index, line) in code.lines().enumerate() {
        let mut words = line.split(|c: char| !is_word_char(c)).filter(|word| !word.is_empty());
        while let Some(word) = words.next() {
            if !["struct", "enum", "trait", "type", "union"].contains(&word) {
                continue;
            }
            let name = words.next().unwrap_or_default();
            for banned in camel_words(name).into_iter().filter(|w| BANNED_NAMES.contains(w)) {
                let message = format!("{name}: {banned} says nothing in a name");
                findings.push(Finding::new(path, index + 1, message));
            }
        }
    }
}

/// The words of a name in camel case.
fn camel_words(name: &str) -> Vec<&str> {
    let mut starts: Vec<usize> =
        name.char_indices().filter(|(_, c)| c.is_uppercase()).map(|(at, _)| at).collect();
    starts.push(name.len());
    starts.windows(2).map(|pair| &name[pair[0]..pair[1]]).collect()
}

fn is_word_char(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn starts_word(text: &str, at: usize) -> bool {
    !text[..at].chars().next_back().is_some_and(is_word_char)
}

/// Whether `word` is there and is not a part of a longer one.
fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let behind = line[at + word.len()..].chars().next();
        starts_word(line, at) && !behind.is_some_and(is_word_char)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_file(path: &str, text: &str, expected: &[(usize, &str)]) {
        let mut findings = Vec::new();
        check(path, text, &mut findings);
        let found: Vec<_> = findings.iter().map(|f| (f.line, f.message.as_str())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn long_lines_are_found_unless_they_cannot_be_broken() {
        let long = "x".repeat(101);
        check_file("a.rs", &format!("{long}\n"), &[(1, "has 101 columns, more than 100")]);
        check_file("a.rs", &format!("// {long}"), &[(1, "has 104 columns, more than 100")]);
        check_file("a.rs", &format!("f(\"{long}\");\n/// | {long} |\n// https://{long}"), &[]);
        check_file("a.rs", &format!("//! ```text\n//! {long}\n//! ```\n"), &[]);
        check_file("a.rs", &"é".repeat(100), &[]);
    }

    #[test]
    fn long_functions_are_found_outside_of_tests() {
        let long = format!("fn f(x: [u8; 3]) -> u8 {{{}}}\n", "\n".repeat(70));
        check_file("a.rs", &long, &[(1, "fn f has 71 lines, more than 70")]);
        check_file("a.rs", &long.replacen('\n', "", 1), &[]);
        check_file("tests/a.rs", &long, &[]);
        check_file("a.rs", &format!("#[cfg(test)]\nmod tests {{\n{long}}}\n"), &[]);
    }

    #[test]
    fn unfinished_work_is_found_in_code_and_comments() {
        check_file("a.rs", "let x = todo!();", &[(1, "todo! must not be here")]);
        check_file("a.rs", "\n#[ignore = \"slow\"]", &[(2, "#[ignore must not be here")]);
        check_file("a.rs", "// FIXME: x", &[(1, "FIXME must not be here")]);
        check_file("a.rs", "\"todo! FIXME\"; // todo! is a macro", &[]);
        let sleep = "thread::sleep in a test without a deadline in sight";
        check_file("tests/a.rs", "std::thread::sleep(x);", &[(1, sleep)]);
        check_file("a.rs", "std::thread::sleep(x);", &[]);
        check_file("tests/a.rs", "assert!(now < deadline);\nthread::sleep(x);", &[]);
    }

    #[test]
    fn names_that_say_nothing_are_found() {
        let message = "WatchManager: Manager says nothing in a name";
        check_file("a.rs", "struct WatchManager;", &[(1, message)]);
        check_file("a.rs", "struct Implicit; enum Utility {}", &[]);
        check_file("a/utils.rs", "", &[(0, "is named after nothing")]);
    }

    #[test]
    fn some_words_have_their_place() {
        let text = "//! x\nuse std::fs::File;";
        let message = "std::fs in log.rs: files are reached through the Disk trait";
        check_file("crates/disk/src/log.rs", text, &[(2, message)]);
        check_file("crates/disk/src/real_disk.rs", text, &[]);
    }

    #[test]
    fn sources_need_module_documentation() {
        check_file("src/a.rs", "//! Yes.\n", &[]);
        check_file("src/a.rs", "fn f() {}", &[(1, "has no module documentation at its top")]);
    }
}
