//! A typed line, taken apart into words.
//!
//! Words end at white space. A word that starts with `"` or `'` goes on to the next one of the same
//! kind, white space included, and loses both. There are no escapes, and a quote inside a word is
//! an ordinary character.

/// The words of a line, without the quotes around them.
pub(super) fn split(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = line;
    while !rest.is_empty() {
        let text = rest.trim_start_matches(is_space);
        if let Some((word, behind)) = first_word(text) {
            words.push(word.to_string());
            rest = behind;
        } else if text.is_empty() {
            break;
        } else {
            // Java: ZooKeeperMain.MyCommandOptions.parseCommand. A quote without a partner is
            // passed over, and what follows it is split as if it were not there.
            rest = &text[1..];
        }
    }
    words
}

/// The first word of a text that does not start with white space, and what follows it. `None` at
/// the end, and at a quote without a partner.
fn first_word(text: &str) -> Option<(&str, &str)> {
    let first = text.chars().next()?;
    if matches!(first, '"' | '\'') {
        return text[1..].split_once(first);
    }
    Some(text.split_at(text.find(is_space).unwrap_or(text.len())))
}

/// Where the last, perhaps unfinished, word of a line starts, in bytes: what completion replaces.
pub(super) fn last_word_start(line: &str) -> usize {
    let mut at = 0;
    loop {
        let start = at + (line.len() - at - line[at..].trim_start_matches(is_space).len());
        match first_word(&line[start..]) {
            Some((_, behind)) if !behind.is_empty() => at = line.len() - behind.len(),
            // A finished quotation, or a word that ends where the line ends.
            _ => return start,
        }
    }
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\u{b}' | '\u{c}' | '\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_end_at_white_space_and_lose_the_quotes_around_them() {
        for (line, words) in [
            ("", &[] as &[&str]),
            ("   ", &[]),
            ("ls /", &["ls", "/"]),
            ("  ls\t/a  ", &["ls", "/a"]),
            (r#"set /a "two words""#, &["set", "/a", "two words"]),
            (r#"set "/a b" 'it"s'"#, &["set", "/a b", "it\"s"]),
            (r#"set /a """#, &["set", "/a", ""]),
            (r#"set /a b"c d"#, &["set", "/a", "b\"c", "d"]),
            (r#""a"b"#, &["a", "b"]),
            (r#"set /a "open end"#, &["set", "/a", "open", "end"]),
            ("set /a it's", &["set", "/a", "it's"]),
            ("set /ü ä", &["set", "/ü", "ä"]),
        ] {
            assert_eq!(split(line), words, "{line:?}");
        }
    }

    #[test]
    fn the_last_word_is_found_where_it_starts() {
        for (line, start) in [
            ("", 0),
            ("l", 0),
            ("ls ", 3),
            ("ls /a/b", 3),
            ("  ls  /", 6),
            ("get -s /ab", 7),
            (r#"get "/a b"#, 4),
            ("ls /a ", 6),
        ] {
            assert_eq!(last_word_start(line), start, "{line:?}");
        }
    }
}
