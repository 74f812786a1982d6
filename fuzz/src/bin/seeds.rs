//! Writes the seeds of the fuzz targets, made by the real code, into the directory given.

use std::path::Path;

fn main() -> std::io::Result<()> {
    let directory = std::env::args().nth(1).unwrap_or_else(|| "seeds/open_arbitrary_bytes".into());
    std::fs::create_dir_all(&directory)?;
    for (name, bytes) in shm_fuzz::seeds::all() {
        std::fs::write(Path::new(&directory).join(name), bytes)?;
    }
    Ok(())
}
