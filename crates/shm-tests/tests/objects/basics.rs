//! What each operation does, seen from one process and through the file system.

use crate::page;
use rustix::fs::Mode;
use shm_core::system::page_bytes;
use shm_core::{Access, Birth, Error, Name, sync::Ordering};
use shm_tests::{Peer, Scratch, Test, peer, scratch, tests};
use std::os::unix::fs::{MetadataExt, PermissionsExt};

pub(crate) fn tests() -> Vec<Test> {
    tests![
        an_object_is_where_shm_open_looks,
        create_is_exclusive,
        a_failed_initialiser_leaves_nothing,
        umask_does_not_cut_the_mode,
        a_reader_can_not_write,
        stat_says_what_the_kernel_says,
        chmod_changes_the_permission_bits,
        truncation_gives_zeros,
        a_removed_object_stays_mapped,
        a_mapping_outlives_its_descriptor,
        parts_are_mapped_on_page_borders,
        holes_are_refused,
    ]
}

fn an_object_is_where_shm_open_looks() {
    let scratch = Scratch::posix();
    let name = scratch.name("place");
    let slashed = Name::new(&format!("/{name}")).unwrap();
    let options = shm_core::Options::new();
    let object = options.create(&slashed, 5000).unwrap();
    assert_eq!(object.path(), format!("/dev/shm/{name}"));
    object.map(Access::ReadWrite).unwrap().copy_in(4990, b"ten bytes!").unwrap();
    let file = std::fs::read(object.path()).unwrap();
    assert_eq!((file.len(), &file[4990..]), (5000, b"ten bytes!".as_slice()));
    let other = options.open(&name, Access::ReadOnly).unwrap();
    assert_eq!(other.stat().unwrap().inode, object.stat().unwrap().inode);
    assert!(options.location().names().unwrap().contains(&name));
    options.unlink(&slashed).unwrap();
    assert_eq!(scratch.listing(), [""; 0]);
}

fn create_is_exclusive() {
    for temporary in [false, true] {
        let scratch = Scratch::private();
        let name = scratch.name("exclusive");
        let options = scratch.options().temporary_name(temporary);
        let first = options.create(&name, page()).unwrap();
        first.map(Access::ReadWrite).unwrap().copy_in(0, b"first").unwrap();
        let error = options.create(&name, page()).unwrap_err();
        assert!(matches!(error, Error::AlreadyExists { .. }), "{error}");
        // Lost at the last moment: the name appears while the second object is being filled.
        options.unlink(&name).unwrap();
        let error =
            options.create_with(&name, page(), |_| options.create(&name, page()).map(drop)).unwrap_err();
        assert!(matches!(error, Error::AlreadyExists { .. }), "{error}");
        assert_eq!(scratch.listing(), ["exclusive"]);
        let (_, birth) = options.open_or_create(&name, 2 * page()).unwrap();
        assert_eq!(birth, Birth::Opened);
        let error = options.create(&scratch.name("empty"), 0).unwrap_err();
        assert!(matches!(error, Error::ZeroLength { .. }), "{error}");
    }
}

fn a_failed_initialiser_leaves_nothing() {
    for temporary in [false, true] {
        let scratch = Scratch::private();
        let options = scratch.options().temporary_name(temporary);
        let error = options.create_with(&scratch.name("failed"), page(), |region| {
            assert!(!scratch.listing().contains(&"failed".to_owned()), "visible before it is complete");
            region.copy_in(region.bytes(), b"outside")
        });
        assert!(matches!(error.unwrap_err(), Error::OutOfBounds { .. }));
        assert_eq!(scratch.listing(), [""; 0]);
    }
}

fn umask_does_not_cut_the_mode() {
    for temporary in [false, true] {
        let scratch = Scratch::private();
        let (asked, usual) = (scratch.name("asked"), scratch.name("usual"));
        let arguments = [scratch.directory(), asked.as_str(), usual.as_str(), &temporary.to_string()];
        Peer::start("create under umask", &arguments).finish();
        let mode = |name| std::fs::metadata(scratch.path(name)).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode(&asked), 0o666);
        assert_eq!(mode(&usual), 0o600);
    }
}

