//! What is known of a pipeline, and what has to be true of it.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::panic::resume_unwind;
use std::rc::Rc;
use std::task::Waker;

use flowlet::{Concurrency, Semaphore};

use super::spec::{Go, Kind, Place, Spec, StageSpec};
use crate::support::random_runs::mix;

pub(crate) struct World {
    pub(crate) spec: Spec,
    pub(crate) shared: Semaphore,
    pub(crate) state: RefCell<State>,
    #[cfg(feature = "monitor")]
    monitor: flowlet::Monitor,
}

pub(crate) struct State {
    pub(crate) stages: Vec<Stage>,
    pub(crate) next_id: u64,
    pub(crate) source: Source,
    /// What panics next.
    pub(crate) panics: Option<Place>,
    pub(crate) thrown: usize,
    /// Keys that are there.
    pub(crate) keys: usize,
    /// Permits that others have.
    pub(crate) taken: usize,
    /// Outputs that the consumer has not dropped.
    pub(crate) outside: usize,
}

#[derive(Default)]
pub(crate) struct Source {
    pub(crate) available: usize,
    pub(crate) ends: bool,
    pub(crate) fails: bool,
    pub(crate) is_over: bool,
    pub(crate) waker: Option<Waker>,
}

#[derive(Default)]
pub(crate) struct Stage {
    pub(crate) entries: BTreeMap<usize, Entry>,
    pulled: usize,
    /// In the order in which they were given: entries and outputs.
    given: VecDeque<(usize, u64)>,
    /// The first item that failed, and its error.
    failed: Option<(usize, u64)>,
    /// The errors that wait until calls have finished, in the order in which they happened.
    errors: VecDeque<u64>,
    pub(crate) is_over: bool,
    /// Whether more places may be taken than are known, as a function panicked or an error dropped items.
    any_place: bool,
    pub(crate) is_polled: bool,
}

/// An item that was pulled, until nothing of it is left.
pub(crate) struct Entry {
    pub(crate) id: u64,
    pub(crate) weight: usize,
    pub(crate) key: u64,
    pub(crate) phase: Phase,
    /// The highest limit since it was pulled.
    limit: usize,
    pub(crate) waiting: usize,
    /// Whether it is on its way to an output besides those that wait, for which it has room.
    pub(crate) reserved: bool,
    pub(crate) goes: VecDeque<Go>,
    pub(crate) waker: Option<Waker>,
}

#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub(crate) enum Phase {
    Pulled,
    /// It has its key, or waits for it.
    Admitted,
    Runs,
    Over,
}

/// What is thrown.
pub(crate) struct Thrown;

/// An item, or an error.
pub(crate) struct Item {
    pub(crate) id: u64,
    live: Live,
}

/// What has to be dropped some time.
pub(crate) struct Live {
    world: Rc<World>,
    at: At,
}

#[derive(Clone, Copy, PartialEq)]
enum At {
    /// Between stages, or with the consumer.
    Free,
    /// In a stage, with its number there.
    In(usize, usize),
    /// It was given by the call of such an item, and waits.
    Given(usize, usize),
}

impl World {
    pub(crate) fn new(spec: &Spec) -> Rc<Self> {
        let stages = spec.stages.iter().map(|_| Stage::default()).collect();
        let state = State {
            stages,
            next_id: 0,
            source: Source::default(),
            panics: None,
            thrown: 0,
            keys: 0,
            taken: 0,
            outside: 0,
        };
        Rc::new(Self {
            spec: spec.clone(),
            shared: Semaphore::new(spec.shared),
            state: RefCell::new(state),
            #[cfg(feature = "monitor")]
            monitor: flowlet::Monitor::new(),
        })
    }

    /// The limit of a stage, under which a monitor sees it if there is one.
    pub(crate) fn concurrency(&self, stage: &StageSpec) -> Concurrency {
        let limit = stage.limit.concurrency(&self.shared);
        #[cfg(feature = "monitor")]
        let limit = self.monitor.stage("stage", limit);
        limit
    }

