//! Numbers as they are shown to people, in at most six characters.

use std::time::Duration;

/// A number of things: `999`, `12k`, `4.5M`.
pub(super) fn count(number: u64) -> String {
    if number < 1000 { number.to_string() } else { scaled(number as f64) }
}

/// A limit, in full.
pub(super) fn limited(limit: usize) -> String {
    if limit == usize::MAX { "∞".to_owned() } else { limit.to_string() }
}

/// A rate per second: `0.5`, `20`, `12k`.
pub(super) fn rate(number: f64) -> String {
    match number {
        0.0 => "0".to_owned(),
        ..9.95 => format!("{number:.1}"),
        ..999.5 => format!("{number:.0}"),
        _ => scaled(number),
    }
}

/// With a unit, in three digits.
fn scaled(number: f64) -> String {
    let units = [(1e3, "k"), (1e6, "M"), (1e9, "G"), (1e12, "T")];
    let (factor, unit) =
        units.into_iter().find(|(factor, _)| number < 999.5 * factor).unwrap_or((1e12, "T"));
    digits(number / factor, unit)
}

/// A time: `0`, `950ns`, `12µs`, `4.5ms`, `1.2s`, `90s`.
pub(super) fn duration(time: Duration) -> String {
    let nanoseconds = time.as_nanos() as f64;
    let units = [(1.0, "ns"), (1e3, "µs"), (1e6, "ms")];
    let (factor, unit) =
        units.into_iter().find(|(factor, _)| nanoseconds < 999.5 * factor).unwrap_or((1e9, "s"));
    if nanoseconds == 0.0 { "0".to_owned() } else { digits(nanoseconds / factor, unit) }
}

/// Two digits or more.
fn digits(number: f64, unit: &str) -> String {
    if number < 9.95 && unit != "ns" {
        format!("{number:.1}{unit}")
    } else {
        format!("{number:.0}{unit}")
    }
}

/// A share from 0 to 1: `93%`.
pub(super) fn percent(share: f64) -> String {
    format!("{:.0}%", 100.0 * share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_have_their_units() {
        let counts = [0, 999, 1000, 1250, 12_345, 999_499, 999_500, 4_500_000];
        assert_eq!(counts.map(count), ["0", "999", "1.0k", "1.2k", "12k", "999k", "1.0M", "4.5M"]);
        assert_eq!([4, 1000, usize::MAX].map(limited), ["4", "1000", "∞"]);
        let rates = [0.0, 0.04, 0.5, 9.96, 20.4, 999.4, 999.6, 12_345.0];
        assert_eq!(rates.map(rate), ["0", "0.0", "0.5", "10", "20", "999", "1.0k", "12k"]);
        let times = [0, 950, 1_000, 12_300, 999_600, 4_540_000, 1_200_000_000, 90_000_000_000];
        assert_eq!(
            times.map(|nanoseconds| duration(Duration::from_nanos(nanoseconds))),
            ["0", "950ns", "1.0µs", "12µs", "1.0ms", "4.5ms", "1.2s", "90s"]
        );
        assert_eq!([0.0, 0.004, 0.996, 1.0].map(percent), ["0%", "0%", "100%", "100%"]);
    }
}
