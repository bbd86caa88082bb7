//! The parts of documents that the bench writes: each between two comments that name it.
//!
//! ```text
//! <!-- bench: table -->
//! whatever was there before
//! <!-- bench: end of table -->
//! ```

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

/// Puts `text` between the comments that name `part` in a file.
pub(super) fn replace(file: &Path, part: &str, text: &str) -> Result<()> {
    let old = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let new = replaced(&old, part, text)
        .with_context(|| format!("{} has no place for {part}", file.display()))?;
    fs::write(file, new).with_context(|| file.display().to_string())
}

/// Writes a document of its own, or the part of one that has a place for it.
pub(super) fn write(file: &Path, part: &str, text: &str) -> Result<()> {
    match fs::read_to_string(file) {
        Ok(old) if old.contains(&begin_of(part)) => replace(file, part, text),
        _ => super::write(file, text),
    }
}

fn begin_of(part: &str) -> String {
    format!("<!-- bench: {part} -->")
}

fn replaced(document: &str, part: &str, text: &str) -> Option<String> {
    let (begin, end) = (begin_of(part), format!("<!-- bench: end of {part} -->"));
    let (before, rest) = document.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    Some(format!("{before}{begin}\n\n{}\n\n{end}{after}", text.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_comments_changes() {
        let document = "a\n<!-- bench: x -->\nold\n<!-- bench: end of x -->\nb\n";
        let new = replaced(document, "x", "\nnew\n").expect("there is a place");
        assert_eq!(new, "a\n<!-- bench: x -->\n\nnew\n\n<!-- bench: end of x -->\nb\n");
        assert_eq!(replaced(&new, "x", "new").as_deref(), Some(new.as_str()));
        assert_eq!(replaced(document, "y", "new"), None);
        assert_eq!(replaced("<!-- bench: x -->", "x", "new"), None);
    }
}
