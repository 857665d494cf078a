//! A snapshot as a table for people.

use std::fmt;

use super::Monitor;
use super::bottleneck::{Bottleneck, BottleneckKind};
use super::snapshot::{Snapshot, StageSnapshot};
use super::text::{count, duration, limited, percent, rate};
use crate::flow::{MARK, one_line};

/// The columns after the name, with their widths. The last ones are shares of the time.
const COLUMNS: [(&str, usize); 12] = [
    ("running", 8),
    ("in", 6),
    ("out", 6),
    ("waiting", 8),
    ("/s", 6),
    ("p50", 7),
    ("p99", 7),
    ("polled", 7),
    ("upstream", 9),
    ("permit", 7),
    ("calls", 6),
    ("downstream", 11),
];

/// How many columns are shares.
const SHARES: usize = 5;

/// Longer names are truncated.
const LONGEST_NAME: usize = 24;

/// The prefix of a stage that is not the bottleneck.
const PLAIN: &str = "  ";

/// A table of the stages, followed by the [bottleneck](Snapshot::bottleneck) in words.
///
/// Each row is a stage: running calls and their limit, items in and out, waiting items and outputs, outputs per second,
/// the median and 99th percentile of call durations, and how the stage spent its time, in the words of
/// [`Times`](super::Times). The bottleneck is marked. Outputs per second are recent ones, or those of the whole run if
/// it has ended. Lines are 100 characters wide, or more if names have more than 10.
///
/// # Examples
///
/// ```
/// use flowlet::Monitor;
/// use flowlet::prelude::*;
///
/// # futures_lite::future::block_on(async {
/// let monitor = Monitor::counting();
/// pipe(0..1200).filter_concurrent(monitor.stage("check", 4), async |n| n % 3 > 0).drain().await;
/// assert_eq!(
///     monitor.to_string(),
///     "                                           a call takes                  polled, or waiting for
///   stage running    in   out waiting    /s    p50    p99 polled upstream permit calls downstream
///   check     0/4  1.2k   800       0     -      -      -      -        -      -     -          -
///   check: 400 refused
///
/// No times were taken, so the bottleneck is unknown."
/// );
/// # });
/// ```
impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.stages.is_empty() {
            return f.write_str("no stages");
        }
        let bottleneck = self.bottleneck();
        let names: Vec<_> = self.stages.iter().map(|stage| name(&stage.name)).collect();
        let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).max(5);
        let marked = |index| mark(bottleneck.as_ref(), index);

        head(width, f)?;
        for (index, (stage, name)) in self.stages.iter().zip(&names).enumerate() {
            let mark = marked(index);
            if mark == Some(Mark::Source) {
                writeln!(f, "{MARK}(source)")?;
            }
            let before = if mark == Some(Mark::Stage) { MARK } else { PLAIN };
            write!(f, "{before}{name:<width$}")?;
            row(self, stage, f)?;
            match mark {
                Some(Mark::Unmonitored) => writeln!(f, "{MARK}(not monitored)")?,
                Some(Mark::Consumer) => writeln!(f, "{MARK}(consumer)")?,
                _ => {}
            }
        }
        for (stage, name) in self.stages.iter().zip(&names) {
            losses(stage, name, f)?;
        }
        match bottleneck {
            Some(bottleneck) => write!(f, "\n{bottleneck}"),
            None if self.stages.iter().all(|stage| stage.time.total().is_zero()) => {
                f.write_str("\nNo times were taken, so the bottleneck is unknown.")
            }
            None => f.write_str("\nNo bottleneck: nothing stands out, or the run was too short."),
        }
    }
}

/// The table of the [snapshot](Monitor::snapshot).
impl fmt::Display for Monitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.snapshot().fmt(f)
    }
}

/// Where the bottleneck is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    /// Before the first stage.
    Source,
    /// At the stage.
    Stage,
    /// After the stage.
    Unmonitored,
    /// After the last one.
    Consumer,
}

