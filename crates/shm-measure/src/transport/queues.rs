//! Message queues of POSIX and System V.

#![allow(unsafe_code)] // system calls that rustix does not have

use super::{Ours, Setup, descriptors};
use crate::{Link, Result};
use rustix::io::Errno;
use std::ffi::CString;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

/// The highest byte of the keys of our System V queues, by which a later run finds what a killed one left. A count
/// follows, and the lower half of the process's id.
const KEY: u32 = 0x5B;
/// The only message type.
const TYPE: libc::c_long = 1;
const TYPE_BYTES: usize = size_of::<libc::c_long>();

fn limit(path: &str) -> usize {
    std::fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(8192)
}

/// The longest message of a POSIX queue, for whoever is no administrator.
pub(crate) fn posix_bytes_max() -> usize {
    limit("/proc/sys/fs/mqueue/msgsize_max")
}

/// The longest message of a System V queue.
pub(crate) fn sysv_bytes_max() -> usize {
    limit("/proc/sys/kernel/msgmax")
}

fn last_error(call: &str) -> crate::Failure {
    format!("{call}: {}", std::io::Error::last_os_error()).into()
}

fn interrupted() -> bool {
    Errno::from_io_error(&std::io::Error::last_os_error()) == Some(Errno::INTR)
}

/// Two POSIX queues, which lost their names as soon as they were open.
#[derive(Debug)]
pub(crate) struct Posix {
    there: OwnedFd,
    back: OwnedFd,
    /// A receive needs room for the longest message.
    buffer: Vec<u8>,
}

pub(crate) fn posix(setup: &Setup) -> Result<Ours<Posix>> {
    let bytes = setup.length.max(64);
    let (there, back) = (create_posix("there", bytes)?, create_posix("back", bytes)?);
    let descriptors = vec![there.try_clone()?, back.try_clone()?];
    Ok(Ours { link: Posix { there, back, buffer: vec![0; bytes] }, words: Vec::new(), descriptors })
}

pub(crate) fn open_posix(setup: &Setup, descriptors: Vec<OwnedFd>) -> Result<Posix> {
    let mut descriptors = descriptors.into_iter();
    let back = descriptors::next(&mut descriptors)?;
    let there = descriptors::next(&mut descriptors)?;
    Ok(Posix { there, back, buffer: vec![0; setup.length.max(64)] })
}

fn create_posix(suffix: &str, bytes: usize) -> Result<OwnedFd> {
    let name = CString::new(format!("/shm-measure-{}-{suffix}", std::process::id()))?;
    // SAFETY: all bytes 0 is a value of this plain structure.
    let mut attributes: libc::mq_attr = unsafe { std::mem::zeroed() };
    attributes.mq_maxmsg = libc::c_long::try_from(limit("/proc/sys/fs/mqueue/msg_max"))?;
    attributes.mq_msgsize = libc::c_long::try_from(bytes)?;
    let flags = libc::O_RDWR | libc::O_CREAT | libc::O_EXCL | libc::O_CLOEXEC;
    let mode: libc::mode_t = 0o600;
    // SAFETY: the name ends with 0, and the attributes live as long as the call.
    let queue = unsafe { libc::mq_open(name.as_ptr(), flags, mode, &raw const attributes) };
    if queue < 0 {
        return Err(last_error("mq_open"));
    }
    // SAFETY: the name ends with 0.
    unsafe { libc::mq_unlink(name.as_ptr()) };
    // SAFETY: on Linux the queue's descriptor is a file descriptor, just made, which nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(queue) })
}

impl Link for Posix {
    fn send(&mut self, message: &[u8]) -> Result<()> {
        loop {
            // SAFETY: the message is as long as said, for the length of the call.
            let sent =
                unsafe { libc::mq_send(self.there.as_raw_fd(), message.as_ptr().cast(), message.len(), 0) };
            match sent {
                0 => return Ok(()),
                _ if interrupted() => {}
                _ => return Err(last_error("mq_send")),
            }
        }
    }

    fn receive(&mut self, buffer: &mut [u8]) -> Result<usize> {
        // Into the caller's memory at once, if that is long enough for the kernel.
        let short = buffer.len() < self.buffer.len();
        let target = if short { self.buffer.as_mut_slice() } else { &mut *buffer };
        let length = loop {
            // SAFETY: the target is as long as said, and ours for the length of the call.
            let received = unsafe {
                libc::mq_receive(
                    self.back.as_raw_fd(),
                    target.as_mut_ptr().cast(),
                    target.len(),
                    std::ptr::null_mut(),
                )
            };
            match usize::try_from(received) {
                Ok(length) => break length,
                Err(_) if interrupted() => {}
                Err(_) => return Err(last_error("mq_receive")),
            }
        };
        if short {
            let message = self.buffer.get(..length).unwrap_or_default();
            buffer.get_mut(..length).ok_or("a message longer than the buffer")?.copy_from_slice(message);
        }
        Ok(length)
    }
}

