#![doc = include_str!("guide.md")]

#[doc = include_str!("limits.md")]
pub mod limits {}

#[doc = include_str!("polling.md")]
pub mod polling {}

#[doc = include_str!("errors.md")]
pub mod errors {}

#[doc = include_str!("ends.md")]
pub mod ends {}

#[doc = include_str!("places.md")]
pub mod places {}

#[cfg(feature = "monitor")]
#[doc = include_str!("which_stage_is_slow.md")]
pub mod which_stage_is_slow {}

#[doc = include_str!("when_it_does_not_compile.md")]
pub mod when_it_does_not_compile {}

#[doc = include_str!("from_futures.md")]
pub mod from_futures {}

#[doc = include_str!("from_python.md")]
pub mod from_python {}
