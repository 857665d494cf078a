//! Random trees through random pipelines that begin with a frontier or expand items themselves, against a model
//! that walks the tree.
//!
//! What becomes of a node follows from its number and the seed: what it finds, when, and whether a filter, a
//! panic or an error takes it. The executor knows when a pipeline is stuck, so an end that is missed is seen.
//! One that comes early leaves nodes out.

use std::future::Future;
use std::iter;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_executor::Executor;
use flowlet::prelude::*;
use flowlet::{Concurrency, Entry, Semaphore, frontier, merge};
use futures_lite::future::FutureExt;
use futures_lite::stream::Boxed;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::{collection, proptest};

use crate::support::kinds::{Limit, any_limit};
use crate::support::random_runs::{cases, mix, run_at_random};
use crate::support::waker::Task;
use crate::support::world::World as AnyWorld;

/// Counts the nodes that are there.
type World = AnyWorld<Arc<AtomicUsize>>;

type SizeHint = (usize, Option<usize>);

/// A node, which is counted until it is dropped.
struct Node {
    number: u64,
    depth: u32,
    there: Arc<AtomicUsize>,
}

impl Node {
    fn new(world: &World, number: u64, depth: u32) -> Self {
        world.own.fetch_add(1, Ordering::Relaxed);
        Self { number, depth, there: world.own.clone() }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.there.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What becomes of a node.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Visited,
    Filtered,
    PanicsUpstream,
    PanicsInFunction,
    PanicsInFuture,
    PanicsInFilter,
    PanicsInItems,
    PanicsAtTheEnd,
}

impl Fate {
    const LOST: [Self; 7] = [
        Self::Filtered,
        Self::PanicsUpstream,
        Self::PanicsInFunction,
        Self::PanicsInFuture,
        Self::PanicsInFilter,
        Self::PanicsInItems,
        Self::PanicsAtTheEnd,
    ];

    fn panics(self) -> bool {
        !matches!(self, Self::Visited | Self::Filtered)
    }
}

#[derive(Clone, Debug)]
struct Spec {
    seed: u64,
    roots: u64,
    /// How deep the tree is.
    depth: u32,
    /// One of so many nodes is lost.
    lost: u64,
    depth_first: bool,
    limits: [Limit; 2],
    shared: usize,
    ways: Vec<Way>,
    batch: usize,
    alongside: bool,
}

/// What is between the stages.
#[derive(Clone, Copy, Debug)]
enum Way {
    Driven,
    Merge,
    MergeWithAnother,
    Prefetch(usize),
    Batch,
}

fn any_way() -> impl Strategy<Value = Way> {
    prop_oneof![
        Just(Way::Driven),
        Just(Way::Merge),
        Just(Way::MergeWithAnother),
        (1..4_usize).prop_map(Way::Prefetch),
        Just(Way::Batch),
    ]
}

fn any_spec() -> impl Strategy<Value = Spec> {
    let tree = (any::<u64>(), 0..4_u64, 0..6_u32, prop_oneof![Just(3_u64), Just(9), Just(1000)]);
    let stages = (
        any::<bool>(),
        [any_limit(true), any_limit(true)],
        1..5_usize,
        collection::vec(any_way(), 0..3),
        1..20_usize,
        any::<bool>(),
    );
    (tree, stages).prop_map(|((seed, roots, depth, lost), rest)| {
        let (depth_first, limits, shared, ways, batch, alongside) = rest;
        Spec { seed, roots, depth, lost, depth_first, limits, shared, ways, batch, alongside }
    })
}

impl Spec {
    fn fate(&self, node: u64) -> Fate {
        let random = mix(mix(self.seed, 11), node);
        if random % self.lost > 0 {
            return Fate::Visited;
        }
        Fate::LOST[(random / self.lost % 7) as usize]
    }

    fn children(&self, node: u64, depth: u32) -> impl Iterator<Item = u64> + use<> {
        let count = if depth < self.depth { mix(mix(self.seed, 12), node) % 4 } else { 0 };
        (0..count).map(move |child| mix(node, 100 + child))
    }

    /// Walks the tree: what is visited, and how often a panic comes out.
    fn walk(&self, fate: impl Fn(u64, u32) -> Fate) -> (Vec<u64>, usize) {
        let (mut visited, mut panics) = (Vec::new(), 0);
        let mut open = Vec::from_iter((0..self.roots).map(|root| (root, 0)));
        while let Some((node, depth)) = open.pop() {
            let fate = fate(node, depth);
            panics += usize::from(fate.panics());
            if fate == Fate::Visited {
                visited.push(node);
            }
            // It has found its children by then.
            if fate == Fate::Visited || fate == Fate::PanicsAtTheEnd {
                open.extend(self.children(node, depth).map(|child| (child, depth + 1)));
            }
        }
        visited.sort_unstable();
        (visited, panics)
    }