/// Queues that exist because of this process, and end with it.
static MADE: Mutex<Vec<i32>> = Mutex::new(Vec::new());

/// Removes them: for those who end early.
pub(crate) fn remove_all() {
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    for id in made.drain(..) {
        // SAFETY: removing takes no structure.
        unsafe { libc::msgctl(id, libc::IPC_RMID, std::ptr::null_mut()) }; // gone already, at worst
    }
}

/// Removes what a run left whose processes were all killed at once.
fn sweep() {
    let Ok(table) = std::fs::read_to_string("/proc/sysvipc/msg") else { return };
    for line in table.lines().skip(1) {
        // key msqid perms cbytes qnum lspid ...: the key's lower half says whose it is.
        let mut words = line.split_whitespace();
        let (Some(key), Some(id)) = (next_number(&mut words), next_number(&mut words)) else { continue };
        if key.cast_unsigned() >> 24 == KEY && !lives(key & 0xFFFF) {
            // SAFETY: removing takes no structure.
            unsafe { libc::msgctl(id, libc::IPC_RMID, std::ptr::null_mut()) };
        }
    }
}

fn next_number<'a>(words: &mut impl Iterator<Item = &'a str>) -> Option<i32> {
    words.next()?.parse().ok()
}

/// Whether any process's id ends in these 16 bits. Too many are spared rather than too few.
fn lives(low: i32) -> bool {
    let Ok(processes) = std::fs::read_dir("/proc") else { return true };
    let mut pids = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.any(|pid| pid & 0xFFFF == low)
}

/// Two System V queues. They are found by key until they are removed, which whoever made them does in the end.
#[derive(Debug)]
pub(crate) struct Sysv {
    there: i32,
    back: i32,
    /// The type goes before a message.
    buffer: Vec<u8>,
    made: bool,
}

pub(crate) fn sysv() -> Result<Ours<Sysv>> {
    sweep();
    let (there, back) = (create_sysv()?, create_sysv()?);
    let link = Sysv { there, back, buffer: Vec::new(), made: true };
    Ok(Ours { link, words: vec![there.to_string(), back.to_string()], descriptors: Vec::new() })
}

pub(crate) fn open_sysv(back: &str, there: &str) -> Result<Sysv> {
    let (there, back) = (there.parse()?, back.parse()?);
    // Should the process that made them be killed, this one removes them.
    MADE.lock().unwrap_or_else(PoisonError::into_inner).extend([there, back]);
    Ok(Sysv { there, back, buffer: Vec::new(), made: false })
}

fn create_sysv() -> Result<i32> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed); // only told apart
    let key = KEY << 24 | (count & 0xFF) << 16 | std::process::id() & 0xFFFF;
    // SAFETY: no memory is passed.
    let id = unsafe { libc::msgget(key.cast_signed(), libc::IPC_CREAT | libc::IPC_EXCL | 0o600) };
    if id < 0 {
        return Err(last_error("msgget"));
    }
    MADE.lock().unwrap_or_else(PoisonError::into_inner).push(id);
    Ok(id)
}

impl Drop for Sysv {
    fn drop(&mut self) {
        if !self.made {
            return;
        }
        let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
        made.retain(|id| ![self.there, self.back].contains(id));
        for id in [self.there, self.back] {
            // SAFETY: removing takes no structure.
            unsafe { libc::msgctl(id, libc::IPC_RMID, std::ptr::null_mut()) };
        }
    }
}

impl Link for Sysv {
    fn send(&mut self, message: &[u8]) -> Result<()> {
        self.buffer.clear();
        self.buffer.extend(TYPE.to_ne_bytes());
        self.buffer.extend(message);
        loop {
            // SAFETY: the buffer holds a type and as many bytes as said.
            let sent = unsafe { libc::msgsnd(self.there, self.buffer.as_ptr().cast(), message.len(), 0) };
            match sent {
                0 => return Ok(()),
                _ if interrupted() => {}
                _ => return Err(last_error("msgsnd")),
            }
        }
    }

    fn receive(&mut self, buffer: &mut [u8]) -> Result<usize> {
        self.buffer.resize(TYPE_BYTES + buffer.len(), 0);
        let length = loop {
            // SAFETY: the buffer has room for a type and as many bytes as said.
            let received =
                unsafe { libc::msgrcv(self.back, self.buffer.as_mut_ptr().cast(), buffer.len(), TYPE, 0) };
            match usize::try_from(received) {
                Ok(length) => break length,
                Err(_) if interrupted() => {}
                Err(_) => return Err(last_error("msgrcv")),
            }
        };
        let message = self.buffer.get(TYPE_BYTES..TYPE_BYTES + length).unwrap_or_default();
        buffer.get_mut(..length).ok_or("a message longer than the buffer")?.copy_from_slice(message);
        Ok(length)
    }
}
