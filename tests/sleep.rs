//! Batches whose time is told by a function of the user's.
