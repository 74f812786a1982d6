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
    pub(crate) fn from_environment() -> Result<Self, Failure> {
        let Some(path) = std::env::var_os(DIRECTORY_VARIABLE).filter(|path| !path.is_empty()) else {
            return Ok(Self { directory: Directory::posix() });
        };
        let directory = Directory::at(path);
        match std::fs::metadata(directory.path()) {
            Ok(found) if found.is_dir() => Ok(Self { directory }),
            found => {
                let why = found.map_or_else(|error| error.to_string(), |_| "not a directory".to_owned());
                let path = directory.path().display();
                let message =
                    format!("{DIRECTORY_VARIABLE} names {path}: {why}; make it, or unset the variable");
                Err(Failure::error(message))
            }
        }
    }
}
