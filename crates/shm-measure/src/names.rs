//! Names in `/dev/shm` that do not outlive the moment in which they are needed, whatever happens.

use crate::Result;
use shm_core::{Directory, Identity, Name, Options, Removal};
use signal_hook::consts::{SIGINT, SIGTERM};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// What all names begin with.
pub const PREFIX: &str = "shm-measure-";

/// A ring's name. Dropping it takes the name away; those who are attached go on.
///
/// While any name exists, SIGINT and SIGTERM are held back.
#[derive(Debug)]
pub struct Fleeting {
    name: Name,
    _hold: Hold,
}

impl Fleeting {
    /// A name that nobody uses.
    ///
    /// # Errors
    /// When the kernel has no random numbers, or no handler for a signal.
    pub fn new(suffix: &str) -> Result<Self> {
        let hold = Hold::new()?;
        let unique = format!("{PREFIX}{}-{}{suffix}", std::process::id(), Identity::random()?);
        Ok(Self { name: Name::new(&unique)?, _hold: hold })
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        self.name.as_str()
    }
}

impl Drop for Fleeting {
    fn drop(&mut self) {
        let _ = Options::new().unlink(&self.name); // nothing has the name if its creation failed
    }
}

/// Removes what benches that were killed in the wrong millisecond have left. Only rings that nobody is
/// attached to: the kernel says so, and their creators are attached before they have their names.
///
/// # Errors
/// When `/dev/shm` can not be read.
pub fn sweep() -> Result<()> {
    for name in Directory::posix().names()? {
        if name.as_str().starts_with(PREFIX) {
            let _ = shm_ring::remove_in(&Directory::posix(), name.as_str(), Removal::IfUnused); // in use
        }
    }
    Ok(())
}

/// Holds signals back that would end the process, until the last of these is dropped.
#[derive(Debug)]
struct Hold;

static HOLDS: AtomicUsize = AtomicUsize::new(0);

struct Handlers {
    /// Whether a signal may end the process at once.
    free: Arc<AtomicBool>,
    /// Signals that came meanwhile.
    pending: [(i32, Arc<AtomicBool>); 2],
}

fn handlers() -> std::io::Result<&'static Handlers> {
    static HANDLERS: OnceLock<Handlers> = OnceLock::new();
    if let Some(handlers) = HANDLERS.get() {
        return Ok(handlers);
    }
    let free = Arc::new(AtomicBool::new(true));
    let pending = [SIGINT, SIGTERM].map(|signal| (signal, Arc::new(AtomicBool::new(false))));
    for (signal, came) in &pending {
        signal_hook::flag::register_conditional_default(*signal, free.clone())?;
        signal_hook::flag::register(*signal, came.clone())?;
    }
    Ok(HANDLERS.get_or_init(|| Handlers { free, pending }))
}

impl Hold {
    fn new() -> std::io::Result<Self> {
        let handlers = handlers()?;
        HOLDS.fetch_add(1, Ordering::Relaxed); // one thread starts pairs; its own handler follows its program
        handlers.free.store(false, Ordering::Relaxed); // as above
        Ok(Self)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let Ok(handlers) = handlers() else { return };
        let last = HOLDS.fetch_sub(1, Ordering::Relaxed) == 1; // as in `new`
        if !last {
            return;
        }
        handlers.free.store(true, Ordering::Relaxed); // as in `new`
        for (signal, came) in &handlers.pending {
            let came = came.load(Ordering::Relaxed); // as in `new`
            if came {
                let _ = signal_hook::low_level::emulate_default_handler(*signal); // ends the process
            }
        }
    }
}
