//! Measures adaptive limits against servers that change, in simulated time.
//!
//! Pipelines with the real limits call a server in a world whose clock stands still while there is anything to do. So
//! the simulation takes seconds, and its results are always the same. It writes the tables and the picture in the docs
//! of `flowlet::adaptive`:
//!
//! ```text
//! cargo run --release --example adaptive
//! ```

mod plot;
mod report;
mod server;
mod simulation;
mod world;

use std::fs;
use std::path::Path;

use self::report::Report;

fn main() {
    let report = Report::new();
    let (tables, picture) = (report.tables(), report.picture());
    println!("{tables}");
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/adaptive");
    fs::write(docs.join("tables.md"), tables).expect("the tables can be written");
    fs::write(docs.join("limits.svg"), picture).expect("the picture can be written");
}