    fn limit(&self, stage: usize, semaphore: &Semaphore) -> Concurrency {
        self.limits[stage].concurrency(semaphore)
    }
}

fn panic_if(panics: bool) {
    if panics {
        resume_unwind(Box::new("of the model"));
    }
}

type Both = (Node, Entry<Node>);

/// Has the nodes go through something that hands them on.
fn via(
    way: Way,
    nodes: Boxed<Both>,
    world: &Arc<World>,
    executor: &Arc<Executor<'static>>,
) -> Boxed<Both> {
    match way {
        Way::Driven => nodes.driven().boxed(),
        Way::Merge => merge([nodes]).boxed(),
        Way::MergeWithAnother => {
            let world = world.clone();
            let none = move |n| {
                let world = world.clone();
                async move {
                    world.work(9, n).await;
                    None
                }
            };
            merge([nodes, pipe(0..3).filter_map_concurrent(2, none).boxed()]).boxed()
        }
        Way::Prefetch(limit) => {
            let executor = executor.clone();
            nodes.prefetch(limit, move |task| executor.spawn(task)).boxed()
        }
        Way::Batch => nodes.batched(1).map(|mut batch| batch.remove(0)).boxed(),
    }
}

/// A pipeline of three steps that finds the children of a node at its end.
fn pipeline(
    spec: &Arc<Spec>,
    world: &Arc<World>,
    executor: &Arc<Executor<'static>>,
) -> Boxed<Vec<u64>> {
    let nodes = frontier((0..spec.roots).map(|root| Node::new(world, root, 0)));
    let nodes = if spec.depth_first { nodes.depth_first() } else { nodes };
    let fate = {
        let spec = spec.clone();
        move |node: &Node| spec.fate(node.number)
    };
    let mut ways = spec.ways.iter();

    let upstream = fate.clone();
    let nodes = nodes.inspect(move |(node, _)| panic_if(upstream(node) == Fate::PanicsUpstream));
    let (in_map, place) = (fate.clone(), world.clone());
    let mut nodes = nodes
        .map_concurrent(spec.limit(0, &world.shared), move |(node, entry): Both| {
            let (fate, world) = (in_map(&node), place.clone());
            panic_if(fate == Fate::PanicsInFunction);
            async move {
                world.work(0, node.number).await;
                panic_if(fate == Fate::PanicsInFuture);
                (node, entry)
            }
        })
        .boxed();
    if let Some(way) = ways.next() {
        nodes = via(*way, nodes, world, executor);
    }
    let (in_filter, place) = (fate, world.clone());
    let mut nodes = nodes
        .filter_map_concurrent(spec.limit(1, &world.shared), move |(node, entry): Both| {
            let (fate, world) = (in_filter(&node), place.clone());
            async move {
                world.work(1, node.number).await;
                panic_if(fate == Fate::PanicsInFilter);
                (fate != Fate::Filtered).then_some((node, entry))
            }
        })
        .boxed();
    if let Some(way) = ways.next() {
        nodes = via(*way, nodes, world, executor);
    }
    let (spec, place) = (spec.clone(), world.clone());
    let batch = spec.batch;
    nodes
        .map(move |(node, entry)| {
            let fate = spec.fate(node.number);
            let mut children = spec
                .children(node.number, node.depth)
                .map(|child| Node::new(&place, child, node.depth + 1))
                .inspect(|_| panic_if(fate == Fate::PanicsInItems));
            // In one way or another.
            match node.number % 3 {
                0 => entry.expand(&mut children),
                1 => children.by_ref().for_each(|child| entry.push(child)),
                _ => {
                    let clone = entry.clone();
                    drop(entry);
                    children.by_ref().take(1).for_each(|child| clone.push(child));
                    clone.expand(&mut children);
                }
            }
            panic_if(fate == Fate::PanicsInItems || fate == Fate::PanicsAtTheEnd);
            node.number
        })
        .batched(batch)
        .boxed()
}

impl Spec {
    /// What becomes of a node in a stage that expands.
    fn fate_in_stage(&self, node: u64, depth: u32) -> Fate {
        match self.fate(node) {
            Fate::PanicsUpstream if depth > 0 => Fate::Visited,
            Fate::PanicsInFilter | Fate::PanicsAtTheEnd => Fate::PanicsInFuture,
            Fate::Filtered => Fate::Visited,
            fate => fate,
        }
    }

