mod batch;
mod drain;
mod driven;
mod expand;
mod filter;
mod filter_map;
mod flat_map;
mod map;

pub use self::batch::Batched;
pub use self::drain::Drain;
pub use self::driven::{Alongside, Driven};
pub use self::expand::{Expand, Opening};
pub use self::filter_map::FilterMapConcurrent;
pub use self::flat_map::FlatMapConcurrent;
pub use self::map::MapConcurrent;

pub(crate) use self::filter::filter_concurrent;
