//! Every stage reports whether it has ended, so that `futures::select!` takes it as it is.

/// Implements [`FusedStream`](futures_core::FusedStream) for a stage with these generics, by an
/// expression in its fields.
macro_rules! fused {
    ([$($generics:tt)*] $stage:ty: |$this:ident| $is_over:expr) => {
        impl<$($generics)*> futures_core::FusedStream for $stage
        where
            Self: futures_core::Stream,
        {
            fn is_terminated(&self) -> bool {
                let $this = self;
                $is_over
            }
        }
    };
}

pub(crate) use fused;
