//! What the workers of the tests are asked to do.

use std::path::PathBuf;
use std::time::Duration;
use std::{fs, future};

use async_io::Timer;
use flowlet::Flow;
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Job {
    pub(crate) id: u64,
    pub(crate) what: What,
}

#[derive(Debug, Deserialize, Serialize)]
pub(crate) enum What {
    /// Wait for so many milliseconds.
    Wait(u64),
    Panic,
    Fail,
    Abort,
    /// Never end, but where there is the file already; make the file.
    HangOnce(PathBuf),
}

#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Done {
    pub(crate) id: u64,
}

impl Job {
    pub(crate) fn new(id: u64, what: What) -> Self {
        Self { id, what }
    }

    pub(crate) async fn run(self) -> Result<Done, String> {
        match self.what {
            What::Wait(0) => {}
            What::Wait(time) => drop(Timer::after(Duration::from_millis(time)).await),
            What::Panic => panic!("job {} is poison", self.id),
            What::Fail => return Err(format!("job {} failed", self.id)),
            What::Abort => std::process::abort(),
            What::HangOnce(file) => {
                if fs::File::create_new(file).is_ok() {
                    future::pending::<()>().await;
                }
            }
        }
        Ok(Done { id: self.id })
    }
}

pub(crate) fn flow() -> Flow<Job, Result<Done, String>> {
    Flow::identity().map_concurrent(1, Job::run)
}
