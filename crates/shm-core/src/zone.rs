//! Shared zones: memory that a process makes under a name before it forks workers, and finds again by that name.
//!
//! The idea is nginx's: a zone has a name, a size and an address, and knows whether it existed already; its memory
//! comes from whichever of three mechanisms the system has (see [`Mechanism`]); and asking again for a zone of the
//! same name and size, as a new configuration does, gives the memory that is there, with what is in it. nginx chooses
//! the mechanism when it is built; here it is chosen where the program runs.
//!
//! A name is known within the process that made the zone and in the children that it forks afterwards. It is not a name
//! in the file system: unrelated processes that use the same one have nothing to do with each other. A zone that a
//! child makes is the child's and its own children's; neither parent nor siblings see it. So make zones before
//! forking.
//!
//! ```
//! use shm_core::Zone;
//! # fn main() -> Result<(), shm_core::Error> {
//! let zone = Zone::create("counters", 4096)?;
//! assert!(!zone.existed());
//! zone.region().write_value(0, &7_u32)?;
//! // Later on, or in a forked child:
//! let again = Zone::create("counters", 4096)?;
//! assert!(again.existed());
//! assert_eq!(again.region().read_value::<u32>(0)?, 7);
//! assert!(Zone::create("counters", 8192).is_err());
//! # Ok(())
//! # }
//! ```

mod passing;

use crate::anonymous;
use crate::error::{Error, Result};
use crate::fork::Section;
use crate::region::Region;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

/// Where the memory of a zone comes from. All are shared with children that are forked afterwards, and leave nothing
/// when the last process that has them ends, however it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// `mmap(MAP_SHARED|MAP_ANONYMOUS)`; see [`anonymous::map`].
    Anonymous,
    /// A shared mapping of `/dev/zero`; see [`anonymous::dev_zero`].
    DevZero,
    /// A private System V segment that is marked for removal as soon as it is attached. Between its creation and that
    /// mark there are two system calls; what a creator killed just there leaves, the next zone by this mechanism and
    /// user removes.
    SystemV,
}

impl Mechanism {
    /// All of them, in the order in which they are tried.
    pub const ALL: [Self; 3] = [Self::Anonymous, Self::DevZero, Self::SystemV];

    fn make(self, bytes: u64) -> Result<Region> {
        match self {
            Self::Anonymous => anonymous::map(bytes),
            Self::DevZero => anonymous::dev_zero(bytes),
            Self::SystemV => passing::segment(bytes),
        }
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Anonymous => "anonymous",
            Self::DevZero => "/dev/zero",
            Self::SystemV => "System V",
        })
    }
}

/// What a name means.
#[derive(Clone)]
struct Entry {
    region: Region,
    mechanism: Mechanism,
}

/// The zones of this process. A forked child gets a copy, and the memory with it. Only used in sections, so that no
/// child gets it half changed, or locked by a thread that it does not have.
static ZONES: Mutex<BTreeMap<String, Entry>> = Mutex::new(BTreeMap::new());

/// A shared zone. Dropping it changes nothing: the name and the memory stay until [`unlink`](Self::unlink).
#[derive(Clone, Debug)]
pub struct Zone {
    name: String,
    region: Region,
    mechanism: Mechanism,
    existed: bool,
}

impl Zone {
    /// The zone of that name with `bytes` bytes: the one that exists, or a new one of zeros, made by the first
    /// [mechanism](Mechanism::ALL) that works.
    ///
    /// Forks by other threads wait while it is made.
    ///
    /// # Errors
    /// [`Error::Conflict`] when the zone exists and has another size; [`Error::NoMechanism`], with each one's refusal;
    /// [`Error::InvalidName`] when the name is empty; [`Error::ZeroLength`].
    pub fn create(name: &str, bytes: u64) -> Result<Self> {
        Self::create_by(name, bytes, None)
    }

