//! What rivals leave behind that were killed, or that leave it anyway: all that has our prefix in its name, and whose
//! process is this one or is gone.

use crate::rivals::PREFIX;
use std::path::Path;

/// Removes it.
pub fn sweep() {
    for directory in [Path::new("/dev/shm"), &std::env::temp_dir()] {
        let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
        for entry in entries.filter(|entry| is_debris(&entry.file_name().to_string_lossy())) {
            // Whatever can not be removed stays where it is.
            let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
            let path = entry.path();
            let _ = if is_directory { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
        }
    }
}

fn is_debris(name: &str) -> bool {
    let Some((_, rest)) = name.split_once(PREFIX) else { return false };
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    match digits.parse::<u32>() {
        Ok(pid) => pid == std::process::id() || !Path::new(&format!("/proc/{pid}")).exists(),
        Err(_) => false,
    }
}
