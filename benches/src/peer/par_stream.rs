use par_stream::{ParParams, ParStreamExt};

use super::of_streams::peer;

peer! {
    /// `par_then_unordered` and `par_then` of par-stream, with as many workers as calls in flight.
    ParStream, "par-stream", Tasks,
    |stream, limit, f|
    map: stream.par_then_unordered(workers(limit), f),
    ordered: stream.par_then(workers(limit), f),
}

fn workers(limit: usize) -> ParParams {
    ParParams { num_workers: limit, buf_size: Some(limit) }
}
