//! What the environment says, the same for every verb.

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
}
