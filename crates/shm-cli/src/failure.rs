//! How a verb ends when it does not end well: an exit status, and a line that says why.

use std::process::ExitCode;

/// Exit statuses, as documented for scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// Whoever read our output has gone. There is nobody to tell, and nothing went wrong.
    OutputClosed = 0,
    /// Something failed.
    Error = 1,
    /// The command line asks for something that can not be.
    Usage = 2,
    /// A wait took longer than allowed.
    TimedOut = 3,
    /// The other side died, or left without closing.
    PeerEnded = 4,
    /// SIGINT.
    Interrupted = 130,
    /// SIGTERM.
    Terminated = 143,
}

/// Why a verb did not do all it was asked to.
#[derive(Debug)]
pub(crate) struct Failure {
    status: Status,
    message: Option<String>,
}

impl Failure {
    /// A failure with a message for people: one line, without the program's name.
    pub(crate) fn new(status: Status, message: impl Into<String>) -> Self {
        Self { status, message: Some(message.into()) }
    }

    /// An ordinary error.
    pub(crate) fn error(message: impl Into<String>) -> Self {
        Self::new(Status::Error, message)
    }

    /// A failure that needs no words.
    pub(crate) fn silent(status: Status) -> Self {
        Self { status, message: None }
    }

    /// What the program exits with.
    pub(crate) fn status(&self) -> Status {
        self.status
    }

    /// Says the message on standard error, and what the program exits with.
    pub(crate) fn report(&self) -> ExitCode {
        if let Some(message) = &self.message {
            note(message);
        }
        ExitCode::from(self.status as u8)
    }
}

/// Says a line on standard error.
pub(crate) fn note(message: &str) {
    use std::io::Write;
    // Where nobody listens there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "shmring: {}", message.replace('\n', " "));
}

impl From<shm_ring::Error> for Failure {
    fn from(error: shm_ring::Error) -> Self {
        use shm_ring::{End, Error};
        let status = match error {
            Error::TimedOut => Status::TimedOut,
            Error::Disconnected(End::Dropped | End::Died) => Status::PeerEnded,
            _ => Status::Error,
        };
        Self::new(status, error.to_string())
    }
}

impl From<shm_core::Error> for Failure {
    fn from(error: shm_core::Error) -> Self {
        shm_ring::Error::from(error).into()
    }
}
