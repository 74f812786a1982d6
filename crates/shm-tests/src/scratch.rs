//! Names for the objects of one test, and the check that nothing else stays behind.

use rustix::rand::{GetRandomFlags, getrandom};
use shm_core::{Directory, Name, Options};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

/// The names of one test, with a common prefix of process id and random digits.
///
/// Dropping it removes the names that were [handed out](Scratch::name), and fails the test if the
/// directory then still holds anything that it made: debris. Debris is removed as well.
#[derive(Debug)]
pub struct Scratch {
    directory: PathBuf,
    /// What every name begins with; empty where the whole directory is ours.
    prefix: String,
    handed_out: Mutex<Vec<String>>,
    /// Removes everything should this process be killed: it reads until the pipe to it closes.
    survivor: Child,
}

impl Scratch {
    /// Names in `/dev/shm` itself, where other processes see them.
    pub fn posix() -> Self {
        Self::new("/dev/shm".into(), unique())
    }

    /// A directory of its own in `/dev/shm`: whatever is in it was made by this test.
    pub fn private() -> Self {
        Self::private_in("/dev/shm")
    }

    /// A directory of its own in `parent`.
    pub fn private_in(parent: impl AsRef<Path>) -> Self {
        let directory = parent.as_ref().join(unique());
        std::fs::create_dir_all(&directory).unwrap();
        Self::new(directory, String::new())
    }

    fn new(directory: PathBuf, prefix: String) -> Self {
        const SCRIPT: &str = "trap '' INT TERM HUP; cat >/dev/null; \
                              if [ -n \"$2\" ]; then rm -rf -- \"$1/$2\"*; else rm -rf -- \"$1\"; fi";
        let mut command = Command::new("sh");
        command
            .args(["-c", SCRIPT, "sh"])
            .arg(&directory)
            .arg(&prefix)
            .stdin(Stdio::piped())
            .stdout(Stdio::null());
        let survivor = command.spawn().unwrap();
        Self { directory, prefix, handed_out: Mutex::default(), survivor }
    }

    /// A name that ends in `suffix`.
    pub fn name(&self, suffix: &str) -> Name {
        let name = format!("{}{suffix}", self.prefix);
        self.handed_out.lock().unwrap().push(name.clone());
        Name::new(&name).unwrap()
    }

    /// Where the object of that name is.
    pub fn path(&self, name: &Name) -> PathBuf {
        self.directory.join(name.as_str())
    }

    /// The directory of the names.
    pub fn directory(&self) -> &str {
        self.directory.to_str().unwrap()
    }

    /// Options for objects in this directory.
    pub fn options(&self) -> Options {
        options_in(self.directory())
    }

    /// Everything of this test that has a name now, sorted.
    pub fn listing(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.directory).into_iter().flatten();
        let names = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
        let mut names: Vec<String> = names.filter(|name| name.starts_with(&self.prefix)).collect();
        names.sort();
        names
    }

    fn remove(&self, name: &str) {
        let path = self.directory.join(name);
        if path.is_dir() && !path.is_symlink() {
            let _ = std::fs::remove_dir(path);
        } else {
            let _ = std::fs::remove_file(path);
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let handed_out = std::mem::take(&mut *self.handed_out.lock().unwrap());
        handed_out.iter().for_each(|name| self.remove(name));
        let debris = self.listing();
        debris.iter().for_each(|name| self.remove(name));
        if self.prefix.is_empty() {
            let _ = std::fs::remove_dir(&self.directory);
        }
        drop(self.survivor.stdin.take());
        let _ = self.survivor.wait();
        // A test that fails anyway should be heard for its own reason.
        assert!(debris.is_empty() || std::thread::panicking(), "left in {:?}: {debris:?}", self.directory);
    }
}

/// Options for objects in the directory at `path`, for a process that was told the path.
pub fn options_in(path: &str) -> Options {
    Options::new().directory(Directory::at(path))
}

fn unique() -> String {
    let mut random = [0; 8];
    assert_eq!(getrandom(&mut random, GetRandomFlags::empty()), Ok(8));
    format!("shm-tests-{}-{:016x}-", std::process::id(), u64::from_ne_bytes(random))
}
