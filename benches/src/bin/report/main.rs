//! Writes docs/performance.md and its pictures anew, from measurements on this machine.
//!
//! `benches/report` runs this, after the rivals; by itself it is
//! `cargo run --release -p shm-benches --bin report -- [--rivals FILE]`.

mod files;
mod goals;
mod machine;
mod measure;
mod tables;

use measure::Measured;
use shm_measure::Result;
use std::path::PathBuf;

fn main() -> Result<()> {
    if shm_measure::play()? {
        return Ok(());
    }
    let mut rivals = None;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--rivals" => rivals = Some(PathBuf::from(arguments.next().ok_or("--rivals FILE")?)),
            other => return Err(format!("{other}: unknown; there is --rivals FILE").into()),
        }
    }
    let docs = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let measured = Measured::all(rivals.as_deref())?;
    tables::draw(&measured, &docs)?;
    std::fs::write(docs.join("performance.md"), tables::page(&measured)?)?;
    println!("docs/performance.md is written");
    Ok(())
}
