use futures_util::StreamExt;
use tokio_par_stream::TokioParStream as _;

use super::of_streams::peer;

peer! {
    /// `par_buffered_unordered` and `par_buffered` of tokio-par-stream: a task a call.
    TokioParStream, "tokio-par-stream", Tasks,
    |stream, limit, f|
    map: stream.map(f).par_buffered_unordered(limit),
    ordered: stream.map(f).par_buffered(limit),
}
