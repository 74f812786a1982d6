//! No case takes for ever: when its time is over, the other process is killed; if that does not end it, this one ends.

use crate::{Failure, Result};
use rustix::process::{Pid, Signal, kill_process};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long this process has, after the other one was killed, to notice.
const GRACE: Duration = Duration::from_secs(3);

static GIVEN_UP: AtomicBool = AtomicBool::new(false);

/// Whether a case took too long: those who spin on memory that only the other process writes stop at this.
#[inline]
pub fn given_up() -> bool {
    GIVEN_UP.load(Ordering::Relaxed) // a flag: nothing else is read because of it
}

/// Watches one case, until it is dropped.
#[derive(Debug)]
pub struct Watchdog {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<bool>>,
}

impl Watchdog {
    /// From now on there are so long until `others` are killed. Without any, this process ends at once then, with a
    /// line that says what took too long.
    ///
    /// # Errors
    /// When there can be no more threads.
    pub fn watch(what: String, others: Vec<Pid>, limit: Duration) -> Result<Self> {
        GIVEN_UP.store(false, Ordering::Relaxed); // as in `given_up`
        let (stop, stopped) = channel::<()>();
        let watch = move || {
            if stopped.recv_timeout(limit) != Err(RecvTimeoutError::Timeout) {
                return false;
            }
            for &other in &others {
                let _ = kill_process(other, Signal::KILL); // not reaped before this thread has ended
            }
            GIVEN_UP.store(true, Ordering::Relaxed); // as in `given_up`
            if others.is_empty() || stopped.recv_timeout(GRACE) == Err(RecvTimeoutError::Timeout) {
                eprintln!("{what}: not done after {limit:?}; given up");
                crate::transport::clean();
                std::process::exit(1);
            }
            true
        };
        let thread = std::thread::Builder::new().name("watchdog".to_owned()).spawn(watch)?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }

    /// Ends the watch; whether it had to give the case up.
    pub fn gave_up(mut self) -> bool {
        self.end()
    }

    fn end(&mut self) -> bool {
        self.stop.take();
        self.thread.take().is_some_and(|thread| thread.join().unwrap_or(false))
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.end();
    }
}

/// What is said of a case that took too long.
pub(crate) fn hung(what: &str, limit: Duration) -> Failure {
    format!("{what}: not done after {limit:?}: killed, whether it hung or was slow").into()
}
