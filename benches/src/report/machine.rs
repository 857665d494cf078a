use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::thread::available_parallelism;

use super::Table;

/// What everything was measured with, on which day.
pub fn machine() -> Table {
    let mut table = Table::new(["what", "which"]);
    let cores = available_parallelism().map_or(1, usize::from);
    table.row(["processor", &format!("{}, {cores} cores", processor())]);
    table.row(["system", &first_line("uname", &["-srm"])]);
    table.row(["compiler", &rustc()]);
    table.row(["valgrind", &first_line("valgrind", &["--version"])]);
    table.row(["date", &first_line("date", &["-u", "+%Y-%m-%d"])]);
    table.row(["flowlet", &first_line("git", &["rev-parse", "--short", "HEAD"])]);
    for (name, version) in peers() {
        table.row([name, version]);
    }
    table
}

/// The version of the compiler.
pub fn rustc() -> String {
    first_line("rustc", &["--version"])
}

fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find(|line| line.starts_with("model name"));
    let model = model.and_then(|line| line.split_once(": ")).map(|(_, model)| model.to_owned());
    model.unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

/// The peers' versions, as Cargo.lock has them.
fn peers() -> Vec<(String, String)> {
    let lock = include_str!("../../../Cargo.lock");
    let peers = [
        "async-channel",
        "async-executor",
        "blocking",
        "futures-buffered",
        "futures-concurrency",
        "futures-util",
        "par-stream",
        "pumps",
        "roughage",
        "tokio",
        "tokio-par-stream",
    ];
    let field = |line: Option<&str>, key| {
        line.and_then(|line| line.strip_prefix(key)).map(|value| value.trim_matches('"').to_owned())
    };
    let packages = lock.split("[[package]]").filter_map(|package| {
        let mut lines = package.trim().lines();
        Some((field(lines.next(), "name = ")?, field(lines.next(), "version = ")?))
    });
    // Of two versions of one crate ours is the later one.
    let versions: BTreeMap<_, _> =
        packages.filter(|(name, _)| peers.contains(&name.as_str())).collect();
    versions.into_iter().collect()
}

fn first_line(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    text.unwrap_or_default().lines().next().unwrap_or("unknown").to_owned()
}
