//! Memory made of loom's atomics.
//!
//! The bytes of a model's region are never accessed as such: each aligned word of eight holds the address of the
//! [`Cell`] that stands for it. So pointers into a region mean what they always mean, and `access` finds the cell.
//! A word of four bytes takes a cell to itself, and is aligned to eight.

#![allow(unsafe_code)] // `access` hands pointers over; here they lead to cells

use super::{mortal, weaken};
use crate::line::{LINE_BYTES, Line};
use crate::sync::{AtomicU32, Ordering};
use bytemuck::NoUninit;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ptr::NonNull;
use loom::cell::UnsafeCell;
use loom::sync::{Condvar, Mutex};
use rustix::io::Errno;
use std::sync::Arc;

const WORD: usize = size_of::<u64>();
const WORDS_IN_LINE: usize = LINE_BYTES / WORD;

/// The memory of one region.
pub(crate) struct Memory {
    lines: Box<[Line<[*const Cell; WORDS_IN_LINE]>]>,
    /// What `lines` points at.
    _cells: Box<[Cell]>,
}

/// What stands for eight bytes.
struct Cell {
    value: loom::sync::atomic::AtomicU64,
    /// Stored to before every access. Loom remembers only the last access to an object, and takes two loads for
    /// independent; so a thread's own load would hide from its later store that another one's load came before, and
    /// loom would not try them the other way round. Between stores it does.
    turn: loom::sync::atomic::AtomicU8,
    /// Accessed together with the bytes where those are payload: loom tells which accesses are not ordered.
    payload: Option<UnsafeCell<()>>,
    sleepers: Arc<Sleepers>,
}

/// All who sleep on words of one region, by the addresses of the words: the kernel's queue.
struct Sleepers {
    asleep: Mutex<Vec<(usize, usize)>>,
    woken: Condvar,
}

impl Memory {
    /// Zeroed memory for words.
    pub(crate) fn new(bytes: usize) -> Self {
        Self::of(bytes, false)
    }

    /// Zeroed memory whose copies are checked for races.
    pub(crate) fn checked(bytes: usize) -> Self {
        Self::of(bytes, true)
    }

    fn of(bytes: usize, checked: bool) -> Self {
        let sleepers = Arc::new(Sleepers { asleep: Mutex::new(Vec::new()), woken: Condvar::new() });
        let cell = |_| Cell {
            value: loom::sync::atomic::AtomicU64::new(0),
            turn: loom::sync::atomic::AtomicU8::new(0),
            payload: checked.then(|| UnsafeCell::new(())),
            sleepers: sleepers.clone(),
        };
        let cells: Box<[Cell]> = (0..bytes.div_ceil(WORD)).map(cell).collect();
        let mut lines = vec![Line([core::ptr::null(); WORDS_IN_LINE]); bytes.div_ceil(LINE_BYTES)];
        let places = lines.iter_mut().flat_map(|line| &mut line.0);
        places.zip(&cells).for_each(|(place, cell)| *place = core::ptr::from_ref(cell));
        Self { lines: lines.into(), _cells: cells }
    }

    /// Where the memory begins.
    pub(crate) fn base(&self) -> *mut u8 {
        self.lines.as_ptr().cast_mut().cast()
    }
}

/// A word as `access` uses it.
pub(crate) struct Word<'a, W> {
    cell: &'a Cell,
    _integer: PhantomData<W>,
}

/// The cell behind an address in a model's region.
///
/// # Safety
/// The address lies in a region that lives for `'a`.
unsafe fn cell<'a>(address: *const u8) -> &'a Cell {
    let place = address.map_addr(|address| address & !(WORD - 1)).cast::<*const Cell>();
    // SAFETY: the caller's promise: an aligned word of `Memory::lines`, which nobody writes.
    let cell = unsafe { place.read() };
    assert!(!cell.is_null(), "not the memory of a model");
    // SAFETY: `Memory` filled the word with the address of a cell that lives as long as itself.
    unsafe { &*cell }
}

/// The word at an address.
///
/// # Safety
/// The address lies in a region that lives for `'a`.
pub(crate) unsafe fn word<'a, C, W>(address: NonNull<C>) -> Word<'a, W> {
    assert!(address.addr().get().is_multiple_of(WORD), "a word of four bytes that shares its eight");
    // SAFETY: the caller's promise.
    Word { cell: unsafe { cell(address.as_ptr().cast()) }, _integer: PhantomData }
}

impl<W: TryFrom<u64> + Into<u64>> Word<'_, W> {
    fn narrow(value: u64) -> W {
        W::try_from(value).unwrap_or_else(|_| unreachable!("a word beyond its size"))
    }

    #[track_caller]
    pub(crate) fn load(&self, ordering: Ordering) -> W {
        let ordering = weaken::asked(ordering);
        self.cell.take_turn();
        Self::narrow(self.cell.value.load(ordering)) // the caller's
    }

    #[track_caller]
    pub(crate) fn store(&self, value: W, ordering: Ordering) {
        let ordering = weaken::asked(ordering);
        mortal::step();
        self.cell.take_turn();
        self.cell.write_payload();
        self.cell.value.store(value.into(), ordering); // the caller's
    }

    #[track_caller]
    pub(crate) fn fetch_add(&self, value: W, ordering: Ordering) -> W {
        let ordering = weaken::asked(ordering);
        mortal::step();
        self.cell.take_turn();
        Self::narrow(self.cell.value.fetch_add(value.into(), ordering)) // the caller's
    }

    #[track_caller]
    pub(crate) fn fetch_or(&self, value: W, ordering: Ordering) -> W {
        let ordering = weaken::asked(ordering);
        mortal::step();
        self.cell.take_turn();
        Self::narrow(self.cell.value.fetch_or(value.into(), ordering)) // the caller's
    }

    #[track_caller]
    pub(crate) fn compare_exchange(
        &self,
        current: W,
        new: W,
        success: Ordering,
        failure: Ordering,
    ) -> Result<W, W> {
        let success = weaken::asked(success);
        mortal::step();
        self.cell.take_turn();
        let exchanged = self.cell.value.compare_exchange(current.into(), new.into(), success, failure);
        exchanged.map(Self::narrow).map_err(Self::narrow)
    }
}

