//! What the first touch of a page costs, for each kind of shared memory: the time to make, map and touch so many pages,
//! and the part of it that the touching takes.
//!
//! ```text
//! cargo run --release -p shm-benches --bin first_touch
//! ```

use shm_core::sysv::Segment;
use shm_core::{Access, Directory, HugePages, MapOptions, Memfd, Name, Object, Options, Region, anonymous};
use std::time::{Duration, Instant};

const BYTES: u64 = 64 << 20;
const PAGE: usize = 4096;
const RUNS: usize = 5;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Outcome<()> {
    println!("nanoseconds per page of 4 KiB, {BYTES} bytes, best of {RUNS}     made and mapped    touched");
    row("POSIX object", || named(&Directory::posix(), false))?;
    row("POSIX object, populated", || named(&Directory::posix(), true))?;
    let temporary = Directory::at(std::env::temp_dir());
    row("file", || named(&temporary, false))?;
    row("file, populated", || named(&temporary, true))?;
    row("memfd", || mapped(&Memfd::new("touch").create(BYTES)?, false))?;
    row("memfd, populated", || mapped(&Memfd::new("touch").create(BYTES)?, true))?;
    row("memfd of huge pages", || {
        mapped(&Memfd::new("touch").huge_pages(HugePages::of(2 << 20)).create(BYTES)?, false)
    })?;
    row("System V segment", || {
        let segment = Segment::private(BYTES)?;
        let region = segment.attach(Access::ReadWrite);
        segment.remove()?;
        Ok(region?)
    })?;
    row("anonymous", || Ok(anonymous::map(BYTES)?))?;
    row("/dev/zero", || Ok(anonymous::dev_zero(BYTES)?))
}

fn named(directory: &Directory, populate: bool) -> Outcome<Region> {
    let options = Options::new().directory(directory.clone());
    let name = Name::new(&format!("shm-benches-touch-{}", std::process::id()))?;
    let object = options.create(&name, BYTES)?;
    options.unlink(&name)?;
    mapped(&object, populate)
}

fn mapped(object: &Object, populate: bool) -> Outcome<Region> {
    Ok(object.map_with(&MapOptions::new(Access::ReadWrite).populate(populate))?)
}

/// Makes it some times over; the best of each figure.
fn row(kind: &str, make: impl Fn() -> Outcome<Region>) -> Outcome<()> {
    let (mut making, mut touching) = (Duration::MAX, Duration::MAX);
    for _ in 0..RUNS {
        let begun = Instant::now();
        let region = match make() {
            Ok(region) => region,
            Err(error) => {
                println!("{kind:<52} {error}");
                return Ok(());
            }
        };
        making = making.min(begun.elapsed());
        let begun = Instant::now();
        for offset in (0..region.bytes()).step_by(PAGE) {
            region.write_value(offset, &1_u8)?;
        }
        touching = touching.min(begun.elapsed());
    }
    let each = |time: Duration| time.as_nanos() as f64 / (BYTES as f64 / PAGE as f64);
    println!("{kind:<62} {:>10.0} {:>10.0}", each(making), each(touching));
    Ok(())
}
