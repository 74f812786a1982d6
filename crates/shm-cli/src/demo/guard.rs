//! The started processes end when their conductor does, however it ends, and take the names of their rings along.
//!
//! The kernel tells them of the death of the thread that started them by SIGTERM; a thread of their own waits for
//! it. What else ends a part early takes the names along as well, since nobody may be left who would.

use super::children::await_signal;
use super::transport::ring::Names;
use crate::failure::{Failure, Status};
use crate::signals::Signals;
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A watch over the conductor's life.
#[derive(Debug)]
pub(crate) struct Guard {
    names: Option<Names>,
    /// Held while names are made, and from when they are taken away until the process ends.
    names_change: Arc<Mutex<()>>,
}

impl Guard {
    /// Begins to watch. `names` are taken away when the process `conductor` dies.
    pub(crate) fn watch(conductor: u32, names: Option<Names>) -> Result<Self, Failure> {
        let failed = |error: std::io::Error| Failure::error(format!("can not watch the conductor: {error}"));
        let guard = Self { names: names.clone(), names_change: Arc::default() };
        let (signals, twin) = (Signals::watch()?, Self { names, names_change: guard.names_change.clone() });
        let end = move || {
            await_signal(&signals);
            twin.finish(true);
            std::process::exit(Status::Terminated as i32);
        };
        std::thread::Builder::new().name("guard".to_owned()).spawn(end).map_err(failed)?;
        set_parent_process_death_signal(Some(Signal::TERM)).map_err(|errno| failed(errno.into()))?;
        // It may have died before the kernel knew that we want to be told.
        if getppid().map(Pid::as_raw_nonzero).map(|pid| pid.get().unsigned_abs()) != Some(conductor) {
            return Err(Failure::silent(Status::Terminated));
        }
        Ok(guard)
    }

    /// Makes names, unless they are just being taken away for good.
    pub(crate) fn make_names<T>(&self, make: impl FnOnce() -> T) -> T {
        let _held = self.lock();
        make()
    }

    /// Before the process ends: takes the names away if `unlink` says so. Only one thread of a process gets beyond
    /// this, so that none is stopped in the middle of it by the other's exit.
    pub(crate) fn finish(&self, unlink: bool) {
        let held = self.lock();
        if let Some(names) = self.names.as_ref().filter(|_| unlink) {
            names.unlink();
        }
        std::mem::forget(held);
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        self.names_change.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
