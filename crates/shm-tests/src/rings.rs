//! Rings for one test, in the kind of memory that the environment asks for.

use crate::{Scratch, Segments};
use shm_core::{Access, Directory, Name, Options, Place, Region};
use std::fmt;
use std::ops::Deref;
use std::sync::Mutex;

/// Where the rings of one test are: `SHMRING_TEST_MEMORY` says `posix` (the default), `file` or `sysv`. What the test
/// needs beside its rings it names by the [`Scratch`] in here.
///
/// Dropping it removes the rings, and fails the test if something else stays behind.
#[derive(Debug)]
pub struct Rings {
    handed_out: Mutex<Vec<Ring>>,
    home: Home,
    scratch: Scratch,
}

#[derive(Debug)]
enum Home {
    Posix,
    File(Scratch),
    Sysv(Segments),
}

/// What a ring is called, as the library and the program understand it.
#[derive(Clone, Debug)]
pub struct Ring(String);

impl Ring {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The ring of that name, in a process that was told it.
    pub fn called(name: &str) -> Self {
        Self(name.to_owned())
    }

    /// Maps all of the ring, for writing.
    pub fn map(&self) -> Region {
        let (options, name) = self.locate();
        options.open(&name, Access::ReadWrite).unwrap().map(Access::ReadWrite).unwrap()
    }

    fn locate(&self) -> (Options, Name) {
        self.0.parse::<Place>().unwrap().locate(&Directory::posix()).unwrap()
    }

    /// All bytes of the ring.
    pub fn bytes(&self) -> Vec<u8> {
        let (options, name) = self.locate();
        let region = options.open(&name, Access::ReadOnly).unwrap().map(Access::ReadOnly).unwrap();
        let mut bytes = vec![0; region.bytes()];
        region.copy_out(0, &mut bytes).unwrap();
        bytes
    }
}

impl fmt::Display for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Rings {
    /// A place for the rings of one test.
    pub fn new() -> Self {
        let home = match std::env::var("SHMRING_TEST_MEMORY").as_deref() {
            Err(_) | Ok("posix") => Home::Posix,
            Ok("file") => Home::File(Scratch::private_in(std::env::temp_dir())),
            Ok("sysv") => Home::Sysv(Segments::new()),
            Ok(other) => panic!("SHMRING_TEST_MEMORY={other}: posix, file or sysv"),
        };
        Self { handed_out: Mutex::default(), home, scratch: Scratch::posix() }
    }

    /// What a ring is to be called.
    pub fn ring(&self, suffix: &str) -> Ring {
        let ring = Ring(match &self.home {
            Home::Posix => self.scratch.name(suffix).to_string(),
            Home::File(scratch) => format!("file:{}", scratch.path(&scratch.name(suffix)).display()),
            Home::Sysv(segments) => format!("sysv:{:#x}", segments.key().as_raw()),
        });
        self.handed_out.lock().unwrap().push(ring.clone());
        ring
    }

    /// Everything of the rings that is there now.
    pub fn traces(&self) -> Vec<String> {
        match &self.home {
            Home::Posix => self.scratch.listing(),
            Home::File(scratch) => scratch.listing(),
            Home::Sysv(segments) => {
                let segments = segments.listing().into_iter().map(|segment| format!("{segment:?}"));
                segments.chain(self.scratch.listing()).collect()
            }
        }
    }
}

/// Takes a ring's name away, whatever is in it by now; also if somebody did already, who found it marked as removed.
pub fn remove_whatever_it_is(ring: &Ring) {
    let (options, name) = ring.locate();
    match options.unlink(&name) {
        Ok(()) | Err(shm_core::Error::NotFound { .. }) => {}
        Err(error) => panic!("{error}"),
    }
}

impl Default for Rings {
    fn default() -> Self {
        Self::new()
    }
}

impl Deref for Rings {
    type Target = Scratch;

    fn deref(&self) -> &Scratch {
        &self.scratch
    }
}

impl Drop for Rings {
    fn drop(&mut self) {
        for ring in self.handed_out.lock().unwrap().iter() {
            let (options, name) = ring.locate();
            let _ = options.unlink(&name); // the test may have removed it
        }
    }
}
