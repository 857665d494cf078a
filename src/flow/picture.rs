//! Pictures of a flow: the `Display`, and the Mermaid graph.

use std::fmt::{self, Write};

use super::steps::{Step, Steps};

/// Draws the stream as a line from top to bottom, with the steps along it.
pub(super) fn tree(steps: &Steps, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str("│\n")?;
    for step in steps.iter() {
        branch(step, "", "├─ ", "│  ", f)?;
    }
    f.write_str("▼")
}

/// Draws a step: `joint` leads to it, and `line` passes by what is in it.
fn branch(
    step: &Step,
    indent: &str,
    joint: &str,
    line: &str,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    match step {
        Step::Stage(stage) => writeln!(f, "{indent}{joint}{stage}"),
        Step::Flow(name, steps) => {
            writeln!(f, "{indent}{joint}{}", one_line(name))?;
            let indent = format!("{indent}{line}");
            let mut steps = steps.iter().peekable();
            while let Some(step) = steps.next() {
                let (joint, line) =
                    if steps.peek().is_some() { ("├─ ", "│  ") } else { ("└─ ", "   ") };
                branch(step, &indent, joint, line, f)?;
            }
            Ok(())
        }
    }
}

/// Escapes what would break the picture, such as a line feed.
pub(crate) fn one_line(name: &str) -> String {
    let escaped = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.into() };
    name.chars().map(escaped).collect()
}

/// Draws the steps as a Mermaid graph.
pub(super) fn mermaid(steps: &Steps) -> String {
    let mut graph = Mermaid::default();
    graph.nodes(steps, "    ");
    let edges = (1..graph.steps).map(|step| format!("    step{step} --> step{}\n", step + 1));
    format!("flowchart TD\n{}{}", graph.nodes, edges.collect::<String>())
}

#[derive(Default)]
struct Mermaid {
    nodes: String,
    steps: usize,
    flows: usize,
}

impl Mermaid {
    fn nodes(&mut self, steps: &Steps, indent: &str) {
        for step in steps.iter() {
            match step {
                // A subgraph must not be empty.
                Step::Flow(name, steps) if steps.is_empty() => self.node(name, indent),
                Step::Flow(name, steps) => {
                    self.flows += 1;
                    let (flow, label) = (self.flows, label(name));
                    self.line(indent, format_args!("subgraph flow{flow}[\"{label}\"]"));
                    self.nodes(steps, &format!("{indent}    "));
                    self.line(indent, format_args!("end"));
                }
                Step::Stage(stage) => self.node(&stage.to_string(), indent),
            }
        }
    }

    fn node(&mut self, text: &str, indent: &str) {
        self.steps += 1;
        let (step, label) = (self.steps, label(text));
        self.line(indent, format_args!("step{step}[\"{label}\"]"));
    }

    fn line(&mut self, indent: &str, line: fmt::Arguments<'_>) {
        writeln!(self.nodes, "{indent}{line}").expect("a `String` takes all that is written");
    }
}

/// Escapes, in Mermaid's own way, what it could take for Markdown, HTML or the end of a label.
fn label(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let is_letter = |index: Option<usize>| {
        index.and_then(|index| chars.get(index)).is_some_and(|c| c.is_alphanumeric())
    };
    let mut label = String::new();
    for (index, &c) in chars.iter().enumerate() {
        let within_word = is_letter(index.checked_sub(1)) && is_letter(Some(index + 1));
        match c {
            ' ' | '(' | ')' => label.push(c),
            '_' | '-' | '.' if within_word => label.push(c),
            c if c.is_alphanumeric() => label.push(c),
            c => label.push_str(&format!("#{};", u32::from(c))),
        }
    }
    label
}
