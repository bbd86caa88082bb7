//! The ids that digest authentication stores in ACLs.

use std::io::BufRead as _;

use ostler_node::auth::{DigestAlgorithm, digest_id};

use super::screen::{Refusal, Screen};

/// Prints `user:password->user:hash` for each argument, or for each line of input if there is none.
// Java: DigestAuthenticationProvider.main.
pub(crate) fn print_ids(
    screen: &mut Screen<'_>,
    algorithm: DigestAlgorithm,
    arguments: &[String],
) -> Result<(), Refusal> {
    for pair in arguments {
        writeln!(screen.out, "{pair}->{}", digest_id(algorithm, pair))?;
    }
    if !arguments.is_empty() {
        return Ok(());
    }
    for pair in screen.input.lines() {
        // Who keeps passwords off the command line wants them off the screen too.
        writeln!(screen.out, "{}", digest_id(algorithm, &pair?))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::screen::rehearse;

    #[test]
    fn arguments_are_shown_with_their_ids_and_input_is_not() {
        let arguments = ["u:p".to_owned(), "abc".to_owned()];
        let (out, result) =
            rehearse("", |screen| print_ids(screen, DigestAlgorithm::Sha1, &arguments));
        assert!(result.is_ok());
        assert_eq!(
            out,
            "u:p->u:Jq7wMyA/w2Vd5WIDAKdu4OIIFEQ=\nabc->abc:qZk+NkcGgWq6PiVxeFDCbJzQ2J0=\n"
        );
        let (out, _) = rehearse("u:p\n", |screen| print_ids(screen, DigestAlgorithm::Sha1, &[]));
        assert_eq!(out, "u:Jq7wMyA/w2Vd5WIDAKdu4OIIFEQ=\n");
    }
}
