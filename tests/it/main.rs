//! The tests that can share a process: one file a promise or capability.

#[allow(dead_code)] // The tests of limits need the rest.
#[path = "../support/mod.rs"]
mod support;

mod alongside_begins;
mod answers;
mod auto_traits;
mod batch_by_weight;
#[cfg(feature = "time")]
mod batch_within;
#[cfg(feature = "time")]
mod batch_within_sleep;
mod blocking;
mod blocking_deadline;
mod blocking_pools;
mod bound;
mod budget;
mod dropped;
mod drops;
mod eager;
mod errors;
mod errors_panics;
mod finishing;
mod flow_builder;
mod flow_shown;
mod functional;
mod fused;
mod fused_stream;
mod giving_way;
mod local;
mod map_ok;
mod map_ok_bound;
mod merge;
mod merge_handles;
mod merge_panics;
mod open_then_stream;
mod order;
mod panics;
mod pool;
mod pool_end;
mod pool_turns;
mod prefetch;
mod remainder;
mod result_adaptors;
mod runtimes;
#[cfg(target_os = "linux")]
mod short_of_threads;
mod spawn_handles;
mod stalled_consumers;
mod starvation;
mod starvation_busy;
mod starvation_driven;
mod starvation_elsewhere;
mod starvation_panics;
mod starvation_prefetch;
mod stop;
mod stop_heard;
mod styles;
mod tasks;
mod thread_local;
mod threads;
mod together;
mod wakers;
mod with_state;
