//! `shmring doctor --system`: what this machine offers, and what follows for whoever uses rings on it.

use crate::context::Context;
use crate::failure::Failure;
use crate::output::{print, print_json};
use crate::table;
use crate::units::show_size;
use rustix::process::{Resource, getrlimit};
use serde::Serialize;
use shm_core::system;
use shm_ring::Directory;

/// The least free room that suggests no trouble: some rings of default size.
const ROOM_BYTES_COMFORTABLE: u64 = 16 << 20;

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    item: &'static str,
    /// Whether it is there and, where it is a quantity, enough.
    found: bool,
    value: String,
    /// What follows for the user.
    consequence: String,
}

impl Finding {
    fn new(
        item: &'static str,
        found: bool,
        value: impl Into<String>,
        consequence: impl Into<String>,
    ) -> Self {
        Self { item, found, value: value.into(), consequence: consequence.into() }
    }

    fn feature(item: &'static str, found: bool, if_found: &str, if_not: &str) -> Self {
        let value = if found { "found" } else { "not found" };
        Self::new(item, found, value, if found { if_found } else { if_not })
    }
}

/// All that was looked at.
#[derive(Debug, Serialize)]
struct Findings {
    system: Vec<Finding>,
}

/// Looks at the machine.
pub(crate) fn look(json: bool, context: &Context) -> Result<(), Failure> {
    let mut system = kernel(&context.directory);
    system.push(room(&context.directory));
    system.extend(limits());
    if json {
        return print_json(&Findings { system });
    }
    let row = |finding: &Finding| {
        let mark = if finding.found { "ok" } else { "!!" };
        [mark.to_owned(), finding.item.to_owned(), finding.value.clone(), finding.consequence.clone()]
    };
    print(&table::with_header(["", "ITEM", "FOUND", "WHAT FOLLOWS"], system.iter().map(row), 0..0))
}

fn kernel(directory: &Directory) -> Vec<Finding> {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease");
    let release = release.map_or_else(|_| "unknown".to_owned(), |release| release.trim().to_owned());
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    vec![
        Finding::new("kernel", true, release, "features count, not versions: see below"),
        Finding::feature(
            "futex_waitv",
            system::has_futex_waitv(),
            "whoever sleeps is woken at once when a process dies that it waits for",
            "needs Linux 5.16, or a container that lets it through; a death is noticed within 100 ms",
        ),
        Finding::feature(
            "membarrier",
            system::has_membarrier(),
            "senders pay no fence for receivers that may sleep",
            "needs Linux 4.16, or a container that lets it through; rings work, but each message costs a \
             fence, and sleepers look again every millisecond",
        ),
        Finding::feature(
            "O_TMPFILE",
            system::has_unnamed_files(directory),
            "a creator that is killed leaves nothing behind",
            "rings are born by a temporary name; what a killed creator leaves (.shmring-birth-*) is swept by \
             the next one. Is the directory there and writable?",
        ),
        Finding::new(
            "processors",
            processors > 1,
            processors.to_string(),
            if processors > 1 {
                "both ends of a ring can run at once; waiting spins for a moment before it sleeps"
            } else {
                "both ends of a ring share the only one; waiting sleeps at once"
            },
        ),
        Finding::new(
            "page size",
            true,
            show_size(system::page_bytes() as u64),
            "rings are mapped in whole pages",
        ),
    ]
}

fn room(directory: &Directory) -> Finding {
    let path = directory.path().display();
    match system::room(directory) {
        Err(error) => {
            Finding::new("room for rings", false, "unknown", format!("no ring can be made: {error}"))
        }
        Ok(room) if room.total_bytes == 0 => {
            Finding::new("room for rings", true, format!("{path}: no limit"), "memory is the only limit")
        }
        Ok(room) => {
            let value =
                format!("{path}: {} of {} free", show_size(room.free_bytes), show_size(room.total_bytes));
            let enough = room.free_bytes >= ROOM_BYTES_COMFORTABLE && room.free_objects > 0;
            let consequence = if enough {
                "creating more than that says out of space; nothing fails later".to_owned()
            } else {
                format!(
                    "only small rings fit; remove some, or enlarge it: mount -o remount,size=1G {path} (in a \
                     container: --shm-size=1g)"
                )
            };
            Finding::new("room for rings", enough, value, consequence)
        }
    }
}

fn limits() -> Vec<Finding> {
    let limit = |resource| getrlimit(resource).current;
    let size = |limit: Option<u64>| limit.map_or_else(|| "no limit".to_owned(), show_size);
    let (locked, files, space) = (limit(Resource::Memlock), limit(Resource::Nofile), limit(Resource::As));
    vec![
        Finding::new(
            "RLIMIT_MEMLOCK",
            true,
            size(locked),
            "only for programs that lock their rings in memory: as much may be locked (ulimit -l)",
        ),
        Finding::new(
            "RLIMIT_NOFILE",
            files.is_none_or(|files| files >= 256),
            files.map_or_else(|| "no limit".to_owned(), |files| files.to_string()),
            "each handle of a ring keeps one file open (ulimit -n)",
        ),
        Finding::new(
            "RLIMIT_AS",
            space.is_none(),
            size(space),
            "each handle takes as much address space as its ring is large (ulimit -v)",
        ),
    ]
}