    /// Makes children of a node, or panics on the way.
    fn expand(&self, world: &Arc<World>, node: &Node) -> impl Iterator<Item = Node> + Send + use<> {
        let (fate, depth) = (self.fate_in_stage(node.number, node.depth), node.depth + 1);
        let world = world.clone();
        let mut left = self.children(node.number, node.depth);
        iter::from_fn(move || {
            panic_if(fate == Fate::PanicsInItems);
            Some(Node::new(&world, left.next()?, depth))
        })
    }
}

/// The nodes that a stage expands, of a stage above it.
fn roots(spec: &Arc<Spec>, world: &Arc<World>) -> Boxed<Node> {
    let (place, fates) = (world.clone(), spec.clone());
    let new = world.clone();
    pipe(0..spec.roots)
        .map(move |root| Node::new(&new, root, 0))
        .map_concurrent(spec.limit(0, &world.shared), move |node| {
            let world = place.clone();
            async move {
                world.work(0, node.number).await;
                node
            }
        })
        .inspect(move |node| panic_if(fates.fate(node.number) == Fate::PanicsUpstream))
        .boxed()
}

/// A pipeline with a stage that expands. Notes in which order the calls begin.
fn expansion(
    spec: &Arc<Spec>,
    world: &Arc<World>,
    begun: &Arc<Mutex<Vec<u64>>>,
) -> Boxed<Vec<u64>> {
    let (in_stage, place, begun) = (spec.clone(), world.clone(), begun.clone());
    let stage =
        roots(spec, world).expand_concurrent(spec.limit(1, &world.shared), move |node: Node| {
            let (spec, world) = (in_stage.clone(), place.clone());
            let fate = spec.fate_in_stage(node.number, node.depth);
            begun.lock().unwrap().push(node.number);
            panic_if(fate == Fate::PanicsInFunction);
            async move {
                world.work(1, node.number).await;
                panic_if(fate == Fate::PanicsInFuture);
                (node.number, spec.expand(&world, &node))
            }
        });
    let stage = if spec.depth_first { stage.depth_first() } else { stage };
    stage.batched(spec.batch).boxed()
}

/// The same, up to the first error.
fn try_expansion(spec: &Arc<Spec>, world: &Arc<World>) -> Boxed<Result<u64, u64>> {
    let (in_stage, place) = (spec.clone(), world.clone());
    let fails = spec.clone();
    roots(spec, world)
        .map(move |node| if fails.fails(node.number, true) { Err(node.number) } else { Ok(node) })
        .try_expand_concurrent(spec.limit(1, &world.shared), move |node: Node| {
            let (spec, world) = (in_stage.clone(), place.clone());
            let fate = spec.fate_in_stage(node.number, node.depth);
            panic_if(fate == Fate::PanicsInFunction);
            async move {
                world.work(1, node.number).await;
                panic_if(fate == Fate::PanicsInFuture);
                if spec.fails(node.number, false) {
                    return Err(node.number);
                }
                Ok((node.number, spec.expand(&world, &node)))
            }
        })
        .boxed()
}

impl Spec {
    /// Tells whether a node fails, upstream or in the stage.
    fn fails(&self, node: u64, upstream: bool) -> bool {
        let random = mix(mix(self.seed, 13), node);
        random % (3 * self.lost) == 1 && (random / 3 / self.lost % 2 == 0) == upstream
    }

