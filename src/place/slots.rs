//! What this thread holds for each `ThreadLocal` that was used on it.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::thread;

use crate::panics::{discard, first_panic};

/// How many owners are gone, in the whole process. By it threads know when to look for resources
/// that nobody can use any more.
static GONE: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static SLOTS: Slots = const {
        Slots { list: RefCell::new(Some(Vec::new())), swept: Cell::new(0) }
    };
}

struct Slots {
    /// In the order in which the resources were made. `None` once the thread ends. Never borrowed
    /// while code of the user's runs, destructors included.
    list: RefCell<Option<Vec<Slot>>>,

    /// How many owners were gone when outlived resources were dropped last.
    swept: Cell<usize>,
}

struct Slot {
    /// Keeps the owner's address from being used again, for as long as it is known by it.
    owner: Weak<Owner>,
    /// `None` while it is lent.
    resource: Option<Box<dyn Any>>,
}

/// Whom a resource belongs to: a `ThreadLocal` has one for its whole life.
pub(super) struct Owner(());

impl Owner {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self(()))
    }

    /// Lets all threads know that their resources are not wanted any more.
    pub(super) fn leave(self: Arc<Self>) {
        drop(self);
        GONE.fetch_add(1, Ordering::Release);
    }
}

/// What a thread has of an owner's.
pub(super) enum Found {
    /// This, which is lent until it is given back with [`restore`] or [`forget`].
    Resource(Box<dyn Any>),
    /// Nothing yet. The place is taken, as if it were lent.
    Nothing,
    /// A resource that is lent already.
    Lent,
    /// Nothing ever again: the thread ends.
    Ended,
}

/// Lends this thread's resource.
pub(super) fn lend(owner: &Arc<Owner>) -> Found {
    with_list(|list| match position(list, owner) {
        Some(index) => list[index].resource.take().map_or(Found::Lent, Found::Resource),
        None => {
            list.push(Slot { owner: Arc::downgrade(owner), resource: None });
            Found::Nothing
        }
    })
    .unwrap_or(Found::Ended)
}

/// Takes back what was lent, or was made meanwhile.
pub(super) fn restore(owner: &Arc<Owner>, resource: Box<dyn Any>) {
    let mut resource = Some(resource);
    with_list(|list| {
        if let Some(index) = position(list, owner) {
            list[index].resource = resource.take();
        }
    });
}

/// Has nothing of the owner's any more, if what it had was lent.
pub(super) fn forget(owner: &Arc<Owner>) {
    with_list(|list| {
        if let Some(index) = position(list, owner) {
            list.remove(index);
        }
    });
}

/// Drops what is left of owners that are gone.
pub(super) fn sweep() {
    let gone = GONE.load(Ordering::Acquire);
    let is_due = SLOTS.try_with(|slots| slots.swept.replace(gone) != gone);
    if is_due != Ok(true) {
        return;
    }
    let outlived = with_list(|list| {
        let (kept, outlived): (_, Vec<Slot>) =
            mem::take(list).into_iter().partition(|slot| slot.owner.strong_count() > 0);
        *list = kept;
        outlived
    });
    outlived.unwrap_or_default().into_iter().rev().for_each(discard);
}

/// Drops all that this thread has, the latest first, and lets it have nothing more.
///
/// Returns the first panic that came of it.
#[cfg(feature = "threads")]
pub(super) fn end() -> thread::Result<()> {
    SLOTS.try_with(Slots::end).unwrap_or(Ok(()))
}

impl Slots {
    fn end(&self) -> thread::Result<()> {
        let list = self.list.take().unwrap_or_default();
        let drops =
            list.into_iter().rev().map(|slot| catch_unwind(AssertUnwindSafe(|| drop(slot))));
        drops.fold(Ok(()), first_panic)
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        // There is nobody to tell of a panic, which would abort the process.
        discard(self.end());
    }
}

/// `None` if the thread ends.
fn with_list<T>(f: impl FnOnce(&mut Vec<Slot>) -> T) -> Option<T> {
    SLOTS.try_with(|slots| slots.list.borrow_mut().as_mut().map(f)).ok().flatten()
}

fn position(list: &[Slot], owner: &Arc<Owner>) -> Option<usize> {
    list.iter().position(|slot| slot.owner.as_ptr() == Arc::as_ptr(owner))
}
