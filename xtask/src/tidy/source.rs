//! Tells the parts of a Rust file apart: code, comments, and the insides of literals.
//!
//! Not a lexer: it knows only what can hide a brace or a word. Both views have as many lines as the
//! file, and the same columns.

/// A file twice: with everything but code blanked, and with everything but comments blanked.
pub(crate) struct Views {
    /// Comments and the insides of literals are spaces; the quotes stay.
    pub(crate) code: String,
    /// All but comments is spaces.
    pub(crate) comments: String,
}

/// What the scanner is inside of.
#[derive(Clone, Copy)]
enum Inside {
    Code,
    LineComment,
    BlockComment { depth: u32 },
    Text { raw_hashes: Option<usize> },
}

/// Takes a file apart.
pub(crate) fn views(text: &str) -> Views {
    let chars: Vec<char> = text.chars().collect();
    let mut views = Views { code: String::new(), comments: String::new() };
    let mut inside = Inside::Code;
    let mut index = 0;
    while index < chars.len() {
        let (taken, next) = step(&chars[index..], last_word_char(&views.code), inside);
        for (offset, c) in chars[index..index + taken].iter().enumerate() {
            let in_comment = matches!(inside, Inside::LineComment | Inside::BlockComment { .. })
                || matches!(next, Inside::LineComment | Inside::BlockComment { .. });
            let in_code = !in_comment && shows(inside, next, offset, taken);
            views.code.push(if in_code || *c == '\n' { *c } else { ' ' });
            views.comments.push(if in_comment || *c == '\n' { *c } else { ' ' });
        }
        index += taken;
        inside = next;
    }
    views
}

/// Whether the code view shows a character: code, and the quotes around literals.
fn shows(inside: Inside, next: Inside, offset: usize, taken: usize) -> bool {
    match (inside, next) {
        // A char literal is taken at once; only its quotes show.
        (Inside::Code, Inside::Code) => taken == 1 || offset == 0 || offset + 1 == taken,
        (Inside::Code, _) | (_, Inside::Code) => true,
        _ => false,
    }
}

/// Whether the code so far ends in a word: then `r"` and `'` mean something else.
fn last_word_char(code: &str) -> bool {
    code.chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_')
}

/// How many characters come next as one, and what the scanner is inside of after them.
fn step(rest: &[char], after_word: bool, inside: Inside) -> (usize, Inside) {
    match inside {
        Inside::Code => step_code(rest, after_word),
        Inside::LineComment if rest[0] == '\n' => (1, Inside::Code),
        Inside::LineComment => (1, inside),
        Inside::BlockComment { depth } => match rest {
            ['*', '/', ..] if depth == 1 => (2, Inside::Code),
            ['*', '/', ..] => (2, Inside::BlockComment { depth: depth - 1 }),
            ['/', '*', ..] => (2, Inside::BlockComment { depth: depth + 1 }),
            _ => (1, inside),
        },
        Inside::Text { raw_hashes: None } => match rest {
            ['\\', _, ..] => (2, inside),
            ['"', ..] => (1, Inside::Code),
            _ => (1, inside),
        },
        Inside::Text { raw_hashes: Some(hashes) } => {
            let closes = rest[0] == '"'
                && rest[1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes;
            if closes { (1 + hashes, Inside::Code) } else { (1, inside) }
        }
    }
}

fn step_code(rest: &[char], after_word: bool) -> (usize, Inside) {
    match rest {
        ['/', '/', ..] => (2, Inside::LineComment),
        ['/', '*', ..] => (2, Inside::BlockComment { depth: 1 }),
        ['"', ..] => (1, Inside::Text { raw_hashes: None }),
        ['r', tail @ ..] | ['b', 'r', tail @ ..] if !after_word => {
            let hashes = tail.iter().take_while(|c| **c == '#').count();
            if tail.get(hashes) == Some(&'"') {
                let prefix = rest.len() - tail.len();
                (prefix + hashes + 1, Inside::Text { raw_hashes: Some(hashes) })
            } else {
                (1, Inside::Code)
            }
        }
        ['\'', '\\', tail @ ..] => {
            // An escape is no lifetime; what follows the backslash cannot be the closing quote.
            let end = tail.iter().skip(1).position(|c| *c == '\'').unwrap_or(0);
            (end + 4, Inside::Code)
        }
        ['\'', _, '\'', ..] => (3, Inside::Code),
        _ => (1, Inside::Code),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, code: &str, comments: &[&str]) {
        let views = views(text);
        assert_eq!(views.code, code, "code of {text}");
        let found: Vec<_> = views.comments.lines().map(str::trim).collect();
        assert_eq!(found, comments, "comments of {text}");
        assert_eq!(views.comments.chars().count(), text.chars().count());
    }

    #[test]
    fn strings_and_comments_are_told_from_code() {
        check("a // b\nc", "a     \nc", &["// b", ""]);
        check("a /* /* b */ */ c", "a               c", &["/* /* b */ */"]);
        check(r#"f("a\"{", 1)"#, r#"f("    ", 1)"#, &[""]);
        check("r#\"{\"}\"# x", "r#\"   \"# x", &[""]);
        check("br\"{\" bar\"{\"", "br\" \" bar\" \"", &[""]);
        check("\"// a\\\n{\" // b", "\"     \n \"     ", &["", "// b"]);
    }

    #[test]
    fn char_literals_are_told_from_lifetimes() {
        let literals = "['{', '\"', '\\'', '\\\\', '\\u{7d}']";
        check(literals, "[' ', ' ', '  ', '  ', '      ']", &[""]);
        check("fn f<'a>(x: &'a str) {}", "fn f<'a>(x: &'a str) {}", &[""]);
    }
}
