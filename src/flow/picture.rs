//! Pictures of a flow: `Display`, and the Mermaid graph.

use std::fmt::{self, Write};

use super::steps::{Stage, Step, Steps};

/// What a picture adds to a stage.
pub(super) struct Note {
    pub(super) text: String,

    /// What it yields.
    pub(super) outputs: String,

    pub(super) is_bottleneck: bool,
}

/// Returns the note on a stage.
pub(super) type Notes<'a> = &'a dyn Fn(&Stage) -> Option<Note>;

/// There are no notes.
pub(super) const NO_NOTES: Notes<'static> = &|_| None;

/// Marks the bottleneck.
pub(crate) const MARK: &str = "▶ ";

/// Draws the stream as a line from top to bottom, with the steps along it.
pub(super) fn tree(steps: &Steps, notes: Notes<'_>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str("│\n")?;
    for step in steps.iter() {
        branch(step, "", "├─ ", "│  ", notes, f)?;
    }
    f.write_str("▼")
}

/// Draws a step: `joint` leads to it, and `line` runs past its contents.
fn branch(
    step: &Step,
    indent: &str,
    joint: &str,
    line: &str,
    notes: Notes<'_>,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    match step {
        Step::Stage(stage) => {
            write!(f, "{indent}{joint}{stage}")?;
            if let Some(Note { text, outputs, is_bottleneck }) = notes(stage) {
                let mark = if is_bottleneck { MARK } else { "" };
                write!(f, "  {mark}{}, {outputs}", one_line(&text))?;
            }
            writeln!(f)
        }
        Step::Flow(name, steps) => {
            writeln!(f, "{indent}{joint}{}", one_line(name))?;
            let indent = format!("{indent}{line}");
            let mut steps = steps.iter().peekable();
            while let Some(step) = steps.next() {
                let (joint, line) =
                    if steps.peek().is_some() { ("├─ ", "│  ") } else { ("└─ ", "   ") };
                branch(step, &indent, joint, line, notes, f)?;
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
pub(super) fn mermaid(steps: &Steps, notes: Notes<'_>) -> String {
    let mut graph = Mermaid { notes, nodes: String::new(), outputs: Vec::new(), flows: 0 };
    graph.nodes(steps, "    ");
    let edges = (1..graph.outputs.len())
        .map(|step| format!("    step{step} -->{} step{}\n", graph.outputs[step - 1], step + 1));
    format!("flowchart TD\n{}{}", graph.nodes, edges.collect::<String>())
}

struct Mermaid<'a> {
    notes: Notes<'a>,
    nodes: String,

    /// The label of the edge that leaves each step.
    outputs: Vec<String>,
    flows: usize,
}

impl Mermaid<'_> {
    fn nodes(&mut self, steps: &Steps, indent: &str) {
        for step in steps.iter() {
            match step {
                // A subgraph must not be empty.
                Step::Flow(name, steps) if steps.is_empty() => self.node(name, None, indent),
                Step::Flow(name, steps) => {
                    self.flows += 1;
                    let (flow, label) = (self.flows, label(name));
                    self.line(indent, format_args!("subgraph flow{flow}[\"{label}\"]"));
                    self.nodes(steps, &format!("{indent}    "));
                    self.line(indent, format_args!("end"));
                }
                Step::Stage(stage) => self.node(&stage.to_string(), (self.notes)(stage), indent),
            }
        }
    }

    fn node(&mut self, text: &str, note: Option<Note>, indent: &str) {
        let (mut label, mut outputs) = (label(text), String::new());
        let mut is_bottleneck = false;
        if let Some(note) = note {
            label.push_str("<br>");
            label.push_str(&self::label(&note.text));
            outputs = format!("|\"{}\"|", self::label(&note.outputs));
            is_bottleneck = note.is_bottleneck;
        }
        self.outputs.push(outputs);
        let step = self.outputs.len();
        self.line(indent, format_args!("step{step}[\"{label}\"]"));
        if is_bottleneck {
            self.line(indent, format_args!("style step{step} stroke-width:4px"));
        }
    }

    fn line(&mut self, indent: &str, line: fmt::Arguments<'_>) {
        writeln!(self.nodes, "{indent}{line}").expect("writing to a `String` cannot fail");
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
