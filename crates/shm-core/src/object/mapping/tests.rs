//! What the kernel says of a mapping, as `/proc/self/smaps` shows it, beside what the calls return.

use super::*;
use crate::system::page_bytes;
use crate::{Advice, Flush, Memfd, Protection, Span, sync::Ordering};

fn object(bytes: usize) -> Object {
    Memfd::new("mapped").create(bytes as u64).unwrap()
}

fn filled(bytes: usize) -> Object {
    let object = object(bytes);
    object.map(Access::ReadWrite).unwrap().copy_in(0, &vec![1; bytes]).unwrap();
    object
}

/// The lines of `smaps` of the mapping that begins with the region.
fn smaps(region: &Region) -> Vec<String> {
    let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
    let start = format!("{:x}-", region.address());
    let mut lines = maps.lines().skip_while(|line| !line.starts_with(&start)).map(str::to_owned);
    let head = lines.next().expect("it is mapped");
    let rest = lines.take_while(|line| line.split(' ').next().is_some_and(|word| word.ends_with(':')));
    [head].into_iter().chain(rest).collect()
}

fn has_flag(region: &Region, flag: &str) -> bool {
    let lines = smaps(region);
    let flags = lines.iter().find(|line| line.starts_with("VmFlags:")).unwrap();
    flags.split(' ').any(|set| set == flag)
}