    /// Checks what a monitor has seen of each stage.
    #[cfg(feature = "monitor")]
    fn check_monitor(&self) {
        let state = self.state.borrow();
        let seen = self.monitor.snapshot().stages;
        for ((spec, of), seen) in self.spec.stages.iter().zip(&state.stages).zip(&seen) {
            let waits =
                |(_, entry): &(&usize, &Entry)| entry.phase < Phase::Runs && !of.is_error(entry.id);
            // The last may be in hand, and not be pulled yet.
            assert!(of.pulled as u64 - seen.pulled <= 1, "{seen:?}");
            let pulled = |(seq, _): &(&usize, &Entry)| (**seq as u64) < seen.pulled;
            let waiting = of.entries.iter().filter(waits).filter(pulled).count();
            let waiting = (waiting + of.given.len()) as u64;
            assert_eq!((seen.running, seen.waiting), (of.running().count() as u64, waiting));
            if !spec.is_many() {
                let gone = seen.yielded + seen.refused + seen.failed + seen.panicked + seen.dropped;
                assert_eq!(seen.pulled, gone + seen.running + seen.waiting, "{seen:?}");
            }
        }
    }

    pub(crate) fn limit(&self, stage: usize) -> usize {
        self.spec.stages[stage].limit.private.unwrap_or_else(|| self.shared.limit())
    }

    /// Tells whether the last stage has its calls finish after an error.
    pub(crate) fn finishes(&self) -> bool {
        self.spec.stages.last().is_some_and(|spec| spec.limit.finishing)
    }

    pub(crate) fn key(&self, id: u64) -> u64 {
        mix(id, 7) % self.spec.keys
    }

    pub(crate) fn weight(&self, stage: usize, id: u64) -> usize {
        if self.spec.stages[stage].weighs {
            [0, 1, 1, 2, 2, 3, 4, 9][(mix(id, self.spec.seed ^ stage as u64) % 8) as usize]
        } else {
            1
        }
    }

    pub(crate) fn item(self: &Rc<Self>) -> Item {
        let mut state = self.state.borrow_mut();
        state.next_id += 1;
        state.outside += 1;
        Item { id: state.next_id, live: Live { world: self.clone(), at: At::Free } }
    }

    /// Panics, if that is the place where it is to.
    pub(crate) fn may_panic(&self, place: Place) {
        let mut state = self.state.borrow_mut();
        if state.panics == Some(place) {
            state.panics = None;
            drop(state);
            self.throw();
        }
    }

    pub(crate) fn throw(&self) -> ! {
        self.state.borrow_mut().thrown += 1;
        // Does not call the panic hook.
        resume_unwind(Box::new(Thrown));
    }

    pub(crate) fn set_limit(&self, limit: usize) {
        self.shared.set_limit(limit);
        for (spec, stage) in self.spec.stages.iter().zip(&mut self.state.borrow_mut().stages) {
            if spec.is_shared() {
                let waits = |entry: &&mut Entry| entry.phase < Phase::Runs;
                let entries = stage.entries.values_mut().filter(waits);
                entries.for_each(|entry| entry.limit = entry.limit.max(limit));
            }
        }
    }

    /// Notes that a stage pulled an item.
    pub(crate) fn pulled(&self, stage: usize, item: &mut Result<Item, Item>) {
        let failed = item.is_err();
        let (Ok(item) | Err(item)) = item;
        let (limit, weight) = (self.limit(stage), self.weight(stage, item.id));
        let key = self.key(item.id);
        let spec = &self.spec.stages[stage];
        let mut state = self.state.borrow_mut();
        assert!(state.stages[stage].failed.is_none(), "stage {stage} failed and pulls");
        let seq = state.stages[stage].pulled;
        state.stages[stage].pulled += 1;
        let finishes = failed && spec.limit.finishing;
        if !finishes {
            item.live.go_to(&mut state, stage, seq);
        }
        let of = &mut state.stages[stage];
        of.entries.insert(
            seq,
            Entry {
                id: item.id,
                // The error waits for all others, and leaves a place without an output.
                weight: if finishes { 0 } else { weight },
                key,
                phase: if finishes { Phase::Over } else { Phase::Pulled },
                limit,
                waiting: 0,
                reserved: false,
                goes: VecDeque::new(),
                waker: None,
            },
        );
        if failed {
            of.clean(spec);
            return of.fail(spec, seq, item.id);
        }
        if limit == 0 {
            let others = of.entries.len() - 1;
            assert!(spec.is_shared() && others == 0, "stage {stage} is paused, and pulls {others}");
            return;
        }
        let unstarted = of.entries.values().filter(|entry| entry.phase == Phase::Pulled).count();
        assert_eq!(unstarted, 1, "stage {stage} pulls although one waits outside");
        let (window, in_window) = (spec.window_of(limit), of.in_window(spec));
        if spec.weighs && !(spec.is_many() && spec.limit.window.is_some()) {
            let others = in_window - weight;
            assert!(others == 0 || others < window, "stage {stage} pulls beyond its window");
        } else {
            assert!(in_window <= window, "stage {stage} has {in_window} of {window} in flight");
        }
        if let Some(limit) = spec.limit.private {
            let weight = of.running_weight();
            assert!(weight < limit, "stage {stage} pulls, and runs {weight}");
        }
    }

