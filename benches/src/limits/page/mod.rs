//! `LIMITS.md`: what is exact, and the times of each processor.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use flowlet_benches::report::{counter, machine, versions};

mod cells;
mod count;
mod shares;
mod times;

pub(crate) use count::{Cases, count};
pub(crate) use times::time;

/// What begins the part of a processor.
const TIMES: &str = "\n## Times on ";

const HEAD: &str = "# Limits\n\nWritten by `cargo bench -p flowlet-benches --bench limits`; `-- counts` \
    measures and writes only what is exact. Counts are the same on every processor, and are what we \
    claim. Times are from one run on one processor each, and times from different runs are never \
    compared. [How flowlet compares](README.md#limits). Calls are ready at once, or woken once by the \
    suite's reactor, in random order.\n";

/// Writes the page: what was counted, and what was timed, if it was. What is there of other processors stays.
pub(crate) fn write(counts: &str, times: Option<&str>) -> io::Result<()> {
    let path = path();
    let old = fs::read_to_string(&path).unwrap_or_default();
    let facts = machine();
    let here = facts.get("processor");
    let of_others = |part: &&str| times.is_none() || part.lines().next() != Some(here);
    let mut page = format!("{HEAD}{counts}");
    if let Some(times) = times {
        page.push_str(&format!("{TIMES}{here}\n{times}"));
    }
    for part in old.split(TIMES).skip(1).filter(of_others) {
        page.push_str(&format!("{TIMES}{part}"));
    }
    fs::write(path, page)
}

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("LIMITS.md")
}

/// With what something was counted.
fn counted_with() -> String {
    let facts = counter();
    let [date, flowlet, code] = ["date", "flowlet", "code"].map(|name| facts.get(name));
    format!(
        "Of {date}, flowlet {flowlet} (code {code}), {}, {}; {}.",
        facts.get("compiler"),
        facts.get("valgrind"),
        peers()
    )
}

/// With what something was timed.
fn timed_with() -> String {
    let facts = machine();
    let [date, flowlet, code] = ["date", "flowlet", "code"].map(|name| facts.get(name));
    format!(
        "Of {date}, flowlet {flowlet} (code {code}), {}, {} cores, {}; {}.",
        facts.get("compiler"),
        facts.get("cores"),
        facts.get("system"),
        peers()
    )
}

fn peers() -> String {
    let names = ["async-lock", "future-queue", "futures-buffered", "futures-util", "tokio"];
    let versions = versions(&names);
    let texts: Vec<_> =
        versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
    texts.join(", ")
}
