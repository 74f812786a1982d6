//! The object under test: a file that is made anew for each opening, and looked at afterwards.

use rustix::rand::{GetRandomFlags, getrandom};
use shm_core::{Access, Directory, Name, Options};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Where scratch directories are made, unless this variable says where else.
const PARENT_VARIABLE: &str = "SHM_FUZZ_DIRECTORY";
/// Where those are made that have to lie on a disk, unless this variable says where else.
const DISK_VARIABLE: &str = "SHM_FUZZ_DISK";
/// The name of the object in its directory.
pub const NAME: &str = "object";

/// A private directory for one object, removed when dropped. A fuzzer that stops at a finding drops nothing:
/// `.ci/fuzz` gives it a directory that the script removes.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// A new directory.
    pub fn new() -> Self {
        Self::at(PARENT_VARIABLE, "/dev/shm")
    }

    /// The same on a disk, where rings outlive the machine's restarts.
    pub fn on_disk() -> Self {
        let scratch = Self::at(DISK_VARIABLE, "/var/tmp");
        drop(scratch.put(&[0], 0));
        let name = Name::new(NAME).expect("a name");
        let options = Options::new().directory(scratch.directory());
        let object = options.open(&name, Access::ReadOnly).expect("the file just made");
        assert_eq!(object.outlives_restarts().ok(), Some(true), "{DISK_VARIABLE} has to be on a disk");
        std::fs::remove_file(scratch.object()).expect("the file just made");
        scratch
    }

    fn at(variable: &str, otherwise: &str) -> Self {
        let parent = std::env::var_os(variable).unwrap_or_else(|| otherwise.into());
        let mut random = [0; 8];
        let filled = getrandom(&mut random, GetRandomFlags::empty());
        assert_eq!(filled, Ok(random.len()), "no random numbers");
        let unique = format!("shm-fuzz-{}-{:016x}", std::process::id(), u64::from_ne_bytes(random));
        let path = Path::new(&parent).join(unique);
        std::fs::create_dir(&path).expect("a private directory");
        Self { path }
    }

    /// The directory, for the libraries.
    pub fn directory(&self) -> Directory {
        Directory::at(&self.path)
    }

    /// The object's path.
    pub fn object(&self) -> PathBuf {
        self.path.join(NAME)
    }

    /// Puts `bytes`, and `hole_bytes` without memory behind them, under the name.
    pub fn put(&self, bytes: &[u8], hole_bytes: u64) -> Shadow {
        let opened =
            OpenOptions::new().read(true).write(true).create(true).truncate(true).open(self.object());
        let mut file = opened.expect("the object's file");
        file.write_all(bytes).expect("room for the object");
        if hole_bytes > 0 {
            file.set_len(bytes.len() as u64 + hole_bytes).expect("a hole");
        }
        Shadow { file, expected: bytes.to_vec(), may_change: Vec::new() }
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path); // what can not be removed is no finding
    }
}

/// What an object must still hold where nobody may write.
#[derive(Debug)]
pub struct Shadow {
    /// Open all the time: the name may go.
    file: File,
    expected: Vec<u8>,
    may_change: Vec<(usize, usize)>,
}

impl Shadow {
    /// Somebody may now write here.
    pub fn allow(&mut self, from: usize, to: usize) {
        self.may_change.push((from, to));
    }

    /// The word that should stand at `offset`; 0 behind the end.
    pub fn word(&self, offset: usize) -> u64 {
        let bytes = self.expected.get(offset..).and_then(|rest| rest.first_chunk());
        bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }

    /// Another process stores this.
    pub fn patch(&mut self, patch: &crate::case::Patch) {
        patch.apply(&mut self.expected);
        for (byte, at) in patch.bytes.iter().zip(usize::from(patch.offset)..) {
            let at = at % self.expected.len().max(1);
            if at < self.expected.len() {
                self.file.write_all_at(&[*byte], at as u64).expect("a store into the object");
            }
        }
    }

    /// Fails if anything was written where nobody may write.
    pub fn check(&self, who: &str) {
        let mut found = vec![0; self.expected.len()];
        self.file.read_exact_at(&mut found, 0).expect("the object is as long as it was");
        if found == self.expected {
            return;
        }
        for (at, (now, before)) in found.iter().zip(&self.expected).enumerate() {
            let allowed = self.may_change.iter().any(|&(from, to)| (from..to).contains(&at));
            assert!(now == before || allowed, "{who} wrote at {at}, where it must not");
        }
    }
}
