use crate::Contender;
use crate::call::{Callable, Visit};
use crate::peer::{Flowlet, FuturesBuffered, FuturesUtil, Peer};
#[cfg(feature = "spawning")]
use crate::peer::{ParStream, Pumps, TokioParStream};

/// A workload that is written once for all that are a [`Peer`].
pub(super) trait Shared: Copy {
    /// Has a peer do it.
    fn of<P: Peer>(self, f: impl Callable) -> Contender;

    /// Has flowlet do it: like a peer, unless it has a stage that they have not.
    fn ours(self, f: impl Callable) -> Contender {
        self.of::<Flowlet>(f)
    }

    /// Has those do it that take a whole workload.
    fn whole(self, _: impl Callable) -> Vec<Contender> {
        Vec::new()
    }

    /// Has each peer do it.
    fn peers(self, f: impl Callable) -> Vec<Contender> {
        vec![
            self.of::<FuturesUtil>(f),
            self.of::<FuturesBuffered>(f),
            #[cfg(feature = "spawning")]
            self.of::<ParStream>(f),
            #[cfg(feature = "spawning")]
            self.of::<Pumps>(f),
            #[cfg(feature = "spawning")]
            self.of::<TokioParStream>(f),
        ]
    }
}

impl<W: Shared> Visit for W {
    fn visit(self, f: impl Callable) -> Vec<Contender> {
        let mut contenders = vec![self.ours(f)];
        contenders.extend(self.peers(f));
        contenders.extend(self.whole(f));
        contenders
    }
}
