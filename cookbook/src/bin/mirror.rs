//! Downloads the URLs of a list into a folder, four at once from each host. Ctrl-C stops it, and the next run resumes.
//!
//! `cargo run -p cookbook --bin mirror -- LIST FOLDER`, where LIST has a URL in each line. For `https` add the feature
//! `rustls` to reqwest.
//!
//! To copy: the limit per host, how downloads are retried and resumed, and the stop, which just drops them.

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;
use std::{env, fs, iter};

use cookbook::mirror::Mirror;
use indicatif::{ProgressBar, ProgressStyle};
use reqwest::{Client, Url};
use tokio::signal::ctrl_c;

/// How long a server may be silent.
const PATIENCE: Duration = Duration::from_secs(30);

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn read_list(list: &Path) -> Result<Vec<Url>> {
    let text = fs::read_to_string(list).map_err(|error| format!("{}: {error}", list.display()))?;
    let urls = text.lines().map(str::trim).filter(|line| !line.is_empty());
    urls.map(|url| Url::parse(url).map_err(|error| format!("{url:?}: {error}").into())).collect()
}

async fn run(list: &Path, folder: &Path) -> Result<ExitCode> {
    let urls = read_list(list)?;
    fs::create_dir_all(folder)?;
    let style = ProgressStyle::with_template("{bar:40} {pos} of {len} files")?;
    let mirror = Mirror {
        client: Client::builder().connect_timeout(PATIENCE).read_timeout(PATIENCE).build()?,
        folder: folder.to_owned(),
        total: 64,
        per_host: 4,
        progress: ProgressBar::no_length().with_style(style),
    };
    let report = mirror.run(urls, ctrl_c()).await;
    mirror.progress.finish();

    println!("{} files are complete", report.done);
    for (url, failure) in &report.failed {
        let causes = iter::successors(failure.source(), |&cause| cause.source());
        let causes: String = causes.map(|cause| format!(": {cause}")).collect();
        println!("{url}: {failure}{causes}");
    }
    Ok(match report.stopped {
        Some(dropped) => {
            println!("stopped; {} downloads have begun, and can be resumed", dropped.calls);
            ExitCode::from(130) // as shells have it for Ctrl-C
        }
        None if report.failed.is_empty() => ExitCode::SUCCESS,
        None => ExitCode::FAILURE,
    })
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Vec::from_iter(env::args_os().skip(1));
    let [list, folder] = &arguments[..] else {
        eprintln!("usage: mirror LIST FOLDER");
        return ExitCode::from(2);
    };
    run(list.as_ref(), folder.as_ref()).await.unwrap_or_else(|error| {
        eprintln!("mirror: {error}");
        ExitCode::FAILURE
    })
}