/// Role, with the arguments directory, two names, and whether to go by a temporary name.
pub(crate) fn create_under_umask(arguments: &[String]) {
    let [directory, asked, usual, temporary] = arguments else { panic!("{arguments:?}") };
    rustix::process::umask(Mode::from_raw_mode(0o077));
    let options = scratch::options_in(directory).temporary_name(temporary == "true");
    options.clone().mode(0o666).create(&Name::new(asked).unwrap(), page()).unwrap();
    options.create(&Name::new(usual).unwrap(), page()).unwrap();
    peer::stay();
}

fn a_reader_can_not_write() {
    let scratch = Scratch::private();
    let name = scratch.name("read-only");
    scratch.options().create(&name, page()).unwrap();
    let object = scratch.options().open(&name, Access::ReadOnly).unwrap();
    let region = object.map(Access::ReadOnly).unwrap();
    assert!(matches!(region.copy_in(0, b"x").unwrap_err(), Error::ReadOnly));
    assert!(matches!(region.word::<u64>(0).unwrap_err(), Error::ReadOnly));
    assert!(matches!(region.write_value(0, &1_u8).unwrap_err(), Error::ReadOnly));
    let error = object.map(Access::ReadWrite).unwrap_err();
    assert!(error.to_string().starts_with("mmap failed"), "{error}");
    // Not only this library refuses: the pages themselves are mapped without the right to write, also
    // where the descriptor has it.
    let writable = scratch.options().open(&name, Access::ReadWrite).unwrap();
    for region in [region, writable.map(Access::ReadOnly).unwrap()] {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let address = format!("{:x}-", region.address());
        let mapped = maps.lines().find(|line| line.starts_with(&address)).unwrap();
        assert!(mapped.contains(" r--s "), "{mapped}");
    }
}

fn stat_says_what_the_kernel_says() {
    let scratch = Scratch::private();
    let name = scratch.name("stat");
    let object = scratch.options().mode(0o640).create(&name, 5000).unwrap();
    let (stat, file) = (object.stat().unwrap(), std::fs::metadata(scratch.path(&name)).unwrap());
    assert_eq!(
        (stat.bytes, stat.allocated_bytes, stat.mode, stat.links),
        (5000, 5000_u64.next_multiple_of(page()), 0o640, 1)
    );
    assert_eq!((stat.bytes, stat.allocated_bytes), (file.len(), file.blocks() * 512));
    assert_eq!((stat.owner_uid, stat.group_gid), (file.uid(), file.gid()));
    assert_eq!(stat.inode, (file.dev(), file.ino()));
    assert_eq!((stat.accessed, stat.modified), (file.accessed().unwrap(), file.modified().unwrap()));
    let changed = stat.changed.duration_since(std::time::UNIX_EPOCH).unwrap();
    assert_eq!(
        (changed.as_secs().cast_signed(), i64::from(changed.subsec_nanos())),
        (file.ctime(), file.ctime_nsec())
    );
}

fn chmod_changes_the_permission_bits() {
    let scratch = Scratch::private();
    let name = scratch.name("chmod");
    let object = scratch.options().create(&name, page()).unwrap();
    for mode in [0o644, 0o400, 0o666] {
        object.chmod(mode).unwrap();
        assert_eq!(object.stat().unwrap().mode, mode);
    }
    // Nothing but permission bits gets through.
    object.chmod(0o4755).unwrap();
    assert_eq!(object.stat().unwrap().mode, 0o755);
}

fn truncation_gives_zeros() {
    let scratch = Scratch::private();
    let name = scratch.name("truncate");
    let options = scratch.options().truncate(true);
    let object = scratch.options().create(&name, 2 * page()).unwrap();
    object.map(Access::ReadWrite).unwrap().copy_in(0, &vec![7; 2 * page_bytes()]).unwrap();
    drop(object); // whoever holds it attends it
    let emptied = options.open(&name, Access::ReadWrite).unwrap();
    assert_eq!(emptied.stat().unwrap().bytes, 0);
    assert!(matches!(emptied.map(Access::ReadOnly).unwrap_err(), Error::ZeroLength { .. }));
    drop(emptied); // whoever changed the size attends it
    let (object, birth) = options.open_or_create(&name, 3 * page()).unwrap();
    assert_eq!((birth, object.stat().unwrap().bytes), (Birth::Opened, 3 * page()));
    let mut bytes = vec![9; 3 * page_bytes()];
    object.map(Access::ReadOnly).unwrap().copy_out(0, &mut bytes).unwrap();
    assert!(bytes.iter().all(|&byte| byte == 0));
}

