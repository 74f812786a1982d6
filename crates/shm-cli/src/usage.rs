//! Command lines that ask for something that can not be, told in one line.

use crate::failure::{Failure, Status};
use clap::error::ErrorKind;

/// What the parser says: help and versions are printed as asked for, the rest is a failure.
pub(crate) fn explain(error: &clap::Error) -> Result<(), Failure> {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // Fails only where nobody listens.
            let _ = error.print();
            Ok(())
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            Err(Failure::silent(Status::Usage))
        }
        _ => Err(Failure::new(Status::Usage, one_line(&error.to_string()))),
    }
}

/// The message before the usage, without its heading, in one line.
fn one_line(message: &str) -> String {
    let lines = message.lines().map(str::trim).take_while(|line| !line.starts_with("Usage:"));
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with("For more information"));
    let line = lines.collect::<Vec<_>>().join(" ");
    format!("{}; see shmring --help", line.strip_prefix("error: ").unwrap_or(&line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_become_one_line() {
        let message =
            "error: these were not provided:\n  <NAME>\n  --x\n\nUsage: y\n\nFor more information, z";
        assert_eq!(one_line(message), "these were not provided: <NAME> --x; see shmring --help");
    }
}
