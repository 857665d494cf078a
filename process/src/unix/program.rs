use std::path::PathBuf;
use std::{env, io};

/// Returns the path that starts the program which runs here.
#[cfg(target_os = "linux")]
pub(super) fn this_program() -> io::Result<PathBuf> {
    use std::fs;
    use std::os::unix::fs::MetadataExt;
    use std::path::Path;

    // Leads to the program also when its file was replaced or removed, as updates do.
    const RUNNING: &str = "/proc/self/exe";

    let path = env::current_exe()?;
    let file = |path: &Path| fs::metadata(path).map(|file| (file.dev(), file.ino()));
    let running = file(Path::new(RUNNING))?;
    // By its own name where that is still right, because this is what processes are listed by.
    if file(&path).is_ok_and(|file| file == running) { Ok(path) } else { Ok(RUNNING.into()) }
}

/// Returns the path that starts the program which runs here.
#[cfg(not(target_os = "linux"))]
pub(super) fn this_program() -> io::Result<PathBuf> {
    env::current_exe()
}
