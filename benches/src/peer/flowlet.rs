use flowlet::{FlowExt, ordered};

use super::of_streams::peer;

peer! {
    /// What all is about.
    Flowlet, "flowlet", Loop,
    |stream, limit, f|
    map: stream.map_concurrent(limit, f),
    ordered: stream.map_concurrent(ordered(limit), f),
}
