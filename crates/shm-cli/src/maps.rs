//! `shmring maps`: who maps an object, be it a ring or not. Looking changes nothing.

use crate::context::Context;
use crate::failure::{Failure, note};
use crate::output::{print, print_json};
use crate::table;
use serde::Serialize;
use shm_core::Place;
use shm_core::maps::{self, Mapping};

/// Shows who maps an object
///
/// The object is a ring, or any other file or System V segment. Who has it open and does not map it is not shown.
/// Processes that may not be read are counted on standard error; root sees more.
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// The object: NAME, posix:NAME, file:PATH, sysv:KEY or sysv-id:ID
    name: Place,
    /// Print a JSON array of objects
    #[arg(long)]
    json: bool,
}

/// A mapping. The names of the fields are those of the JSON object; numbers are in bytes.
#[derive(Debug, Serialize)]
struct Row {
    pid: u32,
    command: String,
    address: u64,
    bytes: u64,
    offset: u64,
    rights: String,
    /// `null` where the kernel does not tell.
    resident_bytes: Option<u64>,
}

impl From<Mapping> for Row {
    fn from(mapping: Mapping) -> Self {
        Self {
            pid: mapping.pid,
            command: mapping.command,
            address: mapping.address,
            bytes: mapping.bytes,
            offset: mapping.offset,
            rights: mapping.rights.to_string(),
            resident_bytes: mapping.resident_bytes,
        }
    }
}

impl Row {
    /// For people. A process chooses its command: it must not reach a terminal as it is, nor look like two columns.
    fn cells(&self) -> [String; 7] {
        let plain = |letter: char| if letter.is_control() || letter.is_whitespace() { '?' } else { letter };
        [
            self.pid.to_string(),
            self.command.chars().map(plain).collect(),
            format!("{:#x}", self.address),
            self.bytes.to_string(),
            self.offset.to_string(),
            self.rights.clone(),
            self.resident_bytes.map_or_else(|| "unknown".to_owned(), |bytes| bytes.to_string()),
        ]
    }
}

/// Shows who maps it.
pub(crate) fn run(arguments: &Arguments, context: &Context) -> Result<(), Failure> {
    let found = maps::of_place(&arguments.name, &context.directory)?;
    let rows: Vec<Row> = found.mappings.into_iter().map(Row::from).collect();
    let hidden = match found.unreadable_processes {
        0 => String::new(),
        1 => "1 process may not be read, and may map it (root sees more)".to_owned(),
        count => format!("{count} processes may not be read, and may map it (root sees more)"),
    };
    match (arguments.json || !rows.is_empty(), hidden.as_str()) {
        (true, "") => {}
        (true, hidden) => note(hidden),
        (false, "") => note(&format!("nobody maps {}", arguments.name)),
        (false, hidden) => note(&format!("nobody is seen to map {}; {hidden}", arguments.name)),
    }
    if arguments.json {
        return print_json(&rows);
    }
    if rows.is_empty() {
        return Ok(());
    }
    let header = ["PID", "COMMAND", "ADDRESS", "BYTES", "OFFSET", "RIGHTS", "RESIDENT"];
    print(&table::with_header(header, rows.iter().map(Row::cells), 2..5))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_one_harmless_word() {
        let row = Row {
            pid: 7,
            command: "a b\u{1b}[2J\nc".to_owned(),
            address: 0x7f00_0000_1000,
            bytes: 4096,
            offset: 0,
            rights: "rw-s".to_owned(),
            resident_bytes: None,
        };
        let expected = ["7", "a?b?[2J?c", "0x7f0000001000", "4096", "0", "rw-s", "unknown"];
        assert_eq!(row.cells(), expected);
    }
}
