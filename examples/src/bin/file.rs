//! A file, mapped by two programs: what is stored stays, and is what `read` reads.
//!
//! ```text
//! cargo run --release -p shm-examples --bin file
//! ```

use shm_core::{Access, Directory, Flush, MapOptions, Name, Options, Region, Span};
use shm_examples::letter::{self, GREETING, LETTER_BYTES};
use shm_examples::{Outcome, second_process, start};
use std::path::{Path, PathBuf};

fn main() -> Outcome {
    match second_process()? {
        None => server(),
        Some((_, path)) => client(Path::new(&path)),
    }
}

/// A directory of our own for files, removed with them in the end.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn server() -> Outcome {
    let scratch = Scratch(std::env::temp_dir().join(shm_examples::FreshName::new()?.as_str()));
    std::fs::create_dir(&scratch.0)?;
    let options = Options::new().directory(Directory::at(&scratch.0));
    let object = options.create(&Name::new("letter")?, LETTER_BYTES)?;
    let region = object.map(Access::ReadWrite)?;
    let client = start("client", &scratch.0.display().to_string())?;
    letter::write(&region, GREETING)?;
    client.finish()?;
    change_a_text(&scratch.0)
}

fn client(directory: &Path) -> Outcome {
    let options = Options::new().directory(Directory::at(directory));
    let object = options.open(&Name::new("letter")?, Access::ReadOnly)?;
    letter::print(&object.map(Access::ReadOnly)?)
}

/// Any file can be mapped. It keeps its length; what is stored is in the file at once for whoever reads it, and on the
/// disk when the kernel likes, at the latest after a flush.
fn change_a_text(directory: &Path) -> Outcome {
    let path = directory.join("text");
    std::fs::write(&path, "memory map me")?;
    let options = Options::new().directory(Directory::at(directory));
    let object = options.open(&Name::new("text")?, Access::ReadWrite)?;
    let region = object.map_with(&MapOptions::new(Access::ReadWrite))?;
    show(&region, &path)?;
    region.copy_in(0, b"txt changed! ")?;
    region.flush(Span::new(0, region.bytes()), Flush::Sync, false)?;
    show(&region, &path)
}

fn show(region: &Region, path: &Path) -> Outcome {
    let mut mapped = vec![0; region.bytes()];
    region.copy_out(0, &mut mapped)?;
    println!("the mapping says: {}", String::from_utf8(mapped)?.trim_end());
    println!("the file says: {}", std::fs::read_to_string(path)?.trim_end());
    Ok(())
}
