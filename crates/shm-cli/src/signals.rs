//! SIGINT and SIGTERM ask a verb to stop. It does so at its next opportunity, in good order.

use crate::failure::{Failure, Status};
use signal_hook::consts::{SIGINT, SIGTERM};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The exit statuses that say which signal it was.
const STATUSES: [(i32, Status); 2] = [(SIGINT, Status::Interrupted), (SIGTERM, Status::Terminated)];

/// Notes the signals that ask to stop, from [`watch`](Self::watch) on.
#[derive(Debug)]
pub(crate) struct Signals {
    received: Arc<AtomicUsize>,
    pipe: UnixStream,
}

impl Signals {
    /// From now on a signal does not end the process but is noted here.
    pub(crate) fn watch() -> Result<Self, Failure> {
        let failed = |error: std::io::Error| Failure::error(format!("can not handle signals: {error}"));
        let received = Arc::new(AtomicUsize::new(0));
        let (pipe, writer) = UnixStream::pair().map_err(failed)?;
        for (signal, status) in STATUSES {
            // First the note, then the wake-up: whoever is woken finds the note.
            signal_hook::flag::register_usize(signal, Arc::clone(&received), status as usize)
                .map_err(failed)?;
            let writer = writer.try_clone().map_err(failed)?;
            signal_hook::low_level::pipe::register(signal, writer).map_err(failed)?;
        }
        Ok(Self { received, pipe })
    }

    /// The signal that came, as a way to end.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        let received = self.received.load(Ordering::Relaxed); // a flag: nothing else is read because of it
        match STATUSES.into_iter().find(|(_, status)| *status as usize == received) {
            Some((_, status)) => Err(Failure::silent(status)),
            None => Ok(()),
        }
    }

    /// Becomes readable when a signal came, and stays so.
    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}
