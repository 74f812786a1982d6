//! What somebody may have put under a name before us (guarantee G11).

use rustix::fs::{CWD, Mode};
use shm_core::{Access, Birth, Error, Name, Object, Options};
use shm_tests::{Peer, Scratch, Test, peer, scratch, tests};
use std::os::unix::net::UnixListener;
use std::path::Path;

pub(crate) fn tests() -> Vec<Test> {
    tests![squatters_are_refused_as_what_they_are, a_squatter_among_temporary_names_does_no_harm]
}

/// Puts something under the name at the path; `beside` is a path for what it needs besides.
type Squat = fn(at: &Path, beside: &Path);

const SQUATTERS: [(&str, Squat); 6] = [
    ("a symbolic link", |at, beside| {
        std::fs::write(beside, [1; 4096]).unwrap();
        std::os::unix::fs::symlink(beside, at).unwrap();
    }),
    ("a symbolic link", |at, beside| std::os::unix::fs::symlink(beside, at).unwrap()), // dangling
    ("a FIFO", |at, _| rustix::fs::mkfifoat(CWD, at, Mode::RUSR | Mode::WUSR).unwrap()),
    ("a directory", |at, _| std::fs::create_dir(at).unwrap()),
    ("a socket", |at, _| drop(UnixListener::bind(at).unwrap())),
    ("a file with several names (hard links)", |at, beside| {
        std::fs::write(beside, [1; 4096]).unwrap();
        std::fs::hard_link(beside, at).unwrap();
    }),
];

fn squatters_are_refused_as_what_they_are() {
    for (found, squat) in SQUATTERS {
        for temporary in ["false", "true"] {
            let scratch = Scratch::private();
            let (name, beside) = (scratch.name("squatted"), scratch.name("beside"));
            squat(&scratch.path(&name), &scratch.path(&beside));
            let listing = scratch.listing();
            let kind = std::fs::symlink_metadata(scratch.path(&name)).unwrap().file_type();
            // In a process of its own: a FIFO can make its opener wait.
            let mut peer = Peer::start("attempt", &[scratch.directory(), name.as_str(), temporary]);
            let path = scratch.path(&name).display().to_string();
            let refused =
                format!("{path} is {found}, not a shared memory object; choose another name or remove it");
            for attempt in ["read", "write", "truncate", "open or create", "unlink"] {
                peer.expect(&format!("{attempt}: NotAnObject, {refused}"));
            }
            let exists = "exists already; open it, remove it, or choose another name";
            peer.expect(&format!("create: AlreadyExists, {path} {exists}"));
            peer.finish();
            assert_eq!(scratch.listing(), listing, "{found}: something was made or removed");
            assert_eq!(std::fs::symlink_metadata(scratch.path(&name)).unwrap().file_type(), kind);
            let target = std::fs::read(scratch.path(&beside)).unwrap_or(vec![1; 4096]);
            assert_eq!(target, [1; 4096], "{found}: written through");
        }
    }
}

/// Role, with the arguments directory, name, and whether to go by a temporary name: tries everything.
pub(crate) fn attempt(arguments: &[String]) {
    let [directory, name, temporary] = arguments else { panic!("{arguments:?}") };
    let options = scratch::options_in(directory).temporary_name(temporary == "true");
    let name = Name::new(name).unwrap();
    let opened = |options: &Options, access| options.open(&name, access);
    tell("read", opened(&options, Access::ReadOnly));
    tell("write", opened(&options, Access::ReadWrite));
    tell("truncate", opened(&options.clone().truncate(true), Access::ReadWrite));
    tell("open or create", options.open_or_create(&name, 4096).map(|(object, _): (Object, Birth)| object));
    tell("unlink", options.unlink(&name));
    tell("create", options.create(&name, 4096));
}

fn tell<T: std::fmt::Debug>(attempt: &str, result: shm_core::Result<T>) {
    let variant = match &result {
        Err(Error::NotAnObject { .. }) => "NotAnObject",
        Err(Error::AlreadyExists { .. }) => "AlreadyExists",
        _ => "something else",
    };
    let text = result.map_or_else(|error| error.to_string(), |value| format!("{value:?}"));
    peer::say(&format!("{attempt}: {variant}, {text}"));
}

/// Sweeping up after dead creators follows no link, waits for nobody, and fails for nothing it meets.
fn a_squatter_among_temporary_names_does_no_harm() {
    for (found, squat) in SQUATTERS {
        let scratch = Scratch::private();
        let (name, beside) = (scratch.name("name"), scratch.name("beside"));
        let temporary = Path::new(scratch.directory()).join(".shmring-birth-1-squatter");
        squat(&temporary, &scratch.path(&beside));
        let options = scratch.options().temporary_name(true);
        options.create(&name, 4096).unwrap();
        options.unlink(&name).unwrap();
        let target = std::fs::read(scratch.path(&beside)).unwrap_or(vec![1; 4096]);
        assert_eq!(target, [1; 4096], "{found}: written through");
        let _ = std::fs::remove_file(&temporary).or_else(|_| std::fs::remove_dir(&temporary));
    }
}
