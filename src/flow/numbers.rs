use std::fmt;

use super::picture::{self, Note};
use super::steps::{Stage, Steps};
use crate::monitor::Snapshot;

/// A picture of a flow with numbers: see [`Flow::with_numbers`](super::Flow::with_numbers).
///
/// Each stage is followed by the median duration of its calls, what it spent most of its time on, in the words of
/// [`Times`](crate::monitor::Times), and what it yielded. The bottleneck is marked, if it is one of the stages.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use async_io::Timer;
/// use flowlet::prelude::*;
/// use flowlet::{Flow, Monitor};
///
/// # futures_lite::future::block_on(async {
/// let monitor = Monitor::new();
/// let flow = Flow::<u32>::identity()
///     .map_concurrent(monitor.stage("fetch", 20), async |n| n)
///     .map_concurrent(monitor.stage("store", 2), async |_| {
///         Timer::after(Duration::from_millis(5)).await;
///     });
/// pipe(0..20).through(&flow).drain().await;
/// println!("{}", flow.with_numbers(&monitor.snapshot()));
/// // │
/// // ├─ map_concurrent(20)  fetch: 850ns a call, 97% downstream, 20 out, 396/s
/// // ├─ map_concurrent(2)  ▶ store: 5.2ms a call, 97% calls, 20 out, 386/s
/// // ▼
/// # });
/// ```
#[derive(Clone)]
pub struct FlowNumbers<'a> {
    steps: &'a Steps,
    seen: &'a Snapshot,
}

impl<'a> FlowNumbers<'a> {
    pub(super) fn new(steps: &'a Steps, seen: &'a Snapshot) -> Self {
        Self { steps, seen }
    }

    /// Draws the flow as [`Flow::to_mermaid`](super::Flow::to_mermaid) does, with numbers on the stages and on the
    /// edges that leave them. The bottleneck has a thick border.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::prelude::*;
    /// use flowlet::{Flow, Monitor};
    ///
    /// # futures_lite::future::block_on(async {
    /// let monitor = Monitor::counting();
    /// let flow = Flow::<u32>::identity()
    ///     .map_concurrent(monitor.stage("double", 4), async |n| 2 * n)
    ///     .batched(50);
    /// pipe(0..100).through(&flow).drain().await;
    ///
    /// let graph = flow.with_numbers(&monitor.snapshot()).to_mermaid();
    /// assert!(graph.contains(r#"["map_concurrent(4)<br>double"]"#), "{graph}");
    /// # });
    /// ```
    pub fn to_mermaid(&self) -> String {
        picture::mermaid(self.steps, &|stage| self.note(stage))
    }

    /// Returns the note on a stage, if it is monitored under a name of its own.
    fn note(&self, stage: &Stage) -> Option<Note> {
        let name = stage.monitored_as()?;
        let stages = self.seen.stages.iter().enumerate();
        let mut named = stages.filter(|(_, stage)| stage.name == name);
        let (index, stage) = named.next().filter(|_| named.next().is_none())?;
        Some(Note {
            text: self.seen.stage_in_short(stage),
            outputs: self.seen.outputs_in_short(stage),
            is_bottleneck: self.seen.is_bottleneck(index),
        })
    }
}

impl fmt::Display for FlowNumbers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        picture::tree(self.steps, &|stage| self.note(stage), f)
    }
}

impl fmt::Debug for FlowNumbers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlowNumbers").field("steps", self.steps).field("seen", self.seen).finish()
    }
}