/// Returns the mark at a stage.
fn mark(bottleneck: Option<&Bottleneck>, index: usize) -> Option<Mark> {
    let found = bottleneck.filter(|found| found.index == index)?;
    Some(match found.kind {
        BottleneckKind::Source if found.limit.is_some() => Mark::Source,
        BottleneckKind::Unmonitored => Mark::Unmonitored,
        BottleneckKind::Consumer => Mark::Consumer,
        _ => Mark::Stage,
    })
}

fn head(width: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let (numbers, shares) = COLUMNS.split_at(COLUMNS.len() - SHARES);
    let wide = |columns: &[(&str, usize)]| columns.iter().map(|column| column.1).sum::<usize>();
    let (calls, numbers) =
        (numbers[5..].iter().map(|column| column.1).sum::<usize>(), wide(&numbers[..5]));
    let shares = wide(shares);
    write!(f, "{PLAIN}{:width$}{:numbers$}", "", "")?;
    writeln!(f, "{:>calls$}{:>shares$}", "a call takes", "polled, or waiting for")?;
    write!(f, "{PLAIN}{:<width$}", "stage")?;
    COLUMNS.iter().try_for_each(|(name, width)| write!(f, "{name:>width$}"))?;
    writeln!(f)
}

fn row(snapshot: &Snapshot, stage: &StageSnapshot, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let total = snapshot.time_of(stage).as_secs_f64();
    let share = |time: std::time::Duration| {
        if total > 0.0 { percent(time.as_secs_f64() / total) } else { NOTHING.to_owned() }
    };
    let call = |time| if stage.calls.count > 0 { duration(time) } else { NOTHING.to_owned() };
    let cells = [
        stage
            .limit
            .map_or(NOTHING.to_owned(), |limit| format!("{}/{}", stage.running, limited(limit))),
        count(stage.pulled),
        count(stage.yielded),
        count(stage.waiting),
        per_second(snapshot, stage),
        call(stage.calls.p50),
        call(stage.calls.p99),
        share(stage.time.polled),
        share(stage.time.upstream),
        share(stage.time.permit),
        share(stage.time.calls),
        share(stage.time.downstream),
    ];
    for (cell, (_, width)) in cells.iter().zip(COLUMNS) {
        write!(f, "{cell:>width$}")?;
    }
    writeln!(f)
}

/// An empty cell.
const NOTHING: &str = "-";

/// Recent outputs per second, or those of the whole run if it has ended.
fn per_second(snapshot: &Snapshot, stage: &StageSnapshot) -> String {
    let is_over = stage.per_second == 0.0 && stage.running == 0 && stage.waiting == 0;
    let number = if is_over { snapshot.rate_of(stage, stage.yielded) } else { stage.per_second };
    if stage.time.total().is_zero() { NOTHING.to_owned() } else { rate(number) }
}

/// Writes how many items were not yielded, if there were any.
fn losses(stage: &StageSnapshot, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let losses = [
        (stage.refused, "refused"),
        (stage.failed, "ended with an error"),
        (stage.panicked, "panicked"),
        (stage.dropped, "dropped"),
    ];
    let losses: Vec<_> = losses
        .iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, what)| format!("{} {what}", count(*number)))
        .collect();
    if losses.is_empty() { Ok(()) } else { writeln!(f, "{PLAIN}{name}: {}", losses.join(", ")) }
}

impl Snapshot {
    /// Describes in a few words how a stage spends its time.
    pub(crate) fn stage_in_short(&self, stage: &StageSnapshot) -> String {
        let times = &stage.time;
        let waits = [
            (times.polled, "polled"),
            (times.upstream, "upstream"),
            (times.permit, "permit"),
            (times.calls, "calls"),
            (times.downstream, "downstream"),
        ];
        let (time, what) = waits.into_iter().max_by_key(|(time, _)| *time).unwrap_or_default();
        let all = self.time_of(stage).as_secs_f64();
        let mut text = stage.name.clone();
        let mut say = |what: String| {
            text.push_str(if text.len() == stage.name.len() { ": " } else { ", " });
            text.push_str(&what);
        };
        if stage.calls.count > 0 {
            say(format!("{} a call", duration(stage.calls.p50)));
        }
        if !time.is_zero() {
            say(format!("{} {what}", percent(time.as_secs_f64() / all)));
        }
        text
    }

