//! The progress bar.

use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};

/// A progress bar on stderr, if that is a terminal. Dropping it clears the bar.
pub(crate) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    pub(crate) fn new() -> Self {
        let style = ProgressStyle::with_template("{bar:40} {pos} of {len} so far, {msg}")
            .expect("the template is valid");
        let bar = ProgressBar::new(1).with_style(style).with_finish(ProgressFinish::AndClear);
        Self { bar }
    }

    /// Shows that one more page is done, of `found` known ones, while `running` are being fetched.
    pub(crate) fn show(&self, found: usize, running: usize) {
        self.bar.set_length(found as u64);
        self.bar.set_message(format!("{running} in flight"));
        self.bar.inc(1);
    }
}