    /// The same, by this mechanism and no other.
    ///
    /// # Errors
    /// As [`create`](Self::create), except that the mechanism's own refusal ([`Error::Refused`]) is the error;
    /// [`Error::Conflict`] as well when the zone exists and was made by another mechanism.
    pub fn create_with(name: &str, bytes: u64, mechanism: Mechanism) -> Result<Self> {
        Self::create_by(name, bytes, Some(mechanism))
    }

    fn create_by(name: &str, bytes: u64, mechanism: Option<Mechanism>) -> Result<Self> {
        if name.is_empty() {
            let reason = "it is empty; give the zone a name such as \"counters\"";
            return Err(Error::InvalidName { name: String::new(), reason });
        }
        let object = show(name);
        if bytes == 0 {
            return Err(Error::ZeroLength { object });
        }
        // Until it is in the list: of two that make the same zone at once, one finds the other's.
        with_zones(|zones| {
            let conflict =
                |asked: String, found: String| Err(Error::Conflict { object: show(name), asked, found });
            let (entry, existed) = match zones.get(name) {
                Some(found) if found.region.bytes() as u64 != bytes => {
                    return conflict(format!("{bytes} bytes"), format!("{} bytes", found.region.bytes()));
                }
                Some(found) if mechanism.is_some_and(|asked| asked != found.mechanism) => {
                    let asked = mechanism.map_or_else(String::new, |asked| format!("mechanism {asked}"));
                    return conflict(asked, format!("mechanism {}", found.mechanism));
                }
                Some(found) => (found.clone(), true),
                None => {
                    let entry = make(object, bytes, mechanism, |mechanism| mechanism.make(bytes))?;
                    zones.insert(name.to_owned(), entry.clone());
                    (entry, false)
                }
            };
            let Entry { region, mechanism } = entry;
            Ok(Self { name: name.to_owned(), region, mechanism, existed })
        })
    }

    /// Forgets a zone of this process: the next one of that name is new. The memory goes when the last region on it
    /// does, and in other processes when they let go of theirs; to them nothing changes.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn unlink(name: &str) -> Result<()> {
        // Unmapped outside of the section, if it is.
        let entry = with_zones(|zones| zones.remove(name));
        entry.map(drop).ok_or_else(|| Error::NotFound { object: show(name) })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its size in bytes.
    pub fn bytes(&self) -> u64 {
        self.region.bytes() as u64
    }

    /// Where it lies: the same in the process that made it and in the children that it forked. For showing to
    /// people; the bytes are reached through the [region](Self::region).
    pub fn address(&self) -> usize {
        self.region.address()
    }

    /// Whether it was there, and its content may be somebody's, when this handle was made. A copy in a forked child
    /// still tells of its parent's call.
    pub fn existed(&self) -> bool {
        self.existed
    }

    /// Where its memory comes from.
    pub fn mechanism(&self) -> Mechanism {
        self.mechanism
    }

    /// Its memory, for reading and writing.
    pub fn region(&self) -> &Region {
        &self.region
    }
}

