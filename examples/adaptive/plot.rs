//! The limits over time, drawn.

use std::fmt::Write;

use super::report::Row;
use super::simulation::PHASE;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 120.0;
const LEFT: f64 = 40.0;
const GAP: f64 = 34.0;

/// Draws rows below each other: the workers dashed, the limit in colour.
///
/// It takes the colour of the surrounding text, so that it can be read on any background.
pub(crate) fn picture(rows: &[Row]) -> String {
    let seconds = 3.0 * PHASE.as_secs_f64();
    let height = rows.len() as f64 * (HEIGHT + GAP) + 20.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         style=\"max-width:100%\" role=\"img\" aria-label=\"The limit over time, for three servers\" \
         font-family=\"sans-serif\" font-size=\"12\" fill=\"currentColor\">\n"
    );
    for (index, row) in rows.iter().enumerate() {
        let top = index as f64 * (HEIGHT + GAP) + 20.0;
        let most = row.scenario.knee as f64 * 2.0;
        let x = |time: f64| LEFT + time / seconds * (WIDTH - LEFT - 10.0);
        let y = |limit: f64| top + HEIGHT - (limit / most).min(1.0) * HEIGHT;
        let bottom = top + HEIGHT;
        writeln!(svg, "<text x=\"{LEFT}\" y=\"{:.0}\">{}</text>", top - 6.0, row.scenario)
            .expect("writing to a string cannot fail");
        let mut path = |points: &[(f64, f64)], style: &str| {
            let mut line = String::new();
            for (index, (time, limit)) in points.iter().enumerate() {
                let (x, y) = (x(*time), y(*limit));
                // Steps: a limit holds until the next one.
                let step =
                    if index == 0 { format!("M{x:.0} {y:.0}") } else { format!("H{x:.0}V{y:.0}") };
                line += &step;
            }
            writeln!(svg, "<path d=\"{line}\" fill=\"none\" {style} />")
                .expect("writing to a string cannot fail");
        };
        path(&[(0.0, most), (0.0, 0.0), (seconds, 0.0)], "stroke=\"currentColor\"");
        let workers = |phase: usize| row.scenario.phase(phase).0 as f64;
        let phase = PHASE.as_secs_f64();
        path(
            &[
                (0.0, workers(0)),
                (phase, workers(1)),
                (2.0 * phase, workers(2)),
                (seconds, workers(2)),
            ],
            "stroke=\"currentColor\" stroke-dasharray=\"4 4\"",
        );
        let limits = row.run.limits.iter().map(|(at, limit)| (at.as_secs_f64(), *limit as f64));
        let mut limits: Vec<(f64, f64)> = limits.collect();
        limits.extend(limits.last().map(|(_, limit)| (seconds, *limit)));
        path(&limits, "stroke=\"#3584e4\" stroke-width=\"1.5\"");
        for limit in [0.0, most / 2.0, most] {
            let (x, y) = (LEFT - 6.0, y(limit) + 4.0);
            writeln!(svg, "<text x=\"{x}\" y=\"{y:.0}\" text-anchor=\"end\">{limit}</text>")
                .expect("writing to a string cannot fail");
        }
        if index + 1 == rows.len() {
            for time in [0.0, phase, 2.0 * phase, seconds] {
                let anchor = if time == seconds { "end" } else { "middle" };
                let (x, y) = (x(time), bottom + 16.0);
                writeln!(
                    svg,
                    "<text x=\"{x:.0}\" y=\"{y:.0}\" text-anchor=\"{anchor}\">{time} s</text>"
                )
                .expect("writing to a string cannot fail");
            }
        }
    }
    svg + "</svg>\n"
}