fn a_removed_object_stays_mapped() {
    let scratch = Scratch::private();
    let name = scratch.name("removed");
    let object = scratch.options().create(&name, page()).unwrap();
    let peer = scratch.options().open(&name, Access::ReadOnly).unwrap();
    let (mine, theirs) = (object.map(Access::ReadWrite).unwrap(), peer.map(Access::ReadOnly).unwrap());
    scratch.options().unlink(&name).unwrap();
    assert_eq!(scratch.listing(), [""; 0]);
    mine.copy_in(10, b"after").unwrap();
    assert_eq!(theirs.read_value::<[u8; 5]>(10).unwrap(), *b"after");
    assert!(matches!(peer.still_named().unwrap_err(), Error::Detached { .. }));
    assert!(matches!(peer.attend().unwrap_err(), Error::Detached { .. }));
    assert_eq!(peer.stat().unwrap().links, 0);
    assert!(matches!(scratch.options().unlink(&name).unwrap_err(), Error::NotFound { .. }));
    // The name's next object is another one, with bytes of its own.
    let next = scratch.options().create(&name, page()).unwrap();
    assert_ne!(next.stat().unwrap().inode, peer.stat().unwrap().inode);
    assert_eq!(next.map(Access::ReadOnly).unwrap().read_value::<[u8; 5]>(10).unwrap(), [0; 5]);
    assert!(matches!(peer.still_named().unwrap_err(), Error::Detached { .. }));
}

fn a_mapping_outlives_its_descriptor() {
    let scratch = Scratch::private();
    let name = scratch.name("descriptor");
    let object = scratch.options().create(&name, page()).unwrap();
    let region = object.map(Access::ReadWrite).unwrap();
    let word = region.word::<u64>(8).unwrap();
    drop(object);
    drop(region);
    word.store(42, Ordering::Relaxed); // test
    let again = scratch.options().open(&name, Access::ReadOnly).unwrap().map(Access::ReadOnly).unwrap();
    assert_eq!(again.read_value::<u64>(8).unwrap(), 42);
}

fn parts_are_mapped_on_page_borders() {
    let scratch = Scratch::private();
    let object = scratch.options().create(&scratch.name("parts"), 3 * page()).unwrap();
    let whole = object.map(Access::ReadWrite).unwrap();
    whole.copy_in(page_bytes() + 99, b"x").unwrap();
    let part = object.map_part(Access::ReadOnly, page(), 100).unwrap();
    assert_eq!((part.bytes(), part.read_value::<u8>(99).unwrap()), (100, b'x'));
    for offset in [1, 99, page() - 1, page() + 8] {
        let error = object.map_part(Access::ReadOnly, offset, 1).unwrap_err();
        assert!(matches!(error, Error::Unaligned { alignment, .. } if alignment == page()), "{error}");
    }
    for (offset, bytes) in
        [(0, 3 * page() + 1), (2 * page(), page() + 1), (3 * page(), 1), (page(), u64::MAX)]
    {
        let error = object.map_part(Access::ReadOnly, offset, bytes).unwrap_err();
        assert!(matches!(error, Error::OutOfBounds { .. }), "{error}");
    }
    let error = object.map_part(Access::ReadOnly, page(), 0).unwrap_err();
    assert!(matches!(error, Error::ZeroLength { .. }), "{error}");
}

/// A touch of a hole can be a signal, when the file system is full: refused while it is still an error.
fn holes_are_refused() {
    let scratch = Scratch::private();
    let name = scratch.name("holes");
    let file = std::fs::File::create_new(scratch.path(&name)).unwrap();
    let object = scratch.options().open(&name, Access::ReadWrite).unwrap();
    assert!(matches!(object.map(Access::ReadOnly).unwrap_err(), Error::ZeroLength { .. }));
    file.set_len(2 * page()).unwrap();
    for (offset, bytes) in [(0, 2 * page()), (page(), page())] {
        let error = object.map_part(Access::ReadWrite, offset, bytes).unwrap_err();
        assert!(
            matches!(error, Error::Truncated { expected_bytes, found_bytes: 0, .. } if expected_bytes == 2 * page()),
            "{error}"
        );
    }
}