fn with_zones<T>(work: impl FnOnce(&mut BTreeMap<String, Entry>) -> T) -> T {
    let _section = Section::enter();
    // No change is left half done: a panic in between leaves the list as it was.
    work(&mut ZONES.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Memory by the forced mechanism, or by the first for which `by` answers.
fn make(
    object: String,
    bytes: u64,
    forced: Option<Mechanism>,
    by: impl Fn(Mechanism) -> Result<Region>,
) -> Result<Entry> {
    let by = |mechanism: Mechanism| by(mechanism).map(|region| Entry { region, mechanism });
    if let Some(mechanism) = forced {
        return by(mechanism);
    }
    let mut refusals = Vec::new();
    for mechanism in Mechanism::ALL {
        match by(mechanism) {
            Ok(entry) => return Ok(entry),
            Err(refusal) => refusals.push(refusal),
        }
    }
    Err(Error::NoMechanism { object, bytes, refusals })
}

fn show(name: &str) -> String {
    format!("the zone {name:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_name_and_size_is_the_same_memory() {
        let zone = Zone::create("same", 5000).unwrap();
        assert_eq!((zone.name(), zone.bytes(), zone.existed()), ("same", 5000, false));
        assert_eq!(zone.mechanism(), Mechanism::Anonymous);
        zone.region().write_value(4999, &7_u8).unwrap();
        let again = Zone::create("same", 5000).unwrap();
        assert!(again.existed() && again.address() == zone.address());
        // Handles do not keep it.
        drop((zone, again));
        let third = Zone::create_with("same", 5000, Mechanism::Anonymous).unwrap();
        assert!(third.existed());
        assert_eq!(third.region().read_value::<u8>(4999).unwrap(), 7);
        assert!(!Zone::create("another", 5000).unwrap().existed());
        Zone::unlink("same").unwrap();
        let new = Zone::create("same", 5000).unwrap();
        assert!(!new.existed() && new.address() != third.address());
        assert_eq!(third.region().read_value::<u8>(4999).unwrap(), 7);
        Zone::unlink("same").unwrap();
        assert!(matches!(Zone::unlink("same"), Err(Error::NotFound { .. })));
    }

    #[test]
    fn another_size_or_mechanism_is_a_conflict() {
        Zone::create_with("conflict", 4096, Mechanism::DevZero).unwrap();
        let told = |result: Result<Zone>| result.unwrap_err().to_string();
        let size = told(Zone::create("conflict", 8192));
        assert!(
            size.contains("the zone \"conflict\" exists with 4096 bytes") && size.contains("8192"),
            "{size}"
        );
        assert!(matches!(Zone::create("conflict", 4095), Err(Error::Conflict { .. })), "a smaller one, too");
        let way = told(Zone::create_with("conflict", 4096, Mechanism::Anonymous));
        assert!(way.contains("exists with mechanism /dev/zero"), "{way}");
        assert!(Zone::create("conflict", 4096).unwrap().existed());
        assert!(matches!(Zone::create("", 1), Err(Error::InvalidName { .. })));
        assert!(matches!(Zone::create("empty", 0), Err(Error::ZeroLength { .. })));
    }

    #[test]
    fn what_no_mechanism_gives_is_refused_by_each() {
        let bytes = 1_u64 << 62;
        let told = Zone::create("too large", bytes).unwrap_err().to_string();
        for refusal in
            ["mmap(MAP_SHARED|MAP_ANONYMOUS) failed", "on /dev/zero of", "shmget failed", "os error 12"]
        {
            assert!(told.contains(refusal), "{told}");
        }
        assert_eq!(told.matches(&format!("{bytes} bytes")).count(), 4, "{told}");
        for mechanism in Mechanism::ALL {
            let error = Zone::create_with("too large", bytes, mechanism).unwrap_err();
            assert!(matches!(error, Error::Refused { bytes: told, .. } if told == bytes), "{error}");
        }
        // Nothing was kept of it.
        assert!(!Zone::create("too large", 1).unwrap().existed());
    }

    #[test]
    fn the_first_mechanism_that_works_is_taken() {
        for (at, working) in Mechanism::ALL.into_iter().enumerate() {
            let works_from_there = |mechanism| {
                let before = Mechanism::ALL.iter().position(|&one| one == mechanism).unwrap() < at;
                if before { Err(Error::ReadOnly) } else { mechanism.make(4096) }
            };
            let entry = make(show("first"), 4096, None, works_from_there).unwrap();
            assert_eq!(entry.mechanism, working);
            entry.region.write_value(4095, &7_u8).unwrap();
            // One that is forced has no successor.
            let forced = make(show("first"), 4096, Some(Mechanism::Anonymous), works_from_there);
            assert_eq!(forced.is_ok(), at == 0);
        }
    }

    #[test]
    fn threads_that_make_a_zone_at_once_make_one() {
        let create = || Zone::create("threads", 4096).unwrap();
        let threads: Vec<_> = (0..8).map(|_| std::thread::spawn(create)).collect();
        let zones: Vec<Zone> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        assert_eq!(zones.iter().filter(|zone| !zone.existed()).count(), 1);
        assert!(zones.iter().all(|zone| zone.address() == zones[0].address()));
    }
}
