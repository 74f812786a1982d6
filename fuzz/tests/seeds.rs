//! The committed seeds are those that the code makes, and break no rule.

use std::collections::BTreeMap;
use std::path::Path;

#[test]
fn the_committed_seeds_are_made_by_the_code() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds/open_arbitrary_bytes");
    let committed: BTreeMap<String, Vec<u8>> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(path).unwrap())
        })
        .collect();
    let made: BTreeMap<String, Vec<u8>> = shm_fuzz::seeds::all().into_iter().collect();
    assert!(committed == made, "make them anew: cargo run --bin seeds");
}

#[test]
fn no_seed_breaks_a_rule() {
    for (name, seed) in shm_fuzz::seeds::all() {
        println!("{name}");
        shm_fuzz::open_arbitrary_bytes(&seed);
    }
}
