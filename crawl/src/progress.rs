//! The bar that shows how far the crawl is.

use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};

/// A progress bar on stderr, if that is a terminal. It is gone when this is dropped.
pub(crate) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    pub(crate) fn new() -> Self {
        let style = ProgressStyle::with_template("{bar:40} {pos} of {len} so far, {msg}")
            .expect("the template is right");
        let bar = ProgressBar::new(1).with_style(style).with_finish(ProgressFinish::AndClear);
        Self { bar }
    }

    /// Shows that one more page is done, of `found` that are known, while `running` are fetched.
    pub(crate) fn show(&self, found: usize, running: usize) {
        self.bar.set_length(found as u64);
        self.bar.set_message(format!("{running} in flight"));
        self.bar.inc(1);
    }
}
