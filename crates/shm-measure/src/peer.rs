//! Who has the other end of a link: a copy of this program, or, for queues that can do no more, a thread.

use crate::control::{Control, end_with};
use crate::serve::Serve;
use crate::{Result, cores, transport};
use rustix::process::Pid;
use serde::{Deserialize, Serialize};
use shm_core::{Deadline, pass};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Says to a copy of the program that it is the other process, and what it opens.
const ROLE_VARIABLE: &str = "SHM_MEASURE_ROLE";
/// How long a process has to start, or to hand over its descriptors.
const START: Duration = Duration::from_secs(10);
/// How long it has to leave.
const LEAVE: Duration = Duration::from_millis(300);
/// Between two looks at whether it has left.
const LOOK: Duration = Duration::from_micros(500);

/// What the other process opens.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Opening {
    /// The way, by its name.
    pub transport: String,
    /// Its processor.
    pub processor: Option<usize>,
    /// How many descriptors it is handed.
    pub descriptors: usize,
    /// What else there is to know.
    pub words: Vec<String>,
}

impl Opening {
    /// One of the words.
    ///
    /// # Errors
    /// When there are fewer.
    pub fn word(&self, index: usize) -> Result<&str> {
        Ok(self.words.get(index).ok_or("an incomplete role")?)
    }
}

/// Those who have the other end. They do not outlive this value.
#[derive(Debug)]
pub struct Other {
    control: Control,
    who: Who,
}

#[derive(Debug)]
enum Who {
    Process(Child),
    Thread(Option<JoinHandle<()>>),
}

impl Drop for Other {
    /// There are no more orders: whoever obeyed them leaves in good order, or is killed when it does not.
    fn drop(&mut self) {
        let _ = self.control.socket().shutdown(std::net::Shutdown::Write); // it has gone already
        let Who::Process(child) = &mut self.who else { return };
        let began = Instant::now();
        while matches!(child.try_wait(), Ok(None)) && began.elapsed() < LEAVE {
            std::thread::sleep(LOOK);
        }
    }
}

impl Drop for Who {
    fn drop(&mut self) {
        match self {
            Self::Process(child) => {
                // Both fail only if it has ended.
                let _ = child.kill();
                let _ = child.wait();
            }
            // It ends by itself, having no more orders; if it hangs there is nothing to be done about it.
            Self::Thread(thread) => drop(thread.take()),
        }
    }
}

impl Other {
    /// Starts a copy of this program as the other process, and hands it the descriptors. It calls [`play_with`] or
    /// [`play`], which open what `opening` says.
    ///
    /// # Errors
    /// When it does not start.
    pub fn process(mut opening: Opening, descriptors: &[BorrowedFd<'_>]) -> Result<Self> {
        opening.descriptors = descriptors.len();
        let (ours, theirs) = UnixStream::pair()?;
        // By this path it is the same program even if its file was replaced meanwhile.
        let mut command = Command::new("/proc/self/exe");
        command.env(ROLE_VARIABLE, serde_json::to_string(&opening)?);
        // Out of the terminal's foreground: an interrupt is for this process, whose end ends the others.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        command.stdin(Stdio::from(OwnedFd::from(theirs))).stdout(Stdio::null());
        let who = Who::Process(command.spawn()?);
        // The command has its socket still, and would keep it open.
        drop(command);
        pass::send(&ours, b"d", descriptors, Deadline::after(START))?;
        Ok(Self { control: Control::new(ours), who })
    }

    /// Starts a thread, which opens its end itself, on another processor.
    ///
    /// # Errors
    /// When it does not start.
    pub fn thread<S: Serve>(
        processor: Option<usize>,
        open: impl FnOnce() -> Result<S> + Send + 'static,
    ) -> Result<Self> {
        let (ours, theirs) = UnixStream::pair()?;
        let serve = move || {
            let mut control = Control::new(theirs);
            let pinned = processor.map_or(Ok(()), cores::pin_to);
            let done = pinned.and_then(|()| open()).and_then(|mut end| end.serve(&mut control));
            if let Err(error) = done {
                let _ = control.say(&crate::control::Answer::Failed(error.to_string())); // nobody may listen any more
            }
        };
        let thread = std::thread::Builder::new().name("other end".to_owned()).spawn(serve)?;
        Ok(Self { control: Control::new(ours), who: Who::Thread(Some(thread)) })
    }

    pub(crate) fn control(&mut self) -> &mut Control {
        &mut self.control
    }

    /// The processes to kill when this hangs. Not reaped before this value is dropped.
    pub(crate) fn pids(&self) -> Vec<Pid> {
        match &self.who {
            Who::Process(child) => vec![Pid::from_child(child)],
            Who::Thread(_) => Vec::new(),
        }
    }
}

/// Plays the other process if this one was started for that: opens its end of a [`Transport`](crate::Transport), and
/// does what it is ordered to. `false` if it was not. To be called before anything else in `main`.
///
/// # Errors
/// When a message is wrong, or the first process has died. The first process was told.
pub fn play() -> Result<bool> {
    play_with(|_, _| Ok(None))
}

/// As [`play`], with ways of the program's own: `open` answers `None` to those that it does not know.
///
/// # Errors
/// As [`play`].
pub fn play_with(open: impl FnOnce(&Opening, &[OwnedFd]) -> Result<Option<Box<dyn Serve>>>) -> Result<bool> {
    let Ok(role) = std::env::var(ROLE_VARIABLE) else {
        return Ok(false);
    };
    let opening: Opening = serde_json::from_str(&role)?;
    let socket = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    let mut byte = [0];
    let received = pass::receive(&socket, &mut byte, opening.descriptors, Deadline::after(START))?;
    // Whatever becomes of the first process, this one does not outlive it.
    end_with(&socket, transport::clean)?;
    let mut control = Control::new(socket);
    if let Some(processor) = opening.processor {
        cores::pin_to(processor)?;
    }
    let served = open(&opening, &received.descriptors)
        .and_then(|found| match found {
            Some(end) => Ok(end),
            None => transport::open(&opening, received.descriptors),
        })
        .and_then(|mut end| end.serve(&mut control));
    if let Err(error) = &served {
        let _ = control.say(&crate::control::Answer::Failed(error.to_string())); // told before, or gone
    }
    served.map(|()| true)
}
