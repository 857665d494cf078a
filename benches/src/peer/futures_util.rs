use futures_util::StreamExt;

use super::of_streams::peer;

peer! {
    /// `buffer_unordered` and `buffered` of futures-util.
    FuturesUtil, "futures-util", Loop,
    |stream, limit, f|
    map: stream.map(f).buffer_unordered(limit),
    ordered: stream.map(f).buffered(limit),
}
