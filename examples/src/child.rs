//! A forked child, for the kinds of memory that only children get.

#![allow(unsafe_code)] // fork

use crate::Outcome;
use rustix::process::{Pid, Signal, WaitOptions, set_parent_process_death_signal, waitpid};

/// Makes a child that does `work` and ends; waits for that end, which must be a good one. For programs of one thread.
///
/// # Errors
/// When there can be no child, or it failed.
pub fn in_a_child(work: impl FnOnce() -> Outcome, meanwhile: impl FnOnce() -> Outcome) -> Outcome {
    // SAFETY: the examples that call this have one thread, so no lock is held by another one that the child lacks.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // It ends with its parent, however that ends.
        let done =
            set_parent_process_death_signal(Some(Signal::KILL)).map_err(Into::into).and_then(|()| work());
        if let Err(error) = &done {
            eprintln!("the child failed: {error}");
        }
        std::process::exit(i32::from(done.is_err()));
    }
    let pid = Pid::from_raw(child).filter(|_| child > 0).ok_or("there can be no child")?;
    meanwhile()?;
    match waitpid(Some(pid), WaitOptions::empty())? {
        Some((_, status)) if status.exit_status() == Some(0) => Ok(()),
        _ => Err("the child failed".into()),
    }
}
