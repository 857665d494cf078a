//! Prints the totals of each name in files of `name,number` lines, and how long flowlet, rayon and a `JoinSet` took.
//!
//! `cargo run --release -p cookbook --bin crunch -- FILE..`; without files it makes one of 100 megabytes for itself.
//!
//! To copy: `with_flowlet`, and `chunks`, which cuts files between lines.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::time::Instant;
use std::{env, fs, process, thread};

use cookbook::crunch::{chunks, with_flowlet, with_join_set, with_rayon};

/// How many bytes a call counts.
const CHUNK: u64 = 1 << 20;

const ROUNDS: usize = 5;

/// Writes lines of 1,000 names.
fn write_sample(path: &PathBuf) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    for n in 0..6_000_000_u64 {
        let random = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        writeln!(file, "name {},{}", random % 1000, random as i32 / 1000)?;
    }
    file.flush()
}

fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    model.map_or(env::consts::ARCH, |(_, model)| model).to_owned()
}

async fn run(paths: Vec<PathBuf>) -> io::Result<()> {
    let cores = thread::available_parallelism()?.get();
    let read = || chunks(paths.clone(), CHUNK);
    let totals = with_flowlet(read(), cores).await?;
    print!("{totals}");

    let mut times = [const { Vec::new() }; 3];
    for _ in 0..ROUNDS {
        for (n, times) in times.iter_mut().enumerate() {
            let began = Instant::now();
            let counted = match n {
                0 => with_flowlet(read(), cores).await?,
                1 => with_rayon(read(), cores)?,
                _ => with_join_set(read(), cores).await?,
            };
            times.push(began.elapsed());
            assert_eq!(counted, totals, "all of them have the same totals");
        }
    }
    let [flowlet, rayon, join_set] = times.map(|mut times| {
        times.sort_unstable();
        times[ROUNDS / 2].as_secs_f64()
    });
    eprintln!(
        "On {cores} cores of {}, as the median of {ROUNDS} rounds, in times of flowlet's:",
        processor()
    );
    eprintln!("flowlet 1.00, rayon {:.2}, JoinSet {:.2}", rayon / flowlet, join_set / flowlet);
    Ok(())
}

#[tokio::main]
async fn main() -> io::Result<()> {
    let paths: Vec<PathBuf> = env::args_os().skip(1).map(PathBuf::from).collect();
    if !paths.is_empty() {
        return run(paths).await;
    }
    let sample = env::temp_dir().join(format!("crunch-{}.csv", process::id()));
    let done = match write_sample(&sample) {
        Ok(()) => run(vec![sample.clone()]).await,
        error => error,
    };
    fs::remove_file(sample)?;
    done
}
