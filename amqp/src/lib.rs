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
mod exit;
mod headers;
mod intake;
mod job;
mod lenient;
mod letters;
mod link;
mod message;
mod outlet;
mod output;
mod parts;
mod publisher;
mod queue;
mod runtime;
mod sender;
mod setbacks;
mod shards;
mod socket;
mod source;
pub mod worker;

pub use broker::Broker;
pub use codec::{Codec, Json};
pub use deliveries::Deliveries;
pub use delivery::Delivery;
pub use error::Error;
pub use headers::{HeaderValue, Headers};
pub use job::{Input, Job};
pub use letters::{Letter, Letters, Tally, Verdict};
pub use output::{Message, Output};
pub use parts::{Cut, Parts};
pub use publisher::{Publisher, Publishing};
pub use queue::Queue;
pub use runtime::Runtime;
pub use sender::Sender;
pub use shards::Shards;
pub use worker::{Summary, Worker};
