//! Calls in other processes that say when they begin, and wait until the test lets them go on.

#![allow(dead_code, reason = "not every test has use for all of it")]

use std::io::{self, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, fs, process};

use flowlet_process::Function;

/// Where calls report to.
pub(crate) struct Desk {
    directory: PathBuf,
    listener: UnixListener,
}

impl Desk {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let directory = env::temp_dir().join(format!("flowlet-{}-{number}", process::id()));
        fs::create_dir(&directory).unwrap();
        let listener = UnixListener::bind(directory.join("desk")).unwrap();
        Self { directory, listener }
    }

    /// A directory that goes with this.
    pub(crate) fn directory(&self) -> &PathBuf {
        &self.directory
    }

    /// What to call [`HOLD`] and [`KEEP`] with.
    pub(crate) fn as_number(&self, number: u32) -> (PathBuf, u32) {
        (self.directory.join("desk"), number)
    }

    /// Waits for the next call to begin.
    pub(crate) fn next(&self) -> Held {
        self.report().expect("the call goes on")
    }

    /// Waits for the call with this number to begin. Those that begin before it have to end.
    pub(crate) fn next_of(&self, number: u32) -> Held {
        loop {
            match self.report() {
                Ok(held) if held.number == number => return held,
                Ok(other) => other.ended(),
                // It was ended before it could report.
                Err(_) => {}
            }
        }
    }

    fn report(&self) -> io::Result<Held> {
        let (mut stream, _) = self.listener.accept()?;
        let mut report = [0; 8];
        stream.read_exact(&mut report)?;
        let [process, number] =
            [0, 4].map(|at| u32::from_le_bytes(report[at..at + 4].try_into().unwrap()));
        Ok(Held { process, number, stream })
    }

    /// Tells whether no other call has begun.
    pub(crate) fn is_quiet(&self) -> bool {
        self.listener.set_nonblocking(true).unwrap();
        let quiet = self.listener.accept().is_err();
        self.listener.set_nonblocking(false).unwrap();
        quiet
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// A call that has begun.
pub(crate) struct Held {
    /// Where it runs.
    pub(crate) process: u32,
    /// What it was called with.
    pub(crate) number: u32,
    stream: UnixStream,
}

impl Held {
    /// Lets it go on.
    pub(crate) fn let_go(mut self) {
        self.stream.write_all(&[0]).unwrap();
    }

    /// Waits until its process is no more. Only an end of it closes the stream.
    pub(crate) fn ended(mut self) {
        let read = self.stream.read(&mut [0]);
        assert!(matches!(read, Ok(0) | Err(_)), "the process goes on");
    }
}

/// Reports, waits to be let go, and returns its process.
pub(crate) const HOLD: Function<(PathBuf, u32), u32> = Function::new("hold", hold);

pub(crate) fn hold((desk, number): (PathBuf, u32)) -> u32 {
    let mut stream = report(desk, number);
    stream.read_exact(&mut [0]).unwrap();
    process::id()
}

/// Reports, and returns its process at once. The end of the stream is the end of the process.
pub(crate) const KEEP: Function<(PathBuf, u32), u32> = Function::new("keep", keep);

pub(crate) fn keep((desk, number): (PathBuf, u32)) -> u32 {
    static KEPT: Mutex<Vec<UnixStream>> = Mutex::new(Vec::new());
    KEPT.lock().unwrap().push(report(desk, number));
    process::id()
}

fn report(desk: PathBuf, number: u32) -> UnixStream {
    let mut stream = UnixStream::connect(desk).unwrap();
    stream.write_all(&process::id().to_le_bytes()).unwrap();
    stream.write_all(&number.to_le_bytes()).unwrap();
    stream
}
