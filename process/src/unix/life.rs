//! How a worker is told that it is one, and whose, and how it sees to it that it does not outlive the
//! program.

use std::env;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rustix::process::{Signal, getpid, kill_process};
use signal_hook::consts::{SIGINT, SIGTERM};

/// The last argument of a worker process. Unlike the environment, arguments are not passed on to the
/// processes that a worker starts.
pub(super) const ARGUMENT: &str = "--flowlet-process-worker";

/// An argument before it, for workers that end at the signals that programs are asked to end by.
pub(super) const SIGNALS: &str = "--flowlet-process-signals";

/// Says which process the pool is in. In the environment, so that no argument moves; whatever a worker
/// starts may have it, as only workers look at it.
const OWNER: &str = "FLOWLET_PROCESS_OWNER";

/// Tells whether a [`ProcessPool`](crate::ProcessPool) started this process, to be a worker.
///
/// For what is to be done in workers only, or never in them, before `main` calls
/// [`worker`](crate::worker).
///
/// # Examples
///
/// ```
/// use flowlet_process::Function;
///
/// const DOUBLE: Function<u64, u64> = Function::new("double", |n| 2 * n);
///
/// fn main() {
///     if flowlet_process::is_worker() {
///         // Loads a model, connects to a database, and so on: once for each worker.
///     }
///     flowlet_process::worker(&[&DOUBLE]);
///     // The program begins here.
/// }
/// ```
pub fn is_worker() -> bool {
    env::args_os().skip(1).last().is_some_and(|last| last == ARGUMENT)
}

/// The variable by which a worker that is started now knows its owner, and its value.
pub(super) fn owner() -> (&'static str, String) {
    (OWNER, format!("{} {}", std::process::id(), namespace().unwrap_or_default()))
}

/// Has the process live as long as the pool.
pub(super) fn bind_to_owner() {
    if !env::args_os().any(|argument| argument == SIGNALS) {
        for signal in [SIGINT, SIGTERM] {
            // Not ignored, which processes that the worker starts would inherit. If it fails, the
            // signal ends the worker.
            let _ = signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)));
        }
    }
    die_with_parent();
}

/// Ends this process at once, whatever the functions have set up.
pub(super) fn die() -> ! {
    let _ = kill_process(getpid(), Signal::KILL);
    std::process::abort();
}

/// Has the system kill this process with the one that started it, also if it is stopped, or someone
/// else still has the pool's end of the socket.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn die_with_parent() {
    use rustix::process::{getppid, set_parent_process_death_signal};

    // The parent is the pool's thread, or what the pool's command has put between.
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    // It may be too late for that. Numbers mean something to those of one namespace only.
    let owner = env::var(OWNER).unwrap_or_default();
    let Some((owner, space)) = owner.split_once(' ') else { return };
    let parent = getppid().map(|parent| parent.as_raw_nonzero().to_string());
    if namespace().is_some_and(|mine| mine == space)
        && parent.is_none_or(|parent| parent != owner)
        && !runs(owner)
    {
        die();
    }
}

/// Tells whether a process runs, be it stopped. One that is only to be reaped does not.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn runs(process: &str) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{process}/stat")) else { return false };
    // After the name, which may contain anything, comes the state.
    let state = stat.rsplit(") ").next().and_then(|rest| rest.chars().next());
    !matches!(state, Some('Z' | 'X') | None)
}

/// Elsewhere a worker sees that its socket is closed.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn die_with_parent() {}

/// Names the space in which this process has its number, if the system tells.
fn namespace() -> Option<String> {
    use std::os::unix::fs::MetadataExt;

    std::fs::metadata("/proc/self/ns/pid").ok().map(|space| space.ino().to_string())
}
