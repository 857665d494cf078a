//! Permits can be had by the dozen: in turn, whatever they are asked for together with, and never more
//! than there are.

use std::iter;
use std::task::Poll;

use flowlet::{Acquire, Permit, Semaphore};
use proptest::prelude::*;

use crate::support::waker::Task;

/// Someone who asks for permits.
struct Asker {
    task: Task,
    acquire: Acquire,
    permits: usize,
}

impl Asker {
    fn new(semaphore: &Semaphore, permits: usize) -> Self {
        Self { task: Task::new(), acquire: semaphore.acquire_many(permits), permits }
    }

    fn poll(&mut self) -> Poll<Permit> {
        self.task.poll(&mut self.acquire)
    }
}

#[test]
fn who_asks_for_many_is_not_overtaken() {
    let semaphore = Semaphore::new(4);
    let mut held: Vec<_> = iter::from_fn(|| semaphore.try_acquire()).collect();
    let mut many = Asker::new(&semaphore, 3);
    let mut few: Vec<_> = (0..3).map(|_| Asker::new(&semaphore, 1)).collect();
    assert!(many.poll().is_pending());
    assert!(few.iter_mut().all(|asker| asker.poll().is_pending()));
    for free in 1..3 {
        held.pop();
        assert!(!many.task.is_woken() && semaphore.in_use() == 4 - free);
        assert!(few.iter_mut().all(|asker| !asker.task.is_woken() && asker.poll().is_pending()));
        assert!(semaphore.try_acquire().is_none(), "others are before it");
    }
    held.pop();
    let Poll::Ready(three) = many.poll() else { panic!("three are free") };
    assert_eq!((three.count(), semaphore.in_use()), (3, 4));
    drop(three);
    let granted: Vec<_> = few.iter_mut().filter(|asker| asker.task.is_woken()).collect();
    assert_eq!(granted.len(), 3);
}

#[test]
fn more_than_there_are_can_be_had_alone() {
    let semaphore = Semaphore::new(2);
    let one = semaphore.try_acquire();
    assert!(semaphore.try_acquire_many(5).is_none());
    let (mut five, mut next) = (Asker::new(&semaphore, 5), Asker::new(&semaphore, 1));
    assert!(five.poll().is_pending() && next.poll().is_pending());
    drop(one);
    let Poll::Ready(permits) = five.poll() else { panic!("all are free") };
    assert_eq!((permits.count(), semaphore.in_use()), (5, 5));
    assert!(next.poll().is_pending());
    semaphore.set_limit(5);
    assert!(next.poll().is_pending());
    drop(permits);
    assert!(next.poll().is_ready());
}

/// A grant that nobody has come for is taken back, whatever was granted.
#[test]
fn a_limit_of_zero_allows_not_even_none() {
    let semaphore = Semaphore::new(1);
    semaphore.set_limit(0);
    let mut askers = [0, 1, 0, 2, 0].map(|permits| Asker::new(&semaphore, permits));
    assert!(askers.iter_mut().all(|asker| asker.poll().is_pending()));
    semaphore.set_limit(1);
    assert!(askers[0].task.is_woken());
    semaphore.set_limit(0);
    assert!(askers.iter_mut().all(|asker| asker.poll().is_pending()));
    semaphore.set_limit(4);
    for mut asker in askers {
        let polled = asker.poll();
        assert!(asker.task.is_woken() || polled.is_ready(), "{} of 4", asker.permits);
    }
}

#[test]
fn who_asked_for_many_and_is_dropped_lets_the_others_pass() {
    let semaphore = Semaphore::new(3);
    let _held = semaphore.try_acquire();
    let mut askers: Vec<_> = [3, 1, 2].map(|permits| Asker::new(&semaphore, permits)).into();
    assert!(askers.iter_mut().all(|asker| asker.poll().is_pending()));
    askers.remove(0);
    assert!(askers[0].task.is_woken() && !askers[1].task.is_woken());
    // One that was granted its permits passes them on as well.
    askers.remove(0);
    assert!(askers[0].poll().is_ready());
}

#[test]
#[should_panic = "permits of different semaphores cannot be merged"]
fn permits_of_different_semaphores_are_not_merged() {
    let mut one = Semaphore::new(1).try_acquire().unwrap();
    one.merge(Semaphore::new(1).try_acquire().unwrap());
}

/// What happens to a semaphore.
#[derive(Clone, Debug)]
enum Event {
    Ask(usize),
    Try(usize),
    Poll(prop::sample::Index),
    Drop(prop::sample::Index),
    GiveBack(prop::sample::Index),
    Split(prop::sample::Index, usize),
    Merge(prop::sample::Index, prop::sample::Index),
    SetLimit(usize),
}

fn any_event() -> impl Strategy<Value = Event> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        4 => (0..6_usize).prop_map(Event::Ask),
        2 => (0..6_usize).prop_map(Event::Try),
        6 => index().prop_map(Event::Poll),
        1 => index().prop_map(Event::Drop),
        5 => index().prop_map(Event::GiveBack),
        1 => (index(), 0..4_usize).prop_map(|(at, permits)| Event::Split(at, permits)),
        1 => (index(), index()).prop_map(|(at, other)| Event::Merge(at, other)),
        1 => (0..8_usize).prop_map(Event::SetLimit),
    ]
}

