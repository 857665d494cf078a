use std::fmt;

/// The middle of some values, and where the middle half of them lies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// A quarter of the values is less.
    pub low: f64,

    /// Half of them is.
    pub median: f64,

    /// Three quarters are.
    pub high: f64,
}

impl Spread {
    /// Sorts out some values.
    ///
    /// # Panics
    ///
    /// Panics if there are none.
    pub fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |quarter: usize| values[(values.len() - 1) * quarter / 4];
        Self { low: at(1), median: at(2), high: at(3) }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = if self.high < 0.1 { 3 } else { 2 };
        let Self { low, median, high } = self;
        write!(f, "{median:.decimals$}, {low:.decimals$}–{high:.decimals$}")
    }
}
