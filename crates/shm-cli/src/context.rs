//! What the environment says, the same for every verb.

use crate::failure::Failure;
use shm_ring::Directory;

/// Names the directory of rings.
pub(crate) const DIRECTORY_VARIABLE: &str = "SHMRING_DIR";

/// What the environment says.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    /// Where named rings live.
    pub(crate) directory: Directory,
}

impl Context {
    /// Reads the environment.
    pub(crate) fn from_environment() -> Self {
        let directory = std::env::var_os(DIRECTORY_VARIABLE).filter(|path| !path.is_empty());
        Self { directory: directory.map_or_else(Directory::posix, Directory::at) }
    }

    /// What went wrong, or why nothing could go right here: there is no such directory.
    pub(crate) fn explain(&self, failure: Failure) -> Failure {
        let path = self.directory.path();
        let why = match std::fs::metadata(path) {
            Ok(found) if found.is_dir() => return failure,
            Ok(_) => "not a directory".to_owned(),
            Err(error) => error.to_string(),
        };
        let path = path.display();
        Failure::error(format!("the directory of rings, {path}: {why}; make it, or set {DIRECTORY_VARIABLE}"))
    }
}
