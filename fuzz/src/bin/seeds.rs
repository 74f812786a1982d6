//! Writes the seeds of all fuzz targets, made by the real code, into the directory given.

use std::path::Path;

fn main() -> std::io::Result<()> {
    let directory = std::env::args().nth(1).unwrap_or_else(|| "seeds".into());
    for target in shm_fuzz::TARGETS {
        let directory = Path::new(&directory).join(target.name);
        std::fs::create_dir_all(&directory)?;
        for (name, bytes) in (target.seeds)() {
            std::fs::write(directory.join(name), bytes)?;
        }
    }
    Ok(())
}
