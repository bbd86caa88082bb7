//! What each command does, a file for each group of them. The table names them.

pub(super) mod acls;
pub(super) mod ensemble;
pub(super) mod files;
pub(super) mod own;
pub(super) mod quotas;
pub(super) mod reads;
pub(super) mod trees;
pub(super) mod watches;
pub(super) mod writes;

use super::failure::Failure;
use super::options::Parsed;

/// The word that the command cannot do without; the table makes sure that it is there.
fn required(parsed: &Parsed, index: usize) -> &str {
    parsed.word(index).expect("the table says how many words there are at least")
}

/// The value of an option as a number.
fn number<T: std::str::FromStr>(
    parsed: &Parsed,
    option: &str,
    kind: &str,
) -> Result<Option<T>, Failure> {
    let Some(value) = parsed.value(option) else { return Ok(None) };
    let refuse = |_| Failure::new(format!("-{option} argument must be {kind} value"));
    value.parse().map(Some).map_err(refuse)
}

/// The version that `-v` expects; -1, as without it, is any.
fn version(parsed: &Parsed) -> Result<Option<i32>, Failure> {
    Ok(number(parsed, "v", "an int")?.filter(|version| *version != -1))
}