fn kib(region: &Region, field: &str) -> usize {
    let lines = smaps(region);
    let line = lines.iter().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn private_changes_stay_here() {
    let object = filled(3 * page_bytes());
    let (private, shared) = (object.map_private().unwrap(), object.map(Access::ReadWrite).unwrap());
    private.copy_in(page_bytes(), b"mine").unwrap();
    assert_eq!(private.read_value::<[u8; 4]>(page_bytes()).unwrap(), *b"mine");
    assert_eq!(shared.read_value::<[u8; 4]>(page_bytes()).unwrap(), [1; 4]);
    let mut bytes = [0; 4];
    object.read_at(page_bytes() as u64, &mut bytes).unwrap();
    assert_eq!(bytes, [1; 4]);
    // What was written is a copy; so is all, where it was populated.
    shared.copy_in(0, &vec![2; 3 * page_bytes()]).unwrap();
    assert_eq!(private.read_value::<[u8; 6]>(page_bytes()).unwrap(), *b"mine\x01\x01");
    let options = MapOptions::new(Access::ReadWrite).private(true).populate(true);
    let picture = object.map_with(&options).unwrap();
    shared.copy_in(0, &vec![3; 3 * page_bytes()]).unwrap();
    assert!((0..3 * page_bytes()).all(|offset| picture.read_value::<u8>(offset).unwrap() == 2));
    assert!(matches!(
        private.advise(Span::new(0, page_bytes()), Advice::DontNeed).unwrap_err(),
        Error::Unsupported { .. }
    ));
}

#[test]
fn what_may_only_be_read_can_be_mapped_privately() {
    let object = filled(page_bytes());
    crate::seal::apply(&object, crate::Seals::FROZEN, "frozen").unwrap();
    let private = object.map_private().unwrap();
    private.copy_in(0, b"x").unwrap();
    assert_eq!(object.map(Access::ReadOnly).unwrap().read_value::<u8>(0).unwrap(), 1);
}

#[test]
fn populated_pages_are_there() {
    let object = object(64 * page_bytes());
    let lazy = object.map(Access::ReadWrite).unwrap();
    assert_eq!(kib(&lazy, "Rss:"), 0);
    for access in [Access::ReadOnly, Access::ReadWrite] {
        let region = object.map_with(&MapOptions::new(access).populate(true)).unwrap();
        assert_eq!(kib(&region, "Rss:"), 64 * page_bytes() / 1024);
    }
}

#[test]
fn locks_and_advice_reach_the_kernel() {
    let object = object(4 * page_bytes());
    let base = MapOptions::new(Access::ReadWrite);
    let locked = object.map_with(&base.lock(true)).unwrap();
    assert!(has_flag(&locked, "lo"));
    locked.unlock().unwrap();
    assert!(!has_flag(&locked, "lo"));
    locked.lock().unwrap();
    assert!(has_flag(&locked, "lo"));
    assert!(has_flag(&object.map_with(&base.advice(Advice::Random)).unwrap(), "rr"));
    let region = object.map_with(&base.advice(Advice::Sequential)).unwrap();
    assert!(has_flag(&region, "sr"));
    region.advise(Span::new(0, 4 * page_bytes()), Advice::Normal).unwrap();
    assert!(!has_flag(&region, "sr"));
    region.advise(Span::new(page_bytes() + 1, 1), Advice::WillNeed).unwrap();
    region.copy_in(page_bytes(), b"kept").unwrap();
    region.advise(Span::new(page_bytes() + 5, 1), Advice::DontNeed).unwrap();
    assert_eq!(kib(&region, "Rss:"), 0);
    assert_eq!(region.read_value::<[u8; 4]>(page_bytes()).unwrap(), *b"kept");
    assert!(matches!(
        region.advise(Span::new(4 * page_bytes(), 1), Advice::Normal),
        Err(Error::OutOfBounds { .. })
    ));
    if std::path::Path::new("/sys/kernel/mm/transparent_hugepage").exists() {
        region.advise(Span::new(0, page_bytes()), Advice::HugePage).unwrap();
        region.advise(Span::new(0, page_bytes()), Advice::NoHugePage).unwrap();
    }
    Region::on_heap(page_bytes()).unwrap().lock().unwrap(); // nothing to be done
}

#[test]
fn protection_is_the_regions_and_the_pages() {
    let object = filled(page_bytes());
    let mut region = object.map(Access::ReadWrite).unwrap();
    let rights = |region: &Region| smaps(region)[0].split(' ').nth(1).unwrap().to_owned();
    for (protection, expected) in [
        (Protection::Read, "r--s"),
        (Protection::Nothing, "---s"),
        (Protection::ReadExecute, "r-xs"),
        (Protection::ReadWrite, "rw-s"),
    ] {
        region.protect(protection).unwrap();
        assert_eq!(rights(&region), expected);
        let readable = protection != Protection::Nothing;
        let writable = protection == Protection::ReadWrite;
        assert_eq!(region.read_value::<u8>(0).is_ok(), readable);
        assert_eq!(region.read_only().read_value::<u8>(0).is_ok(), readable);
        assert_eq!(region.words().is_ok(), readable);
        assert_eq!(region.part(Span::new(1, 1)).is_ok(), readable);
        assert_eq!(region.copy_in(0, b"x").is_ok(), writable);
        assert_eq!(region.word::<u64>(0).is_ok(), writable);
    }
    let clone = region.clone();
    assert!(matches!(region.protect(Protection::Read).unwrap_err(), Error::RegionInUse { others: 1 }));
    drop(clone);
    let word = region.read_word::<u64>(8).unwrap();
    assert!(matches!(region.protect(Protection::Read).unwrap_err(), Error::RegionInUse { others: 1 }));
    drop(word);
    let mut part = region.part(Span::new(0, 8)).unwrap();
    drop(region);
    assert!(matches!(part.protect(Protection::Read).unwrap_err(), Error::Unsupported { .. }));
    let mut nothing = object.map_with(&MapOptions::new(Access::Nothing)).unwrap();
    assert_eq!((rights(&nothing), nothing.access()), ("---s".to_owned(), Access::Nothing));
    assert!(matches!(nothing.read_value::<u8>(0).unwrap_err(), Error::NoAccess));
    nothing.protect(Protection::Read).unwrap();
    assert_eq!(nothing.read_value::<u8>(0).unwrap(), b'x');
    nothing.protect(Protection::ReadWrite).unwrap();
    nothing.copy_in(0, b"y").unwrap();
}

#[test]
fn what_was_opened_for_reading_is_not_made_writable() {
    let made = filled(page_bytes());
    crate::seal::apply(&made, crate::Seals::RECEIVER_SAFE, "sealed").unwrap();
    let mut region = made.map(Access::ReadOnly).unwrap();
    let error = region.protect(Protection::ReadWrite).unwrap_err();
    assert!(matches!(error, Error::Forbidden { .. }), "{error}");
    assert_eq!((region.access(), region.copy_in(0, b"x").is_err()), (Access::ReadOnly, true));
}

#[test]
fn children_get_what_was_asked_for() {
    let object = object(page_bytes());
    let inherited = object.map(Access::ReadWrite).unwrap();
    let options = MapOptions::new(Access::ReadWrite).inheritance(Inheritance::Nothing);
    let mut kept = object.map_with(&options).unwrap();
    assert!(has_flag(&kept, "dc") && !has_flag(&inherited, "dc"));
    kept.copy_in(0, b"x").unwrap();
    assert!(kept.copy_in(page_bytes(), b"x").is_err());
    object.resize(1 << 20).unwrap();
    object.remap(&mut kept, 1 << 20, Remap::Move).unwrap();
    assert!(has_flag(&kept, "dc"));
    kept.part(Span::new(page_bytes(), 8)).unwrap().copy_in(0, b"x").unwrap();
    let zeros = object.map_with(&options.inheritance(Inheritance::Zeros));
    assert!(matches!(zeros.unwrap_err(), Error::Unsupported { .. }));
}

#[test]
fn holes_are_refused_filled_or_allowed() {
    let sparse = || {
        let object = object(1);
        fs::ftruncate(&object, 4 * page_bytes() as u64).unwrap();
        object
    };
    let base = MapOptions::new(Access::ReadWrite);
    let object = sparse();
    assert!(matches!(object.map(Access::ReadWrite).unwrap_err(), Error::Truncated { .. }));
    let region = object.map_with(&base.holes(Holes::Allow)).unwrap();
    assert_eq!(region.read_value::<u8>(3 * page_bytes()).unwrap(), 0);
    let object = sparse();
    object.map_with(&base.part(page_bytes() as u64, 10).holes(Holes::Allocate)).unwrap();
    assert_eq!(object.stat().unwrap().allocated_bytes, 2 * page_bytes() as u64);
    let region = object.map_with(&base.holes(Holes::Allocate)).unwrap();
    let stat = object.stat().unwrap();
    assert_eq!(
        (stat.bytes, stat.allocated_bytes, region.bytes()),
        (4 * page_bytes() as u64, 4 * page_bytes() as u64, 4 * page_bytes())
    );
    object.map(Access::ReadOnly).unwrap();
}

#[test]
fn reading_and_mapping_show_the_same_at_once() {
    let object = filled(2 * page_bytes());
    let region = object.map(Access::ReadWrite).unwrap();
    let all = Span::new(0, region.bytes());
    for (round, flush) in [None, Some(Flush::Async), Some(Flush::Sync)].into_iter().enumerate() {
        let round = u8::try_from(round).unwrap();
        region.copy_in(page_bytes() - 1, &[round + 10, round + 20]).unwrap();
        let mut bytes = [0; 2];
        object.read_at(page_bytes() as u64 - 1, &mut bytes).unwrap();
        assert_eq!(bytes, [round + 10, round + 20]);
        rustix::io::pwrite(object.descriptor(), &[round + 30], page_bytes() as u64).unwrap();
        assert_eq!(region.read_value::<u8>(page_bytes()).unwrap(), round + 30);
        if let Some(flush) = flush {
            region.flush(Span::new(page_bytes() - 1, 2), flush, false).unwrap();
            region.flush(all, flush, true).unwrap();
            region.flush(Span::new(2 * page_bytes(), 0), flush, true).unwrap();
            assert!(matches!(
                region.flush(Span::new(page_bytes(), page_bytes() + 1), flush, false),
                Err(Error::OutOfBounds { .. })
            ));
        }
    }
    // The kernel refuses to invalidate what must stay.
    let locked = object.map_with(&MapOptions::new(Access::ReadOnly).lock(true)).unwrap();
    locked.flush(all, Flush::Sync, false).unwrap();
    assert!(locked.flush(all, Flush::Sync, true).is_err());
    let part = region.part(Span::new(page_bytes() + 7, 9)).unwrap();
    part.flush(Span::new(1, 8), Flush::Sync, false).unwrap();
    Region::on_heap(page_bytes()).unwrap().flush(all, Flush::Sync, false).unwrap_err();
    Region::on_heap(page_bytes()).unwrap().flush(Span::new(1, 9), Flush::Sync, false).unwrap();
}

#[test]
fn mappings_of_several_lengths_live_together_while_the_object_grows() {
    for how in [Remap::Move, Remap::Anew] {
        let object = filled(page_bytes());
        let short = object.map(Access::ReadWrite).unwrap();
        let word = short.word::<u64>(8).unwrap();
        let mut long = object.map(Access::ReadWrite).unwrap();
        object.resize(300 * page_bytes() as u64).unwrap();
        object.remap(&mut long, 300 * page_bytes() as u64, how).unwrap();
        assert_eq!((short.bytes(), long.bytes()), (page_bytes(), 300 * page_bytes()));
        word.store(42, Ordering::Relaxed); // test
        assert_eq!(long.read_value::<u64>(8).unwrap(), 42);
        long.copy_in(16, b"back").unwrap();
        assert_eq!(short.read_value::<[u8; 4]>(16).unwrap(), *b"back");
        assert!((page_bytes()..300 * page_bytes()).all(|offset| long.read_value::<u8>(offset).unwrap() == 0));
        long.copy_in(300 * page_bytes() - 4, b"last").unwrap();
        let whole = object.map(Access::ReadOnly).unwrap();
        assert_eq!(whole.read_value::<[u8; 4]>(300 * page_bytes() - 4).unwrap(), *b"last");
        let second = object.map_part(Access::ReadOnly, page_bytes() as u64, 100).unwrap();
        let mut second = second;
        object.remap(&mut second, 2 * page_bytes() as u64, how).unwrap();
        assert_eq!((second.bytes(), second.access()), (2 * page_bytes(), Access::ReadOnly));
        drop(whole);
        object.remap(&mut long, 10, how).unwrap();
        assert_eq!(long.read_value::<u8>(7).unwrap(), 1);
        assert!(matches!(long.read_value::<u8>(10).unwrap_err(), Error::OutOfBounds { .. }));
    }
}

#[test]
fn what_can_not_be_remapped_says_why_and_stays() {
    let (object, other) = (filled(2 * page_bytes()), filled(2 * page_bytes()));
    let refused =
        |region: &mut Region, bytes: usize, how| object.remap(region, bytes as u64, how).unwrap_err();
    for how in [Remap::Move, Remap::Anew] {
        let mut region = object.map_part(Access::ReadWrite, 0, page_bytes() as u64).unwrap();
        let part = region.part(Span::new(0, 8)).unwrap();
        let word = region.word::<u32>(0).unwrap();
        assert!(matches!(refused(&mut region, 2 * page_bytes(), how), Error::RegionInUse { others: 2 }));
        drop(part);
        assert!(matches!(refused(&mut region, 2 * page_bytes(), how), Error::RegionInUse { others: 1 }));
        drop(word);
        assert!(matches!(refused(&mut region, 2 * page_bytes() + 1, how), Error::OutOfBounds { .. }));
        assert!(matches!(refused(&mut region, 0, how), Error::ZeroLength { .. }));
        let error = other.remap(&mut region, 2 * page_bytes() as u64, how).unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }), "{error}");
        let mut heap = Region::on_heap(64).unwrap();
        assert!(matches!(refused(&mut heap, 2 * page_bytes(), how), Error::Unsupported { .. }));
        assert_eq!((region.bytes(), region.read_value::<u8>(page_bytes() - 1).unwrap()), (page_bytes(), 1));
        object.remap(&mut region, 2 * page_bytes() as u64, how).unwrap();
    }
    let mut private = object.map_with(&MapOptions::new(Access::ReadWrite).part(0, 1).private(true)).unwrap();
    private.copy_in(0, b"x").unwrap();
    assert!(matches!(refused(&mut private, 2 * page_bytes(), Remap::Anew), Error::Unsupported { .. }));
    object.remap(&mut private, 2 * page_bytes() as u64, Remap::Move).unwrap();
    assert_eq!(private.read_value::<[u8; 2]>(0).unwrap(), [b'x', 1]);
}
