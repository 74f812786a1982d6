//! The committed seeds are those that the code makes, and break no rule.

use std::collections::BTreeMap;
use std::path::Path;

#[test]
fn the_committed_seeds_are_made_by_the_code() {
    for target in shm_fuzz::TARGETS {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target.name);
        let committed: BTreeMap<String, Vec<u8>> = std::fs::read_dir(directory)
            .unwrap()
            .map(|entry| {
                let path = entry.unwrap().path();
                (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(path).unwrap())
            })
            .collect();
        let made: BTreeMap<String, Vec<u8>> = (target.seeds)().into_iter().collect();
        assert!(committed == made, "{}: make them anew: cargo run --bin seeds", target.name);
    }
}

#[test]
fn no_seed_breaks_a_rule() {
    for target in shm_fuzz::TARGETS {
        for (name, seed) in (target.seeds)() {
            println!("{} {name}", target.name);
            (target.run)(&seed);
        }
    }
}
