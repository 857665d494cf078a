//! Sorts the lines of all objects below one URL, and puts them below another. On Ctrl-C it finishes what it has begun.
//!
//! `cargo run -p cookbook --bin objects -- file:///FROM file:///TO`. With its feature `aws`, object_store
//! takes `s3://` URLs too, and credentials from the environment.
//!
//! To copy: the one stage, its two limits, and how it ends.

use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;
use std::{env, thread};

use cookbook::objects::Job;
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, parse_url_opts};
use tokio::signal::ctrl_c;
use url::Url;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn store(url: &str) -> Result<Arc<dyn ObjectStore>> {
    let parsed = Url::parse(url).map_err(|error| format!("{url:?}: {error}"))?;
    let options =
        env::vars_os().filter_map(|(k, v)| k.into_string().ok().zip(v.into_string().ok()));
    let (store, path) = parse_url_opts(&parsed, options)?;
    Ok(Arc::new(PrefixStore::new(store, path)))
}

fn sorted(text: &[u8]) -> Vec<u8> {
    let mut lines = Vec::from_iter(text.strip_suffix(b"\n").unwrap_or(text).split(|b| *b == b'\n'));
    lines.sort_unstable();
    lines.push(b""); // for a newline at the end
    lines.join(&b'\n')
}

async fn run(from: &str, to: &str) -> Result<ExitCode> {
    let job = Job {
        from: store(from)?,
        to: store(to)?,
        objects: 64,
        bytes: 256 << 20,
        threads: thread::available_parallelism()?.get(),
    };
    let report = job.run(ctrl_c(), |text| Ok(sorted(&text))).await?;
    println!("{} objects were put{}", report.put, if report.stopped { "; stopped" } else { "" });
    for error in &report.errors {
        println!("{error}");
    }
    Ok(match report.errors.is_empty() {
        true if report.stopped => ExitCode::from(130), // as shells have it for Ctrl-C
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Vec::from_iter(env::args().skip(1));
    let [from, to] = &arguments[..] else {
        eprintln!("usage: objects FROM TO, which are URLs");
        return ExitCode::from(2);
    };
    run(from, to).await.unwrap_or_else(|error| {
        eprintln!("objects: {error}");
        ExitCode::FAILURE
    })
}
