use std::fmt::Write;

use super::digits;

/// Bars that belong together.
pub(super) struct Group<'a> {
    /// What stands above them.
    pub title: String,

    /// Their names and values; the first one is ours.
    pub bars: Vec<(&'a str, f64)>,

    /// A value that none can be below.
    pub floor: Option<f64>,
}

const WIDTH: f64 = 760.0;
const LEFT: f64 = 190.0;
const RIGHT: f64 = 90.0;
const LINE: f64 = 20.0;

/// Colours for light and for dark surroundings; there is no background.
const STYLE: &str = "\
text { font: 13px system-ui, sans-serif; fill: #24292f }
.head { font-size: 16px; font-weight: 600 }
.group { font-weight: 600 }
.ours { fill: #0969da }
.theirs { fill: #afb8c1 }
.floor { stroke: #cf222e; stroke-width: 2; stroke-dasharray: 4 3 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .ours { fill: #4493f8 }
  .theirs { fill: #59636e }
  .floor { stroke: #f85149 }
}";

/// Draws an SVG with a group of bars for each workload, each on a scale of its own.
pub(super) fn chart(title: &str, unit: &str, groups: &[Group<'_>]) -> String {
    let lines: usize = groups.iter().map(|group| group.bars.len() + 2).sum();
    let height = 40.0 + LINE * lines as f64;
    let mut svg = String::new();
    let mut y = 24.0;
    let mut line = |class: &str, x: f64, y: f64, anchor: &str, text: &str| {
        let text = text.replace('&', "&amp;").replace('<', "&lt;");
        let _ = writeln!(
            svg,
            r#"<text class="{class}" x="{x:.0}" y="{y:.0}" text-anchor="{anchor}">{text}</text>"#
        );
    };
    line("head", 0.0, y, "start", title);
    let mut shapes = String::new();
    for group in groups {
        y += 1.5 * LINE;
        line("group", 0.0, y, "start", &group.title);
        let longest = group.bars.iter().map(|(_, value)| *value).fold(f64::MIN_POSITIVE, f64::max);
        let scale = (WIDTH - LEFT - RIGHT) / longest;
        let top = y + 6.0;
        for (index, (name, value)) in group.bars.iter().enumerate() {
            y += LINE;
            let class = if index == 0 { "ours" } else { "theirs" };
            let (width, above) = ((value * scale).max(1.0), y - 12.0);
            line("name", LEFT - 8.0, y, "end", name);
            line("value", LEFT + width + 6.0, y, "start", &format!("{} {unit}", digits(*value)));
            let _ = writeln!(
                shapes,
                r#"<rect class="{class}" x="{LEFT}" y="{above:.0}" width="{width:.1}" height="15" rx="2"/>"#
            );
        }
        if let Some(floor) = group.floor {
            let x = LEFT + floor * scale;
            let _ = writeln!(
                shapes,
                r#"<line class="floor" x1="{x:.1}" x2="{x:.1}" y1="{top:.0}" y2="{:.0}"/>"#,
                y + 6.0
            );
        }
        y += 0.5 * LINE;
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
         aria-label=\"{title}\">\n<style>\n{STYLE}\n</style>\n{shapes}{svg}</svg>\n"
    )
}
