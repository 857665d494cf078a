//! What adaptive limits come to, in a time of their own: as the docs of the module say.

#[path = "../../examples/adaptive/plot.rs"]
mod plot;
#[path = "../../examples/adaptive/report.rs"]
mod report;
#[path = "../../examples/adaptive/server.rs"]
mod server;
#[path = "../../examples/adaptive/simulation.rs"]
mod simulation;
#[path = "../../examples/adaptive/world.rs"]
mod world;

use std::sync::LazyLock;

use self::report::{Report, Row, SEEDS, smaller};
use self::simulation::{Change, SETTLING};

/// It takes seconds, so all tests look at the same one.
static REPORT: LazyLock<Report> = LazyLock::new(Report::new);

/// Tells whether a server is one for which all bars hold: its calls differ by a third at most, and the time that
/// they take without a queue stays the same.
fn is_steady(row: &Row) -> bool {
    row.scenario.millis == (20, 40) && row.scenario.change == Change::Halves
}

/// Checks all servers of a kind, in each phase, with each seed.
fn check(steady: bool, throughput: f64, latency: f64) {
    let rows: Vec<&Row> = REPORT.rows.iter().filter(|row| is_steady(row) == steady).collect();
    assert_eq!((rows.len(), SEEDS.len()), (6, 3));
    for row in rows {
        for phase in 0..3 {
            let worst = row.worst(phase);
            let text = format!("{}, phase {phase}: {worst:?}", row.scenario);
            assert!(worst.throughput >= throughput, "{text}");
            assert!(worst.latency <= latency, "{text}");
        }
    }
}

/// From a second after each change until the next one.
#[test]
fn throughput_and_latency_are_near_the_best() {
    check(true, 0.95, 1.3);
}

#[test]
fn they_are_not_far_from_it_where_calls_differ_much_or_become_slow() {
    check(false, 0.85, 1.6);
}

#[test]
fn the_limit_has_settled_within_a_second() {
    for row in REPORT.rows.iter().filter(|row| is_steady(row)) {
        for phase in 0..3 {
            let settled = row.worst(phase).settled.expect("it settles");
            assert!(settled <= SETTLING, "{}, phase {phase}: {settled:?}", row.scenario);
        }
    }
}

/// They take turns in having more, and in the long run neither does.
#[test]
fn two_pipelines_have_nearly_equal_shares() {
    for shares in &REPORT.shares {
        let scenario = &shares.scenario;
        for both in &shares.shares {
            assert!(smaller(*both) >= 0.8, "{scenario}: {both:?}");
        }
        assert!(smaller(shares.total()) >= 0.9, "{scenario}: {:?}", shares.total());
        assert!(shares.throughput() >= 0.95, "{scenario}: {}", shares.throughput());
    }
}

#[test]
fn the_docs_show_what_the_program_writes() {
    let again = "write them anew: cargo run --release --example adaptive";
    assert!(REPORT.tables() == include_str!("../../src/adaptive/tables.md"), "{again}");
    assert!(REPORT.picture() == include_str!("../../src/adaptive/limits.svg"), "{again}");
}
