//! A test program with a `main` of its own, so that it can be its own worker, or whatever else its
//! tests have it be. It understands the arguments that tests are usually run with.

#![allow(dead_code, reason = "not every test has use for all of it")]

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::exit;

/// A test and its name.
pub(crate) type Test = (&'static str, fn());

/// Names functions as tests.
#[macro_export]
macro_rules! tests {
    ($($test:path),* $(,)?) => { &[$((stringify!($test), $test as fn())),*] };
}

/// Runs the tests that the arguments ask for, one after the other. None may leave a process behind.
pub(crate) fn run(tests: &[Test]) -> ! {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let mut filters = Vec::new();
    let mut skipped = Vec::new();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--skip" => skipped.extend(rest.next()),
            "--format" | "--color" | "--test-threads" | "-Z" => drop(rest.next()),
            flag if flag.starts_with('-') => {}
            _ => filters.push(argument),
        }
    }
    let matches = |name: &str, filter: &String| {
        if has("--exact") { name == filter } else { name.contains(filter.as_str()) }
    };
    let tests = tests.iter().filter(|(name, _)| {
        (filters.is_empty() || filters.iter().any(|filter| matches(name, filter)))
            && !skipped.iter().any(|filter| matches(name, filter))
            && !has("--ignored")
            && !has("--bench")
    });
    if has("--list") {
        tests.for_each(|(name, _)| println!("{name}: test"));
        exit(0);
    }
    let (mut passed, mut failed) = (0, 0);
    for (name, test) in tests {
        let ended = catch_unwind(AssertUnwindSafe(test));
        let left = children();
        if ended.is_ok() && left.is_empty() {
            passed += 1;
            println!("test {name} ... ok");
        } else {
            failed += 1;
            println!("test {name} ... FAILED, and left {left:?}");
        }
    }
    println!("{passed} passed; {failed} failed");
    exit(if failed == 0 { 0 } else { 101 });
}

/// The processes that this one started and that are not reaped, where the system tells.
pub(crate) fn children() -> BTreeSet<u32> {
    let me = std::process::id().to_string();
    let Ok(processes) = fs::read_dir("/proc") else { return BTreeSet::new() };
    processes
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|process: &u32| {
            let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
            // After the name, which may contain anything: state, parent.
            let parent = stat.rsplit(')').next().unwrap().split_whitespace().nth(1);
            parent.is_some_and(|parent| parent == me)
        })
        .collect()
}
