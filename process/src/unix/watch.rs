//! A child process that is certain to be reaped, and whose signals reach no other.

use std::io;
use std::os::fd::OwnedFd;
use std::process::{Child, ChildStderr, Command, ExitStatus};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use async_channel::{Receiver, bounded};
use async_io::{Async, Timer};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, waitid};

/// How long to wait for a process that has ended and is not to be reaped yet, as when it is traced.
const TRACED: Duration = Duration::from_millis(10);

/// Room for a thread that waits.
const STACK: usize = 64 * 1024;

/// A process that runs, or has not been reaped yet.
pub(super) struct Watched {
    child: Mutex<Child>,
    watch: Watch,
}

/// How its end is noticed.
enum Watch {
    /// By a descriptor that stands for the process, whoever reaps it and whoever has its number then.
    Descriptor(Async<OwnedFd>),
    /// Where there are no such descriptors, by a thread that waits, and closes this. It does not
    /// reap, so that until then the number is the process's own.
    Thread(Receiver<()>),
}

impl Watched {
    /// Starts a process whose standard error is to be read here. If it cannot be followed, nothing is
    /// left of it.
    pub(super) fn spawn(command: &mut Command) -> io::Result<(Self, Async<ChildStderr>)> {
        let mut child = command.spawn()?;
        let from = child.stderr.take().expect("standard error is piped");
        match Async::new(from).and_then(|from| Ok((Watch::new(&child)?, from))) {
            Ok((watch, from)) => Ok((Self { child: Mutex::new(child), watch }, from)),
            Err(error) => {
                // There is no one else to reap it.
                let _ = child.kill();
                let _ = child.wait();
                Err(error)
            }
        }
    }

    /// Ends it at once, if it runs.
    pub(super) fn kill(&self) {
        match &self.watch {
            #[cfg(any(target_os = "linux", target_os = "android"))]
            Watch::Descriptor(descriptor) => {
                // It fails if there is nothing left to kill.
                let _ = rustix::process::pidfd_send_signal(descriptor, Signal::KILL);
            }
            #[cfg(not(any(target_os = "linux", target_os = "android")))]
            Watch::Descriptor(_) => unreachable!("only Linux has them"),
            Watch::Thread(ended) => {
                // Nobody reaps it while this is locked.
                let mut child = self.child();
                if !ended.is_closed() {
                    let _ = child.kill();
                }
            }
        }
    }

    /// Waits until it has ended, and reaps it. There is no status if someone else has reaped it.
    pub(super) async fn wait(&self) -> Option<ExitStatus> {
        match &self.watch {
            Watch::Descriptor(descriptor) => {
                let _ = descriptor.readable().await;
            }
            // Nothing is ever sent.
            Watch::Thread(ended) => drop(ended.recv().await),
        }
        loop {
            let waited = self.child().try_wait();
            match waited {
                Ok(None) => drop(Timer::after(TRACED).await),
                Ok(status) => return status,
                Err(_) => return None,
            }
        }
    }

    /// What the system knows it by.
    pub(super) fn id(&self) -> u32 {
        self.child().id()
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        // No code that could leave it half-changed runs under the lock.
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watch {
    fn new(child: &Child) -> io::Result<Self> {
        let process = Pid::from_child(child);
        match descriptor(process) {
            Ok(descriptor) => Ok(Self::Descriptor(Async::new_nonblocking(descriptor)?)),
            Err(error @ (Errno::MFILE | Errno::NFILE | Errno::NOMEM)) => Err(error.into()),
            // Someone else has reaped it already.
            Err(Errno::SRCH) => Ok(Self::Thread(bounded(1).1)),
            Err(_) => Self::by_thread(process),
        }
    }

    fn by_thread(process: Pid) -> io::Result<Self> {
        let (running, ended) = bounded(1);
        thread::Builder::new().name("flowlet-wait".to_owned()).stack_size(STACK).spawn(
            move || {
                let end = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
                while matches!(waitid(WaitId::Pid(process), end), Err(Errno::INTR)) {}
                drop(running);
            },
        )?;
        Ok(Self::Thread(ended))
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn descriptor(process: Pid) -> Result<OwnedFd, Errno> {
    rustix::process::pidfd_open(process, rustix::process::PidfdFlags::empty())
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn descriptor(_: Pid) -> Result<OwnedFd, Errno> {
    Err(Errno::NOSYS)
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use futures_lite::future::block_on;

    use super::*;

    fn by_thread(command: &mut Command) -> Watched {
        let child = command.spawn().unwrap();
        let watch = Watch::by_thread(Pid::from_child(&child)).unwrap();
        Watched { child: Mutex::new(child), watch }
    }

    #[test]
    fn a_thread_does_where_there_are_no_descriptors() {
        let ended = by_thread(Command::new("sh").args(["-c", "exit 3"]));
        assert_eq!(block_on(ended.wait()).unwrap().code(), Some(3));
        // Its number may be another's by now.
        ended.kill();
        assert_eq!(block_on(ended.wait()).unwrap().code(), Some(3));

        let killed = by_thread(Command::new("sleep").arg("1000"));
        killed.kill();
        assert_eq!(block_on(killed.wait()).unwrap().signal(), Some(9));
    }
}