    /// Notes that a stage asks for the key of an item.
    pub(crate) fn admitted(&self, stage: usize, id: u64) {
        let spec = &self.spec.stages[stage];
        let mut state = self.state.borrow_mut();
        let of = &mut state.stages[stage];
        let mut unstarted = of.entries.iter().filter(|(_, entry)| entry.phase == Phase::Pulled);
        let (seq, entry) = unstarted.next().expect("an item");
        let (seq, limit) = (*seq, entry.limit);
        assert_eq!(entry.id, id, "one item at most is not admitted");
        of.check_window(stage, spec, seq, spec.window_of(limit));
        of.entries.get_mut(&seq).expect("it").phase = Phase::Admitted;
    }

    /// Notes that a call begins. Returns the number of its item.
    pub(crate) fn begins(&self, stage: usize, item: &Item) -> usize {
        let spec = &self.spec.stages[stage];
        let (in_use, limit) = (self.shared.in_use(), self.limit(stage));
        let mut state = self.state.borrow_mut();
        let of = &mut state.stages[stage];
        let At::In(_, seq) = item.live.at else { panic!("it is not in the stage") };
        let ends = spec.limit.finishing || !spec.limit.ordered;
        assert!(!ends || of.failed.is_none(), "stage {stage} failed and starts a call");
        let entry = of.entries.get_mut(&seq).expect("it was pulled");
        let (weight, key, was, most) = (entry.weight, entry.key, entry.phase, entry.limit);
        entry.phase = Phase::Runs;
        if let Kind::ByKey(per_key) = spec.kind {
            assert_eq!(was, Phase::Admitted);
            let same = of.entries.iter().filter(|(_, other)| other.key == key);
            let running = same.clone().filter(|(_, other)| other.phase == Phase::Runs).count();
            assert!(running <= per_key, "{running} calls of a key, {per_key} are allowed");
            let mut before = same.filter(|(other, _)| **other < seq);
            let overtaken = before.find(|(_, other)| other.phase < Phase::Runs);
            assert!(overtaken.is_none(), "an item overtakes one of its key");
        } else {
            assert_eq!(was, Phase::Pulled);
            let earlier = of.entries.range(..seq).find(|(_, other)| other.phase < Phase::Runs);
            assert!(earlier.is_none(), "an item overtakes another");
            of.check_window(stage, spec, seq, spec.window_of(most));
        }
        let running = of.running_weight();
        if spec.is_shared() {
            // What weighs nothing needs no permit.
            let fits = in_use <= limit || in_use == weight || weight == 0;
            assert!(limit > 0 && fits, "{in_use} of {limit}");
        } else {
            assert!(running <= limit || running == weight, "{running} of {limit} run");
        }
        if state.panics == Some(Place::Function) {
            // Whether there is a place for it is not said.
            let of = &mut state.stages[stage];
            of.entries.get_mut(&seq).expect("it is there").phase = Phase::Pulled;
            of.any_place = spec.limit.ordered;
        }
        drop(state);
        self.may_panic(Place::Function);
        seq
    }

    /// Notes that a call gave an output, or an error.
    pub(crate) fn gave(&self, stage: usize, seq: usize, output: &mut Result<Item, Item>) {
        let spec = &self.spec.stages[stage];
        let failed = output.is_err();
        let (Ok(item) | Err(item)) = output;
        let mut state = self.state.borrow_mut();
        let of = &mut state.stages[stage];
        if failed {
            return of.fail(spec, seq, item.id);
        }
        item.live.at = At::Given(stage, seq);
        let entry = of.entries.get_mut(&seq).expect("it runs");
        entry.waiting += 1;
        entry.reserved = false;
        of.given.push_back((seq, item.id));
        state.outside -= 1;
        let of = &state.stages[stage];
        if !spec.is_many() || of.failed.is_some() && !spec.limit.finishing {
            return;
        }
        let in_window = of.in_window(spec);
        if spec.limit.window.is_none() {
            assert!(of.entries[&seq].waiting <= 1, "an inner stream runs ahead without a window");
        } else {
            // An error from upstream waits for no room.
            let window = spec.window_of(0) + usize::from(of.failed.is_some());
            assert!(in_window <= window, "{in_window} in a window of {window}");
        }
    }

