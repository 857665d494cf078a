use std::future::poll_fn;
use std::sync::LazyLock;
use std::sync::mpsc::{Sender, channel};
use std::task::{Poll, Waker};
use std::thread;

/// The thread that wakes.
static WAKING: LazyLock<Sender<Waker>> = LazyLock::new(|| {
    let (sender, receiver) = channel::<Waker>();
    thread::spawn(move || receiver.into_iter().for_each(Waker::wake));
    sender
});

/// Is ready when another thread has woken it.
pub(super) async fn woken_elsewhere() {
    let mut registered = false;
    poll_fn(|cx| {
        if registered {
            return Poll::Ready(());
        }
        registered = true;
        WAKING.send(cx.waker().clone()).expect("the thread is there");
        Poll::Pending
    })
    .await;
}
