//! Commands about the shell itself: connect, close, quit, history, redo, printwatches, help.

use crate::shell::failure::Failure;
use crate::shell::options::Parsed;
use crate::shell::session::Shell;
use crate::shell::{table, words};

/// `connect [host:port]`
pub(in crate::shell) fn connect(shell: &mut Shell, parsed: &Parsed) -> Result<(), Failure> {
    let servers = parsed.word(1).unwrap_or_else(|| shell.servers()).to_string();
    shell.connect(&servers)
}

/// `close`
pub(in crate::shell) fn close(shell: &mut Shell, _: &Parsed) -> Result<(), Failure> {
    shell.disconnect();
    Ok(())
}

/// `quit` and `exit`: the program ends with the code of the command before.
pub(in crate::shell) fn quit(shell: &mut Shell, _: &Parsed) -> Result<(), Failure> {
    shell.disconnect();
    shell.quit();
    match shell.exit_code() {
        0 => Ok(()),
        code => Err(Failure { text: None, code }),
    }
}

/// `history`
pub(in crate::shell) fn history(shell: &mut Shell, _: &Parsed) -> Result<(), Failure> {
    for line in shell.history.shown() {
        shell.console.line(&line);
    }
    Ok(())
}

/// `redo cmdno`
pub(in crate::shell) fn redo(shell: &mut Shell, parsed: &Parsed) -> Result<(), Failure> {
    let Some(number) = parsed.word(1) else { return Ok(()) };
    let number: i64 = decode(number)
        .ok_or_else(|| Failure::new(format!("{number} is no number of a command")))?;
    let out_of_range = || Failure::new("Command index out of range");
    let number = usize::try_from(number).map_err(|_| out_of_range())?;
    let words_before = shell.history.line(number).map(words::split).ok_or_else(out_of_range)?;
    if words_before.first().is_some_and(|name| name == "redo") {
        return Err(Failure::new("No redoing redos"));
    }
    shell.history.repeat(number);
    shell.dispatch(&words_before)
}

/// Java: Integer.decode, which takes hexadecimal and octal numbers too.
fn decode(text: &str) -> Option<i64> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let hex = ["0x", "0X", "#"].iter().find_map(|prefix| digits.strip_prefix(prefix));
    let (digits, radix) = match (hex, digits.strip_prefix('0')) {
        (Some(digits), _) => (digits, 16),
        (None, Some(octal)) if !octal.is_empty() => (octal, 8),
        _ => (digits, 10),
    };
    // A second sign is not a number.
    if digits.starts_with(['+', '-']) {
        return None;
    }
    Some(sign * i64::from(i32::from_str_radix(digits, radix).ok()?))
}

/// `printwatches [on|off]`
pub(in crate::shell) fn print_watches(shell: &mut Shell, parsed: &Parsed) -> Result<(), Failure> {
    match parsed.word(1) {
        None => {
            let state = if shell.console.prints_events() { "on" } else { "off" };
            shell.console.line(&format!("printwatches is {state}"));
        }
        Some(word) => shell.console.set_prints_events(word == "on"),
    }
    Ok(())
}

/// `help [command]`
pub(in crate::shell) fn help(shell: &mut Shell, parsed: &Parsed) -> Result<(), Failure> {
    let text = match parsed.word(1) {
        None => table::usage(),
        Some(name) => match table::find(name) {
            Some(command) => command.usage(),
            None => return Err(Failure::not_found(name)),
        },
    };
    shell.console.line(&text);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_commands_are_java_s() {
        for (text, number) in [
            ("0", Some(0)),
            ("12", Some(12)),
            ("-3", Some(-3)),
            ("0x10", Some(16)),
            ("#f", Some(15)),
            ("010", Some(8)),
            ("08", None),
            ("x", None),
            ("", None),
            ("+-1", None),
        ] {
            assert_eq!(decode(text), number, "{text}");
        }
    }
}