    /// Notes that a call is over, or an item was dropped.
    fn over(&self, state: &mut State, (stage, seq): (usize, usize)) {
        let of = &mut state.stages[stage];
        let entry = of.entries.get_mut(&seq).expect("it was there");
        if std::mem::replace(&mut entry.phase, Phase::Over) == Phase::Pulled {
            // It had no place, or did not wait for its turn in it, unless an error let others go on.
            of.entries.remove(&seq);
            let limit = self.spec.stages[stage].limit;
            of.any_place |= limit.ordered && limit.finishing && of.failed.is_some();
        }
        of.clean(&self.spec.stages[stage]);
    }

    /// Notes that an output of an item no longer waits. Returns what came before it.
    fn leaves(&self, state: &mut State, (stage, seq): (usize, usize), id: u64) -> usize {
        let of = &mut state.stages[stage];
        let at = of.given.iter().position(|(_, other)| *other == id).expect("it was given once");
        of.given.remove(at);
        let entry = of.entries.get_mut(&seq).expect("it has an output");
        entry.waiting -= 1;
        entry.reserved &= entry.waiting > 0;
        of.clean(&self.spec.stages[stage]);
        at
    }

    /// Notes that a stage yielded an output, or an error.
    pub(crate) fn yielded(&self, stage: usize, output: &mut Result<Item, Item>) {
        let spec = &self.spec.stages[stage];
        let failed = output.is_err();
        let (Ok(item) | Err(item)) = output;
        let id = item.id;
        let mut state = self.state.borrow_mut();
        assert!(!state.stages[stage].is_over, "stage {stage} goes on after its end");
        let ordered = spec.limit.ordered;
        if failed {
            let finishing = spec.limit.finishing;
            let of = &mut state.stages[stage];
            let (seq, error) = of.failed.expect("a failure");
            let error = if finishing { of.errors.pop_front() } else { Some(error) };
            assert_eq!(error, Some(id), "not the first error");
            let (of, errors) = (&state.stages[stage], state.stages[stage].errors.len());
            let skipped = of.entries.iter().find(|(other, entry)| match ordered {
                _ if finishing => true,
                true => **other < seq || **other == seq && entry.waiting > 0,
                false => spec.limit.errors_in_turn && entry.waiting > 0,
            });
            assert!(skipped.is_none(), "stage {stage} has an output before its error");
            if let At::In(stage, seq) = item.live.at {
                self.over(&mut state, (stage, seq));
                state.outside += 1;
                item.live.at = At::Free;
            }
            state.stages[stage].is_over = errors == 0;
            let left = state.stages[..=stage].iter().map(|of| of.entries.len()).sum::<usize>();
            assert_eq!(left, 0, "items are left beside the error");
            if stage + 1 == self.spec.stages.len() {
                let left = state.outside - errors - 1;
                assert_eq!(left, 0, "{left} are left beside the errors");
                assert_eq!(state.keys, 0, "keys are left beside the error");
            }
            return;
        }
        let of = &state.stages[stage];
        let At::Given(_, seq) = item.live.at else { panic!("it was not given") };
        if let Some((failed, _)) = of.failed {
            let in_turn = if ordered { seq <= failed } else { spec.limit.errors_in_turn };
            assert!(in_turn || spec.limit.finishing, "stage {stage} yields before its error");
        }
        if ordered {
            let earlier = of.entries.range(..seq).next();
            assert!(earlier.is_none(), "stage {stage} yields out of order");
            let first = of.given.iter().find(|(other, _)| *other == seq);
            assert!(first.is_some_and(|(_, first)| *first == id), "outputs are out of order");
        }
        let before = self.leaves(&mut state, (stage, seq), id);
        if !ordered {
            assert_eq!(before, 0, "stage {stage} yields one before another that was earlier");
        }
        item.live.at = At::Free;
        state.outside += 1;
    }

