//! `shmring doctor`: cleans up behind the dead, and tells what this machine offers.

mod system;

use crate::context::Context;
use crate::failure::{Failure, note};
use crate::output::{print, print_json};
use crate::report::is_spoilt_ring;
use crate::table;
use serde::Serialize;
use shm_core::Place;
use shm_ring::{Error, Removal, Repair, inspect_in, remove_in, repair_in};

/// Cleans up behind dead participants, or shows what the machine offers
///
/// Nobody needs it to go on: newcomers, and whoever waits for longer than a moment, do the same. Ends with 0 when
/// everything is sound or was repaired.
#[derive(clap::Args, Debug)]
#[command(group(clap::ArgGroup::new("what").required(true).args(["name", "all", "system"])))]
pub(crate) struct Arguments {
    /// The ring
    name: Option<Place>,
    /// All rings in the directory
    #[arg(long)]
    all: bool,
    /// Look at kernel features, room for rings, and limits
    #[arg(long, conflicts_with_all = ["dry_run", "remove_unused"])]
    system: bool,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
    /// Remove rings at which nobody is, with whatever waits in them
    #[arg(long)]
    remove_unused: bool,
    /// Print JSON: an array with an object for each ring, or an object for the machine
    #[arg(long)]
    json: bool,
}

/// What became of a ring. The names of the fields are those of the JSON object.
#[derive(Debug, Serialize)]
struct Verdict {
    name: String,
    /// Whether nothing is left to do.
    sound: bool,
    /// Processes that died sitting there.
    dead: Vec<u32>,
    /// Places that were cleaned up, or would be.
    repaired: u64,
    /// Messages of dead receivers that wait to be handed out again.
    to_redeliver: u64,
    /// The ring was removed, or would be.
    removed: bool,
    /// The machine was restarted since the ring was used; what was flushed before is set up again, or would be.
    restarted: bool,
    /// What stands against it.
    error: Option<String>,
}

/// Repairs, or looks at the machine.
pub(crate) fn run(arguments: &Arguments, context: &Context) -> Result<(), Failure> {
    if arguments.system {
        return system::look(arguments.json, context);
    }
    let names = match &arguments.name {
        Some(name) => vec![name.clone()],
        None => context.directory.places()?,
    };
    let verdicts: Vec<Verdict> = names
        .iter()
        .filter_map(|name| examine(&name.to_string(), arguments, context).transpose())
        .collect::<Result<_, _>>()?;
    if arguments.json {
        print_json(&verdicts)?;
    } else if verdicts.is_empty() {
        note(&format!("no rings in {}", context.directory.path().display()));
    } else {
        let rows = verdicts.iter().map(|verdict| [verdict.name.clone(), verdict.words(arguments.dry_run)]);
        print(&table::with_header(["NAME", "FOUND"], rows, 0..0))?;
    }
    match verdicts.iter().filter(|verdict| !verdict.sound).count() {
        0 => Ok(()),
        1 => Err(Failure::error("one ring is not sound; see above")),
        count => Err(Failure::error(format!("{count} rings are not sound; see above"))),
    }
}

/// `None` for what is no ring, when all are looked at.
fn examine(name: &str, arguments: &Arguments, context: &Context) -> Result<Option<Verdict>, Failure> {
    let directory = &context.directory;
    let verdict = match repair_in(directory, name, arguments.dry_run) {
        Ok(repair) => Verdict::of(name, &repair, arguments.dry_run),
        Err(error) if arguments.all && !is_spoilt_ring(&error) && !is_refused(&error) => return Ok(None),
        Err(error) if arguments.all => Verdict::failed(name, &error),
        Err(error) => return Err(error.into()),
    };
    if arguments.remove_unused && verdict.error.is_none() {
        return Ok(Some(remove(verdict, arguments, context)?));
    }
    Ok(Some(verdict))
}

fn remove(mut verdict: Verdict, arguments: &Arguments, context: &Context) -> Result<Verdict, Failure> {
    let (directory, name) = (&context.directory, verdict.name.as_str());
    if arguments.dry_run {
        let status = inspect_in(directory, name)?;
        verdict.removed = !status.participants.iter().any(|who| who.alive);
        return Ok(verdict);
    }
    match remove_in(directory, name, Removal::IfUnused) {
        Ok(()) => verdict.removed = true,
        Err(Error::InUse(_)) => {}
        Err(error) => {
            verdict.sound = false;
            verdict.error = Some(error.to_string());
        }
    }
    Ok(verdict)
}

/// Whether a ring may be there, and this user may not work on it.
fn is_refused(error: &Error) -> bool {
    let Error::Memory(error) = error else { return false };
    matches!(**error, shm_core::Error::Forbidden { .. } | shm_core::Error::Busy { .. })
}

impl Verdict {
    fn of(name: &str, repair: &Repair, dry_run: bool) -> Self {
        Self {
            name: name.to_owned(),
            sound: repair.busy == 0 && (!dry_run || repair.repaired == 0 && !repair.restarted),
            dead: repair.dead.iter().map(|who| who.pid).collect(),
            repaired: repair.repaired,
            to_redeliver: repair.to_redeliver,
            removed: false,
            restarted: repair.restarted,
            error: (repair.busy > 0)
                .then(|| "others are in the middle of their operations; try again".to_owned()),
        }
    }

    fn failed(name: &str, error: &Error) -> Self {
        let error = Some(error.to_string());
        Self {
            name: name.to_owned(),
            sound: false,
            dead: vec![],
            repaired: 0,
            to_redeliver: 0,
            removed: false,
            restarted: false,
            error,
        }
    }

    /// For people.
    fn words(&self, dry_run: bool) -> String {
        let mut words = Vec::new();
        if !self.dead.is_empty() {
            let pids: Vec<String> = self.dead.iter().map(u32::to_string).collect();
            words.push(format!("died there: {}", pids.join(", ")));
        }
        if self.repaired > 0 {
            let done = if dry_run { "to be cleaned up" } else { "cleaned up" };
            words.push(format!("{} places {done}", self.repaired));
        }
        if self.to_redeliver > 0 {
            words.push(format!("{} messages wait to be handed out again", self.to_redeliver));
        }
        if self.restarted {
            let done = if dry_run { "to be set up" } else { "set up" };
            words.push(format!("the machine was restarted; what was flushed before is {done} again"));
        }
        if self.removed {
            words.push(if dry_run { "unused, to be removed" } else { "unused, removed" }.to_owned());
        }
        words.extend(self.error.clone());
        if words.is_empty() { "sound".to_owned() } else { words.join("; ") }
    }
}
