#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod address;
mod broker;
mod catch;
mod codec;
mod connector;
mod deliveries;
mod delivery;
mod error;
mod headers;
mod intake;
mod lenient;
mod link;
mod message;
mod outlet;
mod publisher;
mod queue;
mod runtime;
mod setbacks;
mod socket;
mod source;
pub mod worker;

pub use broker::Broker;
pub use codec::{Codec, Json};
pub use deliveries::Deliveries;
pub use delivery::Delivery;
pub use error::Error;
pub use headers::Headers;
pub use publisher::{Publisher, Publishing};
pub use queue::Queue;
pub use runtime::Runtime;
pub use worker::{Summary, Worker};
