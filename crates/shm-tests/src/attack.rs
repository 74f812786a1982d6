//! What whoever holds a descriptor of shared memory may try with it.

use rustix::fs::{
    CWD, FallocateFlags, Mode, OFlags, SealFlags, fallocate, fcntl_add_seals, ftruncate, openat,
};
use shm_core::{Access, MapOptions, Object, Protection, Region};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;

const PAGE: u64 = 4096;

/// Tried on a descriptor; `Err` with the reason when it was refused.
pub type Attack = fn(OwnedFd) -> Result<(), String>;

/// What they do, and whether an object without seals is a victim of it.
pub const ATTACKS: [(&str, Attack, bool); 13] = [
    ("map it for writing", map_for_writing, true),
    ("open it anew and map that for writing", open_anew, true),
    ("write", |file| told(rustix::io::pwrite(&file, b"attack", 0).map(drop)), true),
    ("splice", splice, true),
    ("shrink", |file| told(ftruncate(&file, 100)), true),
    ("truncate", |file| told(ftruncate(&file, 0)), true),
    ("grow", |file| told(ftruncate(&file, bytes(&file) + PAGE)), true),
    ("grow by allocating", |file| told(fallocate(&file, FallocateFlags::empty(), bytes(&file), PAGE)), true),
    ("punch a hole", punch_a_hole, true),
    ("remove pages of a mapping", remove_pages, true),
    ("make a mapping writable", make_writable, true),
    ("write a mapping by way of /proc", write_by_proc, false),
    ("add a seal", |file| told(fcntl_add_seals(&file, SealFlags::SHRINK)), true),
];

fn bytes(file: &OwnedFd) -> u64 {
    u64::try_from(rustix::fs::fstat(file).unwrap().st_size).unwrap()
}

fn told<T, E: ToString>(result: Result<T, E>) -> Result<T, String> {
    result.map_err(|error| error.to_string())
}

/// An object of a descriptor that came.
pub fn adopt(file: OwnedFd) -> Object {
    Object::from_descriptor(file, "what was sent").unwrap()
}

fn map_for_writing(file: OwnedFd) -> Result<(), String> {
    told(told(adopt(file).map(Access::ReadWrite))?.copy_in(0, b"attack"))
}

fn open_anew(file: OwnedFd) -> Result<(), String> {
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    map_for_writing(told(openat(CWD, path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()))?)
}

fn splice(file: OwnedFd) -> Result<(), String> {
    use rustix::pipe::{SpliceFlags, splice};
    let (reader, writer) = std::io::pipe().unwrap();
    rustix::io::write(&writer, b"attack").unwrap();
    told(splice(&reader, None, &file, Some(&mut 0), 6, SpliceFlags::empty()).map(drop))
}

fn punch_a_hole(file: OwnedFd) -> Result<(), String> {
    told(fallocate(&file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, 0, bytes(&file)))
}

fn remove_pages(file: OwnedFd) -> Result<(), String> {
    let object = adopt(file);
    let region = object.map(Access::ReadWrite).or_else(|_| object.map(Access::ReadOnly)).unwrap();
    told(crate::process::remove_pages(&region))
}

/// A mapping with all rights of the descriptor, whatever it may use of them now.
fn idle_mapping(file: OwnedFd) -> Region {
    adopt(file).map_with(&MapOptions::new(Access::Nothing)).unwrap()
}

fn make_writable(file: OwnedFd) -> Result<(), String> {
    let mut region = idle_mapping(file);
    told(region.protect(Protection::ReadWrite))?;
    told(region.copy_in(0, b"attack"))
}

fn write_by_proc(file: OwnedFd) -> Result<(), String> {
    let mut region = idle_mapping(file);
    told(region.protect(Protection::Read))?;
    let memory = std::fs::File::options().write(true).open("/proc/self/mem").unwrap();
    told(memory.write_all_at(b"attack", region.address() as u64))
}