    /// Checks what has to be true after each poll.
    pub(crate) fn check(&self) {
        #[cfg(feature = "monitor")]
        self.check_monitor();
        let in_use = self.shared.in_use();
        let mut state = self.state.borrow_mut();
        let (mut least, mut most) = (state.taken, state.taken);
        let mut failed = false;
        for (spec, of) in self.spec.stages.iter().zip(&mut state.stages).rev() {
            if failed {
                assert_eq!(of.entries.len(), 0, "a stage below has failed");
            }
            if let Some((first, error)) = of.failed {
                failed = true;
                let ordered = spec.limit.ordered;
                let all = spec.limit.finishing || !ordered;
                let mut ended = of.entries.iter().filter(|(seq, _)| all || **seq >= first);
                let over = |entry: &Entry| match spec.limit.finishing {
                    true => entry.phase >= Phase::Runs,
                    false => entry.phase == Phase::Over || entry.id == error,
                };
                assert!(ended.all(|(_, entry)| over(entry)), "calls go on, or wait to start");
            }
            if spec.is_shared() {
                let all = of.running_weight();
                most += all;
                least += if spec.is_many() { 0 } else { all };
            }
        }
        assert!((least..=most).contains(&in_use), "{in_use} permits, {least} to {most} are used");
        let keyed = self.spec.stages.iter().zip(&state.stages);
        let keyed = keyed.filter(|(spec, _)| matches!(spec.kind, Kind::ByKey(_)));
        let live = |entry: &&Entry| (Phase::Admitted..Phase::Over).contains(&entry.phase);
        let items: usize = keyed.map(|(_, of)| of.entries.values().filter(live).count()).sum();
        assert!(state.keys <= items, "{} keys of {items} items", state.keys);
    }

    /// Checks that nothing is left that could go on, as all is settled.
    pub(crate) fn check_eager(&self) {
        let (in_use, shared_limit) = (self.shared.in_use(), self.shared.limit());
        let state = self.state.borrow();
        let is_alone = self.spec.stages.iter().filter(|spec| spec.is_shared()).count() <= 1;
        for (stage, (spec, of)) in self.spec.stages.iter().zip(&state.stages).enumerate() {
            let limit = self.limit(stage);
            let window = spec.window_of(limit);
            let free = |weight: usize| match spec.limit.private {
                None => {
                    let used = in_use;
                    is_alone && shared_limit > 0 && (used == 0 || used + weight <= shared_limit)
                }
                Some(limit) => {
                    let weight_of_all = of.running_weight();
                    weight_of_all == 0 || weight_of_all + weight <= limit
                }
            };
            let reserved = of.running().filter(|entry| entry.reserved).count();
            // An error that waits behind outputs of its own call has room as they do.
            let error = of.failed.is_some() && !spec.limit.finishing;
            let in_window = of.in_window(spec) + reserved + usize::from(error);
            // Calls that were let go on, and inner streams that gave an output.
            let due = || of.running().filter(|entry| entry.waker.is_none());
            for entry in due() {
                let may = if !spec.is_many() {
                    true
                } else {
                    let room = spec.limit.window.is_some() && in_window < window && !of.any_place;
                    let room = room || entry.waiting == 0 || entry.reserved;
                    room && (!spec.is_shared() || free(entry.weight) && !spec.weighs)
                };
                assert!(!may, "stage {stage} leaves a call that could go on");
            }
            // Nothing begins before the first poll, and a stage below that has no room makes none.
            if of.failed.is_some() || !of.is_polled {
                continue;
            }
            let hears_end = limit == 0 && stage == 0 && of.entries.is_empty();
            let ended = hears_end && (state.source.ends || state.source.fails);
            assert!(!ended || state.source.is_over, "a paused stage does not hear the end");
            let mut candidates = Vec::new();
            for (seq, entry) in of.entries.iter().filter(|(_, entry)| entry.phase < Phase::Runs) {
                let key = |other: &&Entry| other.key == entry.key;
                let has_key = match spec.kind {
                    Kind::ByKey(per_key) if entry.phase == Phase::Admitted => {
                        let before = of.entries.range(..*seq).map(|(_, other)| other);
                        let mut before = before.filter(|other| other.phase < Phase::Runs);
                        !before.any(|other| other.key == entry.key)
                            && of.running().filter(key).count() < per_key
                    }
                    _ => true,
                };
                let fits = entry.phase == Phase::Admitted
                    || in_window <= window
                    || spec.weighs && in_window == entry.weight;
                let sure = entry.phase == Phase::Admitted || !of.any_place;
                if fits && has_key && sure {
                    candidates.push(entry.weight);
                }
            }
            // Behind one that waits for the limit all others do.
            let starts = candidates.iter().all(|weight| free(*weight));
            let starts = starts && !(spec.is_many() && spec.is_shared() && due().next().is_some());
            assert!(candidates.is_empty() || !starts, "stage {stage} does not start what it could");
            let room = if spec.weighs && !(spec.is_many() && spec.limit.window.is_some()) {
                in_window == 0 || in_window < window
            } else {
                in_window < window
            };
            let mut all = of.entries.values();
            let unstarted = !candidates.is_empty() || all.any(|entry| entry.phase == Phase::Pulled);
            let runs = spec.limit.private.is_none_or(|limit| of.running_weight() < limit);
            let pulls = !unstarted && room && runs && limit > 0;
            // Who waits in the line is not told of a higher limit, and has no permit for one more item. Nor has
            // one for that whose inner streams wait for permits to go on.
            let waits = spec.is_many() && due().next().is_some();
            let pulls = pulls && (!spec.is_shared() || free(1) && !waits);
            let any = match stage.checked_sub(1) {
                None => state.source.any(),
                Some(above) => {
                    let ordered = self.spec.stages[above].limit.ordered;
                    !ordered && !state.stages[above].given.is_empty()
                }
            };
            assert!(!pulls || !any || of.any_place, "stage {stage} does not pull what it could");
        }
    }
}