    /// Describes in a few words what a stage yields.
    pub(crate) fn outputs_in_short(&self, stage: &StageSnapshot) -> String {
        let outputs = format!("{} out", count(stage.yielded));
        match per_second(self, stage) {
            rate if rate == NOTHING => outputs,
            rate => format!("{outputs}, {rate}/s"),
        }
    }

    /// Returns whether a stage is the bottleneck itself.
    pub(crate) fn is_bottleneck(&self, index: usize) -> bool {
        mark(self.bottleneck().as_ref(), index) == Some(Mark::Stage)
    }
}

/// On one line, and not too long.
fn name(name: &str) -> String {
    let name = one_line(name);
    if name.chars().count() <= LONGEST_NAME {
        return name;
    }
    name.chars().take(LONGEST_NAME - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::snapshot::{Durations, Times};
    use super::*;

    /// The widest numbers that there usually are.
    fn stage(name: &str) -> StageSnapshot {
        let time = Duration::from_micros(123_456);
        StageSnapshot {
            name: name.to_owned(),
            limit: Some(100),
            runs: 1,
            pulled: 123_456,
            running: 100,
            waiting: 999,
            yielded: 123_456,
            per_second: 123_456.0,
            calls: Durations { count: 9, mean: time, p50: time, p90: time, p99: time, max: time },
            time: Times { calls: 10 * time, ..Times::default() },
            ..StageSnapshot::default()
        }
    }

    fn table(stages: Vec<StageSnapshot>) -> String {
        Snapshot { elapsed: Duration::from_secs(1), stages }.to_string()
    }

    #[test]
    fn lines_are_aligned_and_fit_in_a_terminal() {
        let table = table(vec![stage("fetch"), stage("ten long..")]);
        let (lines, _) = table.split_once("\n\n").unwrap();
        assert!(lines.lines().all(|line| line.chars().count() == 100), "{lines}");
        let last = "▶ ten long.. 100/100  123k  123k     999  123k  123ms  123ms     0%       0%     0%  100%         0%";
        assert_eq!(lines.lines().last(), Some(last));
    }

    #[test]
    fn names_break_no_table() {
        let table = table(vec![stage("a\nb"), stage(&"é".repeat(99)), stage("")]);
        let lines: Vec<_> = table.lines().collect();
        assert!(lines[2].starts_with("  a\\nb     "), "{table}");
        assert!(lines[3].starts_with(&format!("  {}… 100/100", "é".repeat(23))), "{table}");
    }

    #[test]
    fn the_place_of_the_bottleneck_is_marked_though_no_stage_is_there() {
        let waits = |upstream, downstream| Times { upstream, downstream, ..Times::default() };
        let (no, all) = (Duration::ZERO, Duration::from_secs(1));
        let marked = |times: [Times; 2]| {
            let [a, b] = times.map(|time| StageSnapshot { time, ..stage("a") });
            // One that has not run is before them.
            let idle = StageSnapshot { runs: 0, time: Times::default(), ..stage("idle") };
            let table = table(vec![idle, a, b]);
            let (at, line) =
                table.lines().enumerate().find(|(_, line)| line.starts_with('▶')).unwrap();
            (at, line.to_owned())
        };
        let place = |at, name: &str| (at, format!("▶ ({name})"));
        assert_eq!(marked([waits(all, no), waits(all, no)]), place(3, "source"));
        assert_eq!(marked([waits(no, all), waits(all, no)]), place(4, "not monitored"));
        assert_eq!(marked([waits(no, all), waits(no, all)]), place(5, "consumer"));
    }
}
