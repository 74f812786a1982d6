//! `shmring ls` and `shmring stat`: rings as they are. Looking changes nothing.

use crate::context::Context;
use crate::failure::{Failure, note};
use crate::output::{print, print_json};
use crate::report::{Report, is_spoilt_ring};
use crate::table;
use shm_core::Place;
use shm_ring::{Directory, Error, inspect_in};
use std::path::PathBuf;

/// Lists the rings
///
/// What is no ring, or may not be read, is left out.
#[derive(clap::Args, Debug)]
pub(crate) struct ListArguments {
    /// Print a JSON array of the objects that `stat --json` prints
    #[arg(long)]
    json: bool,
    /// List the rings in the files of this directory instead
    #[arg(long, value_name = "PATH")]
    dir: Option<PathBuf>,
}

/// Shows a ring
#[derive(clap::Args, Debug)]
pub(crate) struct StatArguments {
    /// The ring
    name: Place,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

/// Lists the rings.
pub(crate) fn list(arguments: &ListArguments, context: &Context) -> Result<(), Failure> {
    let (mut reports, mut unreadable) = (Vec::new(), 0);
    let places = match &arguments.dir {
        None => context.directory.places()?,
        Some(path) => {
            let names = Directory::at(path).names()?.into_iter();
            names.map(|name| Place::File(path.join(name.as_str()))).collect()
        }
    };
    for place in places {
        match inspect_in(&context.directory, &place.to_string()) {
            Ok(status) => reports.push(Report::new(&place, &status)),
            Err(error) if is_spoilt_ring(&error) => note(&format!("left out: {place}: {error}")),
            Err(Error::Memory(error)) if matches!(*error, shm_core::Error::System { .. }) => unreadable += 1,
            Err(_) => {}
        }
    }
    if arguments.json {
        return print_json(&reports);
    }
    if reports.is_empty() {
        let hidden =
            if unreadable > 0 { format!("; {unreadable} files may not be read") } else { String::new() };
        let path = arguments.dir.as_deref().unwrap_or(context.directory.path());
        note(&format!("no rings in {}{hidden}", path.display()));
        return Ok(());
    }
    let header = ["NAME", "KIND", "CAPACITY", "WAITING", "SENT", "RECEIVED", "DROPPED", "PARTICIPANTS"];
    let row = |report: &Report| {
        let [depth, sent, received, dropped] =
            [report.depth, report.sent, report.received, report.dropped].map(|count| count.to_string());
        let (name, kind) = (report.name.clone(), report.kind.to_owned());
        [name, kind, report.show_capacity(), depth, sent, received, dropped, report.show_participants()]
    };
    print(&table::with_header(header, reports.iter().map(row), 2..7))
}

/// Shows one ring.
pub(crate) fn stat(arguments: &StatArguments, context: &Context) -> Result<(), Failure> {
    let status = inspect_in(&context.directory, &arguments.name.to_string())?;
    let report = Report::new(&arguments.name, &status);
    if arguments.json {
        return print_json(&report);
    }
    let mut text = table::of_pairs(report.rows());
    let participants = report.participant_rows();
    if !participants.is_empty() {
        let header = ["ROLE", "PID", "ALIVE", "SENT", "RECEIVED", "HOLDING"];
        text.push('\n');
        text.push_str(&table::with_header(header, participants.into_iter(), 3..6));
    }
    print(&text)
}
