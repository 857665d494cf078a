use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::thread::available_parallelism;

use crate::record::Facts;

/// What something is measured with here, today. The code is the tree of `src/`, which is the same in
/// all commits that change nothing there.
pub fn machine() -> Facts {
    let mut facts = Facts::default();
    facts.add("processor", processor());
    facts.add("cores", available_parallelism().map_or(1, usize::from).to_string());
    facts.add("system", first_line("uname", &["-srm"]));
    facts.add("compiler", rustc());
    facts.add("date", first_line("date", &["-u", "+%Y-%m-%d"]));
    facts.add("flowlet", first_line("git", &["rev-parse", "--short", "HEAD"]));
    facts.add("code", first_line("git", &["rev-parse", "--short", "HEAD:src"]));
    for (name, version) in peers() {
        facts.add(name, version);
    }
    facts
}

/// The same of what is counted, which is no processor's.
pub fn counter() -> Facts {
    let mut facts = Facts::default();
    let here = machine();
    for name in here.names().filter(|name| !["processor", "cores"].contains(name)) {
        facts.add(name, here.get(name));
    }
    facts.add("valgrind", first_line("valgrind", &["--version"]));
    facts
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

fn peers() -> Vec<(String, String)> {
    versions(&[
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
    ])
}

/// The versions of some crates, as Cargo.lock has them.
pub fn versions(names: &[&str]) -> Vec<(String, String)> {
    let lock = include_str!("../../../Cargo.lock");
    let field = |line: Option<&str>, key| {
        line.and_then(|line| line.strip_prefix(key)).map(|value| value.trim_matches('"').to_owned())
    };
    let packages = lock.split("[[package]]").filter_map(|package| {
        let mut lines = package.trim().lines();
        Some((field(lines.next(), "name = ")?, field(lines.next(), "version = ")?))
    });
    // Of two versions of one crate ours is the later one.
    let versions: BTreeMap<_, _> =
        packages.filter(|(name, _)| names.contains(&name.as_str())).collect();
    versions.into_iter().collect()
}

fn first_line(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    text.unwrap_or_default().lines().next().unwrap_or("unknown").to_owned()
}
