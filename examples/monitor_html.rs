//! A web page that shows what the stages of a pipeline did over time, made from snapshots of a monitor.
//!
//! It is written to the path in the first argument, or to the temporary directory.

use std::error::Error;
use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;
use std::{env, fs};

use flowlet::monitor::{Snapshot, Times};
use flowlet::{Monitor, prelude::*};
use futures_lite::future::or;
use smol::Timer;

/// The time between two snapshots.
const STEP: Duration = Duration::from_millis(100);

/// Takes the given time, as the network or a database would.
async fn wait(millis: u64) {
    Timer::after(Duration::from_millis(millis)).await;
}

/// Runs a pipeline whose bottleneck moves: one stage is slow, and halfway through another one becomes slower.
async fn run(monitor: &Monitor) {
    let fetched = pipe(0..1000).map_concurrent(monitor.stage("fetch", 20), async |page| {
        wait(20 + page % 20).await;
        page
    });
    let parsed = fetched.map_concurrent(monitor.stage("parse", 6), async |page| {
        wait(15).await;
        page
    });
    let stored = parsed.map_concurrent(monitor.stage("store", 2), async |page| {
        wait(if (400..600).contains(&page) { 12 } else { 3 }).await;
    });
    stored.drain().await;
}

/// Adds a snapshot at regular intervals while it is polled.
async fn watch(monitor: &Monitor, snapshots: &mut Vec<Snapshot>) {
    loop {
        snapshots.push(monitor.snapshot());
        Timer::after(STEP).await;
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let default = || env::temp_dir().join("flowlet-monitor.html");
    let path = env::args_os().nth(1).map_or_else(default, PathBuf::from);

    let monitor = Monitor::new();
    let mut snapshots = Vec::new();
    smol::block_on(or(run(&monitor), watch(&monitor, &mut snapshots)));
    snapshots.push(monitor.snapshot());

    fs::write(&path, page(&snapshots))
        .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    println!("the page is {}", path.display());
    Ok(())
}

// The page.

const WIDTH: f64 = 720.0;
const LEFT: f64 = 48.0; // where the plots begin, right of their scale
const RIGHT: f64 = 632.0; // where they end, left of the names of the lines

/// What a stage spends its time on, and the colour of it.
type State = (&'static str, &'static str, fn(&Times) -> Duration);

const STATES: [State; 5] = [
    ("waited for upstream", "#a3c4e8", |time| time.upstream),
    ("waited for a permit", "#c2a5cf", |time| time.permit),
    ("was full: waited for its calls", "#d9534f", |time| time.calls),
    ("was polled", "#6aa84f", |time| time.polled),
    ("was held back by downstream", "#f1c27d", |time| time.downstream),
];

const LINES: [&str; 6] = ["#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf"];

/// Returns 0 when dividing by 0.
fn ratio(part: Duration, whole: Duration) -> f64 {
    if whole.is_zero() { 0.0 } else { part.as_secs_f64() / whole.as_secs_f64() }
}

/// Returns a horizontal position in a plot.
fn x(snapshots: &[Snapshot], at: Duration) -> f64 {
    let (first, last) = (&snapshots[0], &snapshots[snapshots.len() - 1]);
    LEFT + (RIGHT - LEFT) * ratio(at - first.elapsed, last.elapsed - first.elapsed)
}

fn page(snapshots: &[Snapshot]) -> String {
    let mut page = String::from(HEAD);
    page += "<h2>Outputs a second</h2>\n";
    page += &rates(snapshots);
    page += "<h2>What each stage did with its time</h2>\n<p class=key>";
    for (name, colour, _) in STATES {
        let _ = write!(page, "<span><i style='background:{colour}'></i>{name}</span> ");
    }
    page += "</p>\n";
    for (stage, named) in snapshots[snapshots.len() - 1].stages.iter().enumerate() {
        let limit = named.limit.map_or(String::new(), |limit| format!(", limit {limit}"));
        let _ = writeln!(page, "<h3>{}{limit}</h3>", escaped(&named.name));
        page += &shares(snapshots, stage);
    }
    page
}

/// Draws the rate of each stage as a line.
fn rates(snapshots: &[Snapshot]) -> String {
    let height = 200.0;
    let rate = |pair: &[Snapshot], stage: usize| {
        let yielded = |snapshot: &Snapshot| snapshot.stages.get(stage).map_or(0, |s| s.yielded);
        let outputs = yielded(&pair[1]) - yielded(&pair[0]);
        outputs as f64 * ratio(Duration::from_secs(1), pair[1].elapsed - pair[0].elapsed)
    };
    let stages = &snapshots[snapshots.len() - 1].stages;
    let all = (0..stages.len()).flat_map(|stage| snapshots.windows(2).map(move |p| rate(p, stage)));
    let top = round_up(all.fold(1.0, f64::max));
    let mut plot = begin(snapshots, height, |share| format!("{:.0}", top * share));
    for (stage, named) in stages.iter().enumerate() {
        let colour = LINES[stage % LINES.len()];
        let width = 2 * (stages.len() - stage); // so that none is hidden by another
        let _ = write!(plot, "<polyline fill=none stroke-width={width} ");
        let _ = write!(plot, "stroke='{colour}' points='");
        for pair in snapshots.windows(2) {
            let x = x(snapshots, pair[0].elapsed + (pair[1].elapsed - pair[0].elapsed) / 2);
            let _ = write!(plot, "{x:.1},{:.1} ", height * (1.0 - rate(pair, stage) / top));
        }
        let (x, y) = (RIGHT + 8.0, 14.0 + 18.0 * stage as f64);
        let name = escaped(&named.name);
        let _ = writeln!(plot, "'/><text x={x} y={y} fill='{colour}'>{name}</text>");
    }
    plot + "</svg>\n"
}

/// Draws the share of its time that a stage spent in each state, stacked.
fn shares(snapshots: &[Snapshot], stage: usize) -> String {
    let height = 80.0;
    let mut plot = begin(snapshots, height, |share| format!("{:.0} %", 100.0 * share));
    for pair in snapshots.windows(2) {
        let [Some(before), Some(after)] = [&pair[0], &pair[1]].map(|s| s.stages.get(stage)) else {
            continue;
        };
        let spent = STATES.map(|(.., of)| of(&after.time).saturating_sub(of(&before.time)));
        let whole: Duration = spent.iter().sum();
        let (left, right) = (x(snapshots, pair[0].elapsed), x(snapshots, pair[1].elapsed));
        // From the full height down, each as high as all below it together, so that there is no gap.
        let mut up_to = whole;
        for ((name, colour, _), spent) in STATES.into_iter().zip(spent).rev() {
            if !spent.is_zero() {
                let top = height * (1.0 - ratio(up_to, whole));
                let share = 100.0 * ratio(spent, whole);
                let _ = writeln!(
                    plot,
                    "<path d='M{left:.1} {height}V{top:.1}H{right:.1}V{height}z' fill='{colour}'>\
                     <title>{name}: {share:.0} %</title></path>"
                );
            }
            up_to -= spent;
        }
    }
    plot + "</svg>\n"
}

/// Begins a plot, with horizontal lines and a scale of seconds.
fn begin(snapshots: &[Snapshot], height: f64, label: impl Fn(f64) -> String) -> String {
    let whole = height + 40.0;
    let mut plot = format!("<svg viewBox='0 -10 {WIDTH} {whole}' width={WIDTH} role=img>\n");
    for share in [0.0, 0.5, 1.0] {
        let (y, label) = (height * (1.0 - share), label(share));
        let _ = writeln!(
            plot,
            "<path class=grid d='M{LEFT} {y}H{RIGHT}'/>\
             <text class=scale x={} y={} text-anchor=end>{label}</text>",
            LEFT - 6.0,
            y + 4.0
        );
    }
    let (first, last) = (snapshots[0].elapsed, snapshots[snapshots.len() - 1].elapsed);
    let seconds = (last - first).as_secs();
    for second in (0..=seconds).step_by((seconds as usize / 8).max(1)) {
        let (x, y) = (x(snapshots, first + Duration::from_secs(second)), height + 18.0);
        let _ =
            writeln!(plot, "<text class=scale x={x:.1} y={y} text-anchor=middle>{second} s</text>");
    }
    plot
}

/// Returns the next number of the form 1, 2 or 5 followed by zeros.
fn round_up(number: f64) -> f64 {
    let power = 10_f64.powf(number.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0];
    power * steps.into_iter().find(|step| step * power >= number).unwrap_or(10.0)
}

/// Escapes a name, which can be any text.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

const HEAD: &str = "<!doctype html>
<html lang=en>
<meta charset=utf-8>
<meta name=viewport content='width=device-width'>
<title>A pipeline over time</title>
<style>
body { max-width: 720px; margin: 2em auto; padding: 0 1em; font: 15px system-ui, sans-serif; }
svg { display: block; max-width: 100%; height: auto; font-size: 12px; }
h1, h2, h3 { font-weight: 600; margin: 1.2em 0 .4em; }
h1 { font-size: 22px; } h2 { font-size: 17px; } h3 { font-size: 14px; }
.key span { margin-right: 1em; white-space: nowrap; }
.key i { display: inline-block; width: .8em; height: .8em; margin-right: .4em; }
path { shape-rendering: crispEdges; }
polyline { stroke-linejoin: round; }
.grid { stroke: #888; stroke-opacity: .3; }
.scale { fill: #777; }
:root { color-scheme: light dark; }
</style>
<h1>A pipeline over time</h1>
";
