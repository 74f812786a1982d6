//! One process: whether it maps the object, and where.

use super::target::Target;
use super::text::{self, Line};
use super::{Mapping, no_proc};
use crate::error::{Error, Result};
use rustix::io::Errno;
use std::io;

/// What a look at a process finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Its mappings of the object; none if it has none, or has no memory any more.
    Mappings(Vec<Mapping>),
    /// This user may not look.
    Unreadable,
    /// It has ended meanwhile.
    Ended,
}

/// All processes that `/proc` shows, in order.
pub(super) fn all() -> Result<Vec<u32>> {
    let failed = |source| Error::System { call: "readdir", object: "/proc".to_owned(), source };
    let mut pids = Vec::new();
    for entry in std::fs::read_dir("/proc").map_err(failed)? {
        pids.extend(entry.map_err(failed)?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()));
    }
    pids.sort_unstable();
    if pids.is_empty() { Err(no_proc()) } else { Ok(pids) }
}

/// Looks for the mappings of `target` in a process.
pub(super) fn look(pid: u32, target: &Target) -> Result<Found> {
    let path = |file: &str| format!("/proc/{pid}/{file}");
    look_into(&path, pid, target).or_else(|(file, error)| why_not(path(file), error))
}

fn look_into(
    path: &impl Fn(&str) -> String,
    pid: u32,
    target: &Target,
) -> std::result::Result<Found, (&'static str, io::Error)> {
    let read = |file: &'static str| {
        let bytes = std::fs::read(path(file)).map_err(|error| (file, error))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let nothing = Ok(Found::Mappings(Vec::new()));
    let maps = read("maps")?;
    if !text::mappings(&maps).iter().any(|(line, _)| target.is_mapped_by(line)) {
        return nothing; // most processes; smaps walks all their pages
    }
    if let Target::Segment { namespace: Some(ours), .. } = target {
        let theirs = std::fs::read_link(path("ns/ipc")).map_err(|error| ("ns/ipc", error))?;
        if theirs != *ours {
            return nothing;
        }
    }
    // A kernel without it tells everything else. That the process has not ended, the command shows.
    let smaps = match read("smaps") {
        Err((_, error)) if is(&error, Errno::NOENT) => maps,
        read => read?,
    };
    let command = read("comm")?.trim_end_matches('\n').to_owned();
    let mapping = |(line, resident_bytes): (Line<'_>, Option<u64>)| Mapping {
        pid,
        command: command.clone(),
        address: line.start,
        bytes: line.end - line.start,
        offset: line.offset,
        rights: line.rights,
        resident_bytes,
    };
    let found = text::mappings(&smaps).into_iter().filter(|(line, _)| target.is_mapped_by(line));
    Ok(Found::Mappings(found.map(mapping).collect()))
}

/// What it means that a file of a process can not be read.
fn why_not(path: String, error: io::Error) -> Result<Found> {
    if is(&error, Errno::NOENT) || is(&error, Errno::SRCH) {
        Ok(Found::Ended)
    } else if is(&error, Errno::ACCESS) || is(&error, Errno::PERM) {
        Ok(Found::Unreadable)
    } else {
        Err(Error::System { call: "read", object: path, source: error })
    }
}

fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno.raw_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_no_error_and_a_refusal_is_told() {
        let why_not = |errno: Errno| why_not("/proc/1/maps".to_owned(), errno.into());
        for errno in [Errno::NOENT, Errno::SRCH] {
            assert_eq!(why_not(errno).unwrap(), Found::Ended);
        }
        for errno in [Errno::ACCESS, Errno::PERM] {
            assert_eq!(why_not(errno).unwrap(), Found::Unreadable);
        }
        let error = why_not(Errno::IO).unwrap_err().to_string();
        assert!(error.contains("read failed on /proc/1/maps"), "{error}");
    }

    #[test]
    fn no_process_is_one_that_has_ended() {
        let target = Target::File { device: (0, 0), inode: 1 };
        // Greater than any process id.
        assert_eq!(look(1 << 30, &target).unwrap(), Found::Ended);
        assert!(all().unwrap().contains(&std::process::id()));
    }
}