/// The semaphore, and what it should do.
struct World {
    semaphore: Semaphore,
    limit: usize,
    /// In the order in which they were polled first.
    askers: Vec<(Asker, Place)>,
    held: Vec<Permit>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    Unpolled,
    Waits,
    Granted,
}

impl World {
    fn in_use(&self) -> usize {
        self.held.iter().map(Permit::count).sum()
    }

    fn reserved(&self) -> usize {
        let granted = self.askers.iter().filter(|(_, place)| *place == Place::Granted);
        granted.map(|(asker, _)| asker.permits).sum()
    }

    fn fits(&self, permits: usize) -> bool {
        let used = self.in_use() + self.reserved();
        self.limit > 0 && (used == 0 || permits <= self.limit.saturating_sub(used))
    }

    fn any_waits(&self) -> bool {
        self.askers.iter().any(|(_, place)| *place == Place::Waits)
    }

    /// Grants what fits, in order.
    fn grant(&mut self) {
        while let Some(at) = self.askers.iter().position(|(_, place)| *place == Place::Waits) {
            if !self.fits(self.askers[at].0.permits) {
                return;
            }
            self.askers[at].1 = Place::Granted;
        }
    }

    fn poll(&mut self, at: usize) {
        let place = self.askers[at].1;
        let ready = match place {
            Place::Unpolled => !self.any_waits() && self.fits(self.askers[at].0.permits),
            Place::Waits => false,
            Place::Granted => true,
        };
        let (mut asker, _) = self.askers.remove(at);
        match asker.poll() {
            Poll::Ready(permit) => {
                assert!(ready, "it got permits out of turn");
                assert_eq!(permit.count(), asker.permits);
                self.held.push(permit);
            }
            Poll::Pending => {
                assert!(!ready, "it did not get what it should have");
                if place == Place::Unpolled {
                    // Behind all that wait, those to come again included.
                    let behind =
                        self.askers.iter().position(|(_, place)| *place == Place::Unpolled);
                    let at = behind.unwrap_or(self.askers.len());
                    self.askers.insert(at, (asker, Place::Waits));
                } else {
                    self.askers.insert(at, (asker, place));
                }
            }
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Ask(permits) => {
                self.askers.push((Asker::new(&self.semaphore, permits), Place::Unpolled));
            }
            Event::Try(permits) => {
                let fits = !self.any_waits() && self.fits(permits);
                let permit = self.semaphore.try_acquire_many(permits);
                assert_eq!(permit.is_some(), fits);
                self.held.extend(permit);
            }
            Event::Poll(at) if !self.askers.is_empty() => self.poll(at.index(self.askers.len())),
            Event::Drop(at) if !self.askers.is_empty() => {
                drop(self.askers.remove(at.index(self.askers.len())));
            }
            Event::GiveBack(at) if !self.held.is_empty() => {
                drop(self.held.swap_remove(at.index(self.held.len())));
            }
            Event::Split(at, permits) if !self.held.is_empty() => {
                let at = at.index(self.held.len());
                let split = self.held[at].split(permits);
                self.held.extend(split);
            }
            Event::Merge(at, other) if self.held.len() > 1 => {
                let other = self.held.swap_remove(other.index(self.held.len()));
                let at = at.index(self.held.len());
                self.held[at].merge(other);
            }
            Event::SetLimit(limit) => {
                self.semaphore.set_limit(limit);
                self.limit = limit;
                // What was granted and does not fit waits again.
                while limit == 0 || self.in_use() + self.reserved() > limit {
                    let granted = |(_, place): &(Asker, Place)| *place == Place::Granted;
                    let Some(at) = self.askers.iter().rposition(granted) else { break };
                    self.askers[at].1 = Place::Waits;
                }
            }
            _ => {}
        }
        self.grant();
        self.check();
    }

    fn check(&self) {
        assert_eq!(self.semaphore.in_use(), self.in_use());
        let mut granted = self.askers.iter().filter(|(_, place)| *place == Place::Granted);
        assert!(granted.all(|(asker, _)| asker.task.is_woken()), "one was not told of its grant");
    }
}

proptest! {
    #[test]
    fn permits_are_had_in_turn(limit in 1..6_usize, events in prop::collection::vec(any_event(), 0..200)) {
        let semaphore = Semaphore::new(limit);
        let mut world = World { semaphore, limit, askers: vec![], held: vec![] };
        for event in events {
            world.happen(event);
        }
        // In the end all get what they asked for.
        world.happen(Event::SetLimit(world.limit.max(1)));
        while !world.askers.is_empty() {
            for at in (0..world.askers.len()).rev() {
                world.poll(at);
                world.grant();
            }
            world.held.clear();
            world.grant();
            world.check();
        }
    }
}