    /// Tells whether a node fails that is not behind one that does.
    fn any_fails(&self) -> bool {
        let mut open = Vec::from_iter((0..self.roots).map(|root| (root, 0)));
        while let Some((node, depth)) = open.pop() {
            let fate = self.fate_in_stage(node, depth);
            let upstream = depth == 0 && fate != Fate::PanicsUpstream && self.fails(node, true);
            let called = !matches!(
                fate,
                Fate::PanicsUpstream | Fate::PanicsInFunction | Fate::PanicsInFuture
            );
            if upstream || called && self.fails(node, false) {
                return true;
            }
            if fate == Fate::Visited {
                open.extend(self.children(node, depth).map(|child| (child, depth + 1)));
            }
        }
        false
    }
}

#[derive(Default)]
struct Out {
    visited: Vec<u64>,
    /// How many had been visited, and the bounds of the number of batches then.
    hints: Vec<(usize, SizeHint)>,
    errors: usize,
    panics: usize,
    over: bool,
}

impl Out {
    fn note_hint(&mut self, hint: SizeHint) {
        self.hints.push((self.visited.len(), hint));
    }
}

async fn consume(
    world: Arc<World>,
    stream: Boxed<Vec<u64>>,
    alongside: bool,
    out: Arc<Mutex<Out>>,
) {
    let mut stream = stream.driven();
    loop {
        out.lock().unwrap().note_hint(stream.size_hint());
        match AssertUnwindSafe(stream.next()).catch_unwind().await {
            Ok(Some(nodes)) => {
                let body = world.work(2, nodes[0]);
                out.lock().unwrap().visited.extend(nodes);
                if alongside {
                    let body = AssertUnwindSafe(stream.alongside(body));
                    let panicked = body.catch_unwind().await.is_err();
                    out.lock().unwrap().panics += usize::from(panicked);
                }
            }
            Ok(None) => break,
            Err(_) => out.lock().unwrap().panics += 1,
        }
    }
    assert!(stream.next().await.is_none(), "it was over");
    out.lock().unwrap().over = true;
}

/// The same up to an error, when all else has been dropped.
async fn try_consume(world: Arc<World>, mut stream: Boxed<Result<u64, u64>>, out: Arc<Mutex<Out>>) {
    loop {
        match AssertUnwindSafe(stream.next()).catch_unwind().await {
            Ok(Some(Ok(node))) => out.lock().unwrap().visited.push(node),
            Ok(Some(Err(_))) => {
                assert_eq!(world.own.load(Ordering::Relaxed), 0, "something runs or waits");
                out.lock().unwrap().errors += 1;
            }
            Ok(None) => break,
            Err(_) => out.lock().unwrap().panics += 1,
        }
    }
    out.lock().unwrap().over = true;
}

type Root = Pin<Box<dyn Future<Output = ()>>>;

/// Runs a pipeline to its end, or drops it after so many polls. Returns what came, and how many polls it took.
fn run(
    spec: &Spec,
    drop_at: Option<usize>,
    root: impl FnOnce(Arc<World>, Arc<Executor<'static>>, Arc<Mutex<Out>>) -> Root,
) -> (Out, usize) {
    let world = World::new(spec.seed, true, spec.shared, Arc::default());
    let executor = Arc::new(Executor::new());
    let out = Arc::new(Mutex::new(Out::default()));
    let consumer = root(world.clone(), executor.clone(), out.clone());
    let running = executor.clone();
    let mut root: Root = Box::pin(async move { running.run(consumer).await });
    let polls =
        run_at_random(&Task::new(), root.as_mut(), drop_at, |n| world.random(n), || world.happen());
    drop(root);
    // A task that is cancelled is dropped in its next turn.
    while executor.try_tick() {}
    assert_eq!(world.own.load(Ordering::Relaxed), 0, "nodes are left");
    world.check_left();
    (Arc::into_inner(out).unwrap().into_inner().unwrap(), polls)
}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn a_frontier_ends_when_all_is_done(spec in any_spec(), drop_at in any::<usize>()) {
        let spec = Arc::new(spec);
        let run = |drop_at| run(&spec, drop_at, |world, executor, out| {
            let stream = pipeline(&spec, &world, &executor);
            Box::pin(consume(world, stream, spec.alongside, out))
        });
        let (mut out, polls) = run(None);
        out.visited.sort_unstable();
        assert!(out.over);
        assert_eq!((out.visited, out.panics), spec.walk(|node, _| spec.fate(node)));
        run(Some(drop_at % (polls + 1)));
    }

    #[test]
    fn a_stage_that_expands_ends_when_all_is_done(spec in any_spec(), drop_at in any::<usize>()) {
        let spec = Arc::new(spec);
        let begun = Arc::default();
        let run = |drop_at, begun: &Arc<_>| run(&spec, drop_at, |world, _, out| {
            let stream = expansion(&spec, &world, begun);
            Box::pin(consume(world, stream, spec.alongside, out))
        });
        let (mut out, polls) = run(None, &begun);
        let begun = Arc::into_inner(begun).unwrap().into_inner().unwrap();
        assert!(out.over);
        if out.panics == 0 {
            if spec.limits[1].keeps_order() {
                assert_eq!(out.visited, begun, "in the order in which the calls began");
            }
            for (visited, (lower, upper)) in out.hints {
                let rest = (out.visited.len() - visited).div_ceil(spec.batch);
                assert!(lower <= rest && upper.is_none_or(|upper| rest <= upper));
            }
        }
        out.visited.sort_unstable();
        let fate = |node, depth| spec.fate_in_stage(node, depth);
        assert_eq!((out.visited, out.panics), spec.walk(fate));
        run(Some(drop_at % (polls + 1)), &Arc::default());
    }

    #[test]
    fn one_that_may_fail_ends_with_the_first_error(spec in any_spec(), drop_at in any::<usize>()) {
        let spec = Arc::new(spec);
        let run = |drop_at| run(&spec, drop_at, |world, _, out| {
            let stream = try_expansion(&spec, &world);
            Box::pin(try_consume(world, stream, out))
        });
        let (mut out, polls) = run(None);
        assert!(out.over);
        assert_eq!(out.errors > 0, spec.any_fails());
        assert!(out.errors <= 1 || spec.limits.iter().any(|limit| limit.finishing));
        if out.errors == 0 {
            out.visited.sort_unstable();
            let fate = |node, depth| spec.fate_in_stage(node, depth);
            assert_eq!((out.visited, out.panics), spec.walk(fate));
        }
        run(Some(drop_at % (polls + 1)));
    }
}