impl Source {
    pub(crate) fn any(&self) -> bool {
        !self.is_over && (self.available > 0 || self.ends || self.fails)
    }
}

impl Stage {
    pub(crate) fn running(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values().filter(|entry| entry.phase == Phase::Runs)
    }

    fn running_weight(&self) -> usize {
        self.running().map(|entry| entry.weight).sum()
    }

    #[cfg(feature = "monitor")]
    fn is_error(&self, id: u64) -> bool {
        self.failed.is_some_and(|(_, error)| error == id) || self.errors.contains(&id)
    }

    /// What is between pulled and yielded, as the window counts it.
    fn in_window(&self, spec: &StageSpec) -> usize {
        let all = self.entries.values();
        if spec.is_many() && spec.limit.window.is_some() {
            all.map(|entry| match entry.phase {
                Phase::Over if !spec.limit.ordered => entry.waiting,
                _ => entry.waiting.max(1),
            })
            .sum()
        } else if spec.weighs {
            all.map(|entry| entry.weight).sum()
        } else {
            all.count()
        }
    }

    /// Checks that an item fits in the window.
    fn check_window(&self, stage: usize, spec: &StageSpec, seq: usize, window: usize) {
        let mut in_window = self.in_window(spec);
        let weighs = spec.weighs && !(spec.is_many() && spec.limit.window.is_some());
        // One may wait outside.
        for (_, later) in self.entries.range(seq + 1..) {
            if later.phase == Phase::Pulled {
                in_window -= if weighs { later.weight } else { 1 };
            }
        }
        let alone = weighs && in_window == self.entries[&seq].weight;
        assert!(alone || in_window <= window, "stage {stage}: {in_window} in a window of {window}");
    }

    /// Forgets the items of which nothing is left. In input order they have a place until their turn.
    fn clean(&mut self, spec: &StageSpec) {
        let gone = |entry: &Entry| entry.phase == Phase::Over && entry.waiting == 0;
        if !spec.limit.ordered {
            self.entries.retain(|_, entry| !gone(entry));
        }
        while self.entries.first_key_value().is_some_and(|(_, entry)| gone(entry)) {
            self.entries.pop_first();
        }
    }

    fn fail(&mut self, spec: &StageSpec, seq: usize, id: u64) {
        let takes_turn = spec.limit.ordered && !spec.limit.finishing;
        if spec.limit.finishing {
            self.errors.push_back(id);
        }
        if self.failed.is_none_or(|(first, _)| takes_turn && seq < first) {
            self.failed = Some((seq, id));
        }
    }
}

impl Live {
    fn go_to(&mut self, state: &mut State, stage: usize, seq: usize) {
        state.outside -= 1;
        self.at = At::In(stage, seq);
    }
}

impl Drop for Item {
    fn drop(&mut self) {
        let world = self.live.world.clone();
        let mut state = world.state.borrow_mut();
        match self.live.at {
            At::Free => state.outside -= 1,
            At::In(stage, seq) => world.over(&mut state, (stage, seq)),
            At::Given(stage, seq) => {
                world.leaves(&mut state, (stage, seq), self.id);
            }
        }
    }
}
