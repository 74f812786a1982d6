//! What a test does to its own process, and the C library and the standard library do not offer safely.

#![allow(unsafe_code)] // fork and its kind

use rustix::process::{Pid, WaitOptions, waitpid};

/// How a child is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fork {
    /// By the C library, which runs the fork handlers.
    Handled,
    /// By the bare system call.
    Bare,
}

/// Makes a child that does `work` and ends, with status 1 if it panics. Only for processes in which no other thread
/// holds a lock that the work needs. What it has taken over is the child's to drop, and stays as it is here.
pub fn fork(how: Fork, work: impl FnOnce()) -> Pid {
    let child = match how {
        // SAFETY: the caller's promise.
        Fork::Handled => i64::from(unsafe { libc::fork() }),
        // SAFETY: as above; the child continues on a copy of this stack, as with `fork`.
        Fork::Bare => unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) },
    };
    if child == 0 {
        // It may outlive its parent, but not for ever should it hang.
        let seconds = 2 * crate::FUSE.as_secs();
        // SAFETY: it takes no pointers.
        unsafe { libc::alarm(seconds.try_into().unwrap()) };
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).is_err();
        // SAFETY: the copied process is not to go on.
        unsafe { libc::_exit(i32::from(panicked)) };
    }
    std::mem::forget(work);
    Pid::from_raw(child.try_into().unwrap()).expect("a child")
}

/// Waits for a child to end, and fails if it failed.
pub fn await_child(child: Pid) {
    let (_, status) = waitpid(Some(child), WaitOptions::empty()).unwrap().unwrap();
    assert_eq!(status.exit_status(), Some(0), "{status:?}");
}

/// Stores a byte through a region that does not allow it, as no safe code can. The processor refuses, and the
/// process dies of it (SIGSEGV), without a core dump.
pub fn store_against_the_rules(region: &shm_core::Region) {
    let none = rustix::process::Rlimit { current: Some(0), maximum: Some(0) };
    rustix::process::setrlimit(rustix::process::Resource::Core, none).unwrap();
    let target = region.pointer(shm_core::Span::new(0, 1)).unwrap();
    // SAFETY: none; what becomes of it is the test.
    unsafe { target.write_volatile(1) };
}

/// Becomes an ordinary user, with no groups besides that user's own. Only this thread does; in a role there is no
/// other.
pub fn become_user(user: u32) {
    let (uid, gid) = (rustix::process::Uid::from_raw(user), rustix::process::Gid::from_raw(user));
    rustix::thread::set_thread_groups(&[]).unwrap();
    rustix::thread::set_thread_res_gid(gid, gid, gid).unwrap();
    rustix::thread::set_thread_res_uid(uid, uid, uid).unwrap();
}

/// Has the kernel take a region's pages out of the object behind it (`MADV_REMOVE`), if it lets us.
pub fn remove_pages(region: &shm_core::Region) -> rustix::io::Result<()> {
    let address = core::ptr::with_exposed_provenance_mut(region.address());
    // SAFETY: the region's own pages, to which no references exist; they read as zero afterwards.
    unsafe { rustix::mm::madvise(address, region.bytes(), rustix::mm::Advice::LinuxRemove) }
}

/// Sets the group that this process has already. The C library interrupts every thread for that, and waits for each.
pub fn set_group_of_all_threads() {
    // SAFETY: it takes no pointers.
    let group = unsafe { libc::getgid() };
    // SAFETY: it takes no pointers.
    assert_eq!(unsafe { libc::setgid(group) }, 0);
}