impl Cell {
    fn take_turn(&self) {
        self.turn.store(0, Ordering::Relaxed); // see `turn`
    }

    fn write_payload(&self) {
        if let Some(payload) = &self.payload {
            payload.with_mut(|_| ());
        }
    }

    fn read_payload(&self) {
        if let Some(payload) = &self.payload {
            payload.with(|_| ());
        }
    }
}

/// Copies `length` shared bytes at `source` to private memory at `target`.
///
/// # Safety
/// As in `copy`.
pub(crate) unsafe fn from_shared(source: *const u8, target: *mut u8, length: usize) {
    let mut done = 0;
    while done < length {
        let from = source.wrapping_add(done);
        let (skew, run) = run(from, length - done);
        // SAFETY: within what the caller promised.
        let cell = unsafe { cell(from) };
        cell.take_turn();
        cell.read_payload();
        let bytes = cell.value.load(Ordering::Relaxed).to_ne_bytes(); // payload
        for (index, byte) in bytes.iter().skip(skew).take(run).enumerate() {
            // SAFETY: `done + index < length`, within what the caller promised.
            unsafe { target.wrapping_add(done + index).write(*byte) };
        }
        done += run;
    }
}

/// Copies a value's bytes out of shared memory.
///
/// # Safety
/// As in `copy`.
pub(crate) unsafe fn value_from_shared<T>(source: *const u8) -> MaybeUninit<T> {
    let mut value = MaybeUninit::<T>::uninit();
    // SAFETY: the caller's promise; `value` has room for the bytes.
    unsafe { from_shared(source, value.as_mut_ptr().cast(), size_of::<T>()) };
    value
}

/// Copies a value's bytes into shared memory.
///
/// # Safety
/// As in `copy`.
pub(crate) unsafe fn value_to_shared<T: NoUninit>(value: &T, target: *mut u8) {
    let bytes = bytemuck::bytes_of(value);
    // SAFETY: the caller's promise; `bytes` is private memory that nobody writes meanwhile, since it is borrowed.
    unsafe { to_shared(bytes.as_ptr(), target, bytes.len()) };
}

/// Copies `length` private bytes at `source` to shared memory at `target`.
///
/// # Safety
/// As in `copy`.
pub(crate) unsafe fn to_shared(source: *const u8, target: *mut u8, length: usize) {
    let mut done = 0;
    while done < length {
        let to = target.wrapping_add(done);
        let (skew, run) = run(to, length - done);
        // SAFETY: within what the caller promised.
        let cell = unsafe { cell(to) };
        mortal::step();
        cell.take_turn();
        cell.write_payload();
        let before = if run < WORD { cell.value.load(Ordering::Relaxed) } else { 0 }; // payload
        let mut bytes = before.to_ne_bytes();
        for (index, byte) in bytes.iter_mut().skip(skew).take(run).enumerate() {
            // SAFETY: `done + index < length`, within what the caller promised.
            *byte = unsafe { source.wrapping_add(done + index).read() };
        }
        cell.value.store(u64::from_ne_bytes(bytes), Ordering::Relaxed); // payload
        done += run;
    }
}

/// How far into its word an address lies, and how many of `rest` bytes lie in that word.
fn run(address: *const u8, rest: usize) -> (usize, usize) {
    let skew = address.addr() % WORD;
    (skew, rest.min(WORD - skew))
}

/// Sleeps while the word holds `expected`. There is no deadline: a wake-up that is lost is a deadlock.
///
/// # Safety
/// `address` is a word of a region that lives.
pub(crate) unsafe fn futex_wait(address: NonNull<AtomicU32>, expected: u32) -> Result<(), Errno> {
    // SAFETY: the caller's promise.
    let cell = unsafe { cell(address.as_ptr().cast()) };
    let mut asleep = cell.sleepers.asleep.lock().unwrap_or_else(|_| unreachable!("poisoned"));
    let found = cell.value.load(Ordering::Relaxed); // under the lock of the kernel's queue
    if found != u64::from(expected) {
        return Err(Errno::AGAIN);
    }
    let me = (address.addr().get(), mortal::me());
    asleep.push(me);
    while asleep.contains(&me) {
        asleep = cell.sleepers.woken.wait(asleep).unwrap_or_else(|_| unreachable!("poisoned"));
    }
    Ok(())
}

/// Wakes all who sleep on the word.
///
/// # Safety
/// `address` is a word of a region that lives.
pub(crate) unsafe fn futex_wake_all(address: NonNull<AtomicU32>) -> usize {
    // SAFETY: the caller's promise.
    let cell = unsafe { cell(address.as_ptr().cast()) };
    let mut asleep = cell.sleepers.asleep.lock().unwrap_or_else(|_| unreachable!("poisoned"));
    let before = asleep.len();
    asleep.retain(|(word, _)| *word != address.addr().get());
    if asleep.len() < before {
        cell.sleepers.woken.notify_all();
    }
    before - asleep.len()
}
