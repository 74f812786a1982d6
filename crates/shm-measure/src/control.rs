//! Orders to the other process, and its answers: lines of JSON on a Unix socket beside the link that is measured.
//! Neither is sent while anything is timed.

use crate::Result;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// What the other process is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum What {
    /// Send each message back.
    RoundTrips,
    /// Receive, and say at the end how many there were.
    Stream,
}

/// An order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) what: What,
    /// Bytes of each message.
    pub(crate) length: usize,
    /// Messages, if that is known; otherwise a last message says that there are no more.
    pub(crate) count: Option<u64>,
}

/// What the other process says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Answer {
    /// It is about to do what it was ordered.
    Ready,
    /// It is done, and has verified so many messages.
    Verified(u64),
    /// It found something wrong, and ends.
    Failed(String),
}

/// One end of the socket.
#[derive(Debug)]
pub struct Control {
    reader: BufReader<UnixStream>,
}

impl Control {
    pub(crate) fn new(socket: UnixStream) -> Self {
        Self { reader: BufReader::new(socket) }
    }

    pub(crate) fn socket(&self) -> &UnixStream {
        self.reader.get_ref()
    }

    pub(crate) fn say(&self, word: &impl Serialize) -> Result<()> {
        let line = serde_json::to_string(word)? + "\n";
        Ok(self.reader.get_ref().write_all(line.as_bytes())?)
    }

    /// The next word; `None` when the other side has gone.
    pub(crate) fn hear<T: DeserializeOwned>(&mut self) -> Result<Option<T>> {
        let mut line = String::new();
        match self.reader.read_line(&mut line) {
            Ok(0) => Ok(None),
            Ok(_) => Ok(Some(serde_json::from_str(&line)?)),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// As [`hear`](Self::hear), and `None` also when nothing was said for so long.
    pub(crate) fn hear_soon<T: DeserializeOwned>(&mut self, patience: Duration) -> Result<Option<T>> {
        self.reader.get_ref().set_read_timeout(Some(patience))?;
        let heard = self.hear();
        self.reader.get_ref().set_read_timeout(None)?;
        match heard {
            Err(error) if error.downcast_ref::<std::io::Error>().is_some() => Ok(None),
            heard => heard,
        }
    }
}

/// In the other process: ends it when the first one is gone, after `clean`. The kernel closes a dead process's socket,
/// however it died.
pub(crate) fn end_with(
    socket: &UnixStream,
    clean: impl FnOnce() + Send + 'static,
) -> Result<std::thread::JoinHandle<()>> {
    let socket = socket.try_clone()?;
    let watch = move || {
        loop {
            // Hanging up is told without being asked for; nothing else is of interest here.
            let mut sockets = [PollFd::from_borrowed_fd(socket.as_fd(), PollFlags::empty())];
            match poll(&mut sockets, None::<&Timespec>) {
                Ok(_) | Err(Errno::INTR) if sockets[0].revents().is_empty() => {}
                _ => break,
            }
        }
        clean();
        std::process::exit(1);
    };
    Ok(std::thread::Builder::new().name("guardian".to_owned()).spawn(watch)?)
}
