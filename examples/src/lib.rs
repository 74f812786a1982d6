//! What the examples share: each starts itself a second time, as the other process.
//!
//! Your own programs need none of this: they are two programs already, and agree on a name.

pub mod child;
pub mod letter;

use rustix::process::{Signal, set_parent_process_death_signal};
use shm_core::{Identity, Name, Options};
use std::process::{Child, Command};

/// What an example's functions return.
pub type Outcome = Result<(), Box<dyn std::error::Error>>;

/// What the names of all examples begin with; the process id of the first process follows.
pub const PREFIX: &str = "shm-examples-";

/// The arguments of the second process: its role, and the name of the ring. `None` in the first one.
///
/// # Errors
/// When the kernel refuses to end this process with the first one.
pub fn second_process() -> Result<Option<(String, String)>, Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(role), Some(name)) = (arguments.next(), arguments.next()) else {
        return Ok(None);
    };
    // It ends with the first process, however that ends.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    Ok(Some((role, name)))
}

/// Starts this program again, as `role`, with what it needs to know.
///
/// # Errors
/// When it can not be started.
pub fn start(role: &str, name: &str) -> std::io::Result<SecondProcess> {
    Command::new(std::env::current_exe()?).args([role, name]).spawn().map(SecondProcess)
}

/// A name that nobody else uses. Whatever has it is removed when this is dropped, also after an error.
#[derive(Debug)]
pub struct FreshName(String);

impl FreshName {
    /// A new name.
    ///
    /// # Errors
    /// When the kernel has no random numbers to give.
    pub fn new() -> Result<Self, Box<dyn std::error::Error>> {
        Ok(Self(format!("{PREFIX}{}-{}", std::process::id(), Identity::random()?)))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Starts this program again, as `role` at this name.
    ///
    /// # Errors
    /// When it can not be started.
    pub fn start(&self, role: &str) -> std::io::Result<SecondProcess> {
        start(role, &self.0)
    }
}

impl Drop for FreshName {
    fn drop(&mut self) {
        if let Ok(name) = Name::new(&self.0) {
            let _ = Options::new().unlink(&name); // if nothing has the name, all is well
        }
    }
}

/// The second process. Dropping it kills it, if it still runs.
#[derive(Debug)]
pub struct SecondProcess(Child);

impl SecondProcess {
    /// Waits for its end, which must be a good one.
    ///
    /// # Errors
    /// When it was not.
    pub fn finish(mut self) -> Outcome {
        let status = self.0.wait()?;
        if status.success() { Ok(()) } else { Err(format!("the second process ended with {status}").into()) }
    }

    /// Kills it by SIGKILL, which no process can do anything about.
    ///
    /// # Errors
    /// When it can not be killed.
    pub fn kill(mut self) -> std::io::Result<()> {
        self.0.kill()?;
        self.0.wait().map(drop)
    }
}

impl Drop for SecondProcess {
    fn drop(&mut self) {
        // Both fail only if it has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
