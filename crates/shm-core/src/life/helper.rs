//! The thread whose death the kernel answers with marks.

#![allow(unsafe_code)] // signal masks

use super::list::List;
use super::window::{Source, Window};
use crate::error::{Error, Result};
use crate::fork::Guard;
use core::mem::MaybeUninit;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

const STACK_BYTES: usize = 128 << 10;
/// What debuggers and `ps -L` show.
const NAME: &str = "shmring-life";

/// The helper of a process. Lives as long as it.
#[derive(Debug)]
pub(super) struct Helper {
    guard: Guard,
    window: Window,
    desk: Arc<Desk>,
}

/// Where orders are put for the helper, one at a time.
#[derive(Debug)]
struct Desk {
    order: Mutex<Order>,
    changed: Condvar,
}

#[derive(Debug)]
enum Order {
    /// Nothing is to be done; what was to be done is done.
    None,
    /// Tell the kernel of the list.
    Begin,
    Link(usize),
    Unlink(usize),
    /// The helper could not begin.
    Refused(Error),
}

impl Helper {
    /// Starts the thread; returns when it has told the kernel of its list.
    pub(super) fn start(guard: Guard) -> Result<Self> {
        let window = Window::reserve()?;
        let list = List::new(&window);
        let desk = Arc::new(Desk { order: Mutex::new(Order::Begin), changed: Condvar::new() });
        let desk_there = desk.clone();
        let helper = std::thread::Builder::new().name(NAME.to_owned()).stack_size(STACK_BYTES);
        // A thread begins with the mask of the one that starts it: so not even its first instruction is
        // interrupted by a handler.
        let mask = block_signals();
        let started = helper.spawn(move || desk_there.serve(list));
        restore_signals(&mask);
        started.map_err(|source| Error::System {
            call: "clone",
            object: "the helper of life words".to_owned(),
            source,
        })?;
        match desk.done() {
            Some(error) => Err(error),
            None => Ok(Self { guard, window, desk }),
        }
    }

    /// Whether this is the copy in a forked child, where there is neither a thread nor a window.
    pub(super) fn is_forked(&self) -> bool {
        self.guard.is_forked()
    }

    /// Puts the word at `offset` of the object on the list; where its entry is.
    pub(super) fn link(&mut self, object: &Source<'_>, offset: u64) -> Result<usize> {
        let entry = self.window.map(object, offset)?;
        self.desk.order(Order::Link(entry));
        Ok(entry)
    }

    pub(super) fn unlink(&mut self, entry: usize) {
        self.desk.order(Order::Unlink(entry));
        self.window.unmap(entry);
    }
}

impl Desk {
    /// What the helper does, for ever.
    fn serve(&self, list: List) {
        let tid = rustix::thread::gettid().as_raw_nonzero().get().cast_unsigned();
        let mut order = self.lock();
        loop {
            match *order {
                Order::Begin => {
                    if let Err(error) = list.follow() {
                        *order = Order::Refused(error);
                        self.changed.notify_all();
                        return;
                    }
                }
                Order::Link(entry) => list.link(entry, tid),
                Order::Unlink(entry) => list.unlink(entry),
                Order::None | Order::Refused(_) => {
                    order = self.changed.wait(order).unwrap_or_else(PoisonError::into_inner);
                    continue;
                }
            }
            *order = Order::None;
            self.changed.notify_all();
        }
    }

    /// Has the helper do something.
    fn order(&self, order: Order) {
        *self.lock() = order;
        self.changed.notify_all();
        self.done();
    }

    /// Waits until the helper has done what it was told, or has refused.
    fn done(&self) -> Option<Error> {
        let is_pending = |order: &mut Order| !matches!(order, Order::None | Order::Refused(_));
        let order = self.changed.wait_while(self.lock(), is_pending);
        match core::mem::replace(&mut *order.unwrap_or_else(PoisonError::into_inner), Order::None) {
            Order::Refused(error) => Some(error),
            _ => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Order> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Blocks all signals in this thread, but for those by which the C library changes the user of all threads: that
/// is why it is asked and not the kernel.
fn block_signals() -> MaybeUninit<libc::sigset_t> {
    let (mut all, mut old) = (MaybeUninit::uninit(), MaybeUninit::uninit());
    // SAFETY: it fills the set in.
    unsafe { libc::sigfillset(all.as_mut_ptr()) };
    // SAFETY: `all` was filled in, and `old` is.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), old.as_mut_ptr()) };
    old
}

fn restore_signals(mask: &MaybeUninit<libc::sigset_t>) {
    // SAFETY: filled in by `block_signals`.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, mask.as_ptr(), core::ptr::null_mut()) };
}
