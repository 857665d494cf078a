#[cfg(feature = "monitor")]
mod numbers;
mod operator;
mod picture;
mod predicate;
mod steps;
mod through;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use futures_lite::stream::Boxed;
use futures_lite::{Stream, StreamExt};

pub use self::operator::IntoFlow;
pub use self::predicate::FlowPredicate;
pub use self::through::Through;

#[cfg(feature = "monitor")]
pub use self::numbers::FlowNumbers;
#[cfg(feature = "monitor")]
pub(crate) use self::picture::{MARK, one_line};
pub(crate) use self::steps::Argument;
use self::steps::{Step, Steps};

/// A piece of a pipeline without a source, which can be named, stored and reused.
///
/// A `Flow<T, U>` takes a stream of `T` and returns a stream of `U`. Begin with [`identity`](Self::identity) and
/// add stages, or join one-step flows from [`op`](crate::op) with `|`, or pass a function from stream to stream
/// to [`Flow::new`]:
///
/// ```
/// use flowlet::prelude::*;
/// use flowlet::{Flow, op};
///
/// async fn find_links(page: String) -> Vec<String> {
///     page.split_whitespace().map(str::to_owned).collect()
/// }
/// fn is_internal(link: &String) -> bool {
///     link.starts_with('/')
/// }
///
/// # futures_lite::future::block_on(async {
/// let by_methods: Flow<String> =
///     Flow::identity().flat_map_concurrent(8, find_links).filter(is_internal);
/// let by_operators = op::flat_map_concurrent(8, find_links) | op::filter(is_internal);
/// let by_function: Flow<String> =
///     Flow::new(|pages| pages.flat_map_concurrent(8, find_links).filter(is_internal));
///
/// let pages = ["/about /team".to_owned(), "/blog https://elsewhere.example".to_owned()];
/// for flow in [by_methods, by_operators, by_function] {
///     let mut found: Vec<String> = pipe(pages.clone()).through(&flow).collect().await;
///     found.sort();
///     assert_eq!(found, ["/about", "/blog", "/team"]);
/// }
/// # });
/// ```
///
/// # Stages
///
/// The methods that add a step do what the methods of the same name do to a stream, in
/// [`FlowExt`](crate::FlowExt), [`TryFlowExt`](crate::TryFlowExt) and [`StreamExt`]. Their arguments are shared by
/// all runs, which may be on several threads at once. So functions must be `Fn`, `Sync` and `'static`.
///
/// # Runs
///
/// Each use is a run of its own. A flow can be applied any number of times, from any number of threads, even at
/// once. Clones are the same flow. All runs share what its functions capture. A [`Semaphore`](crate::Semaphore)
/// bounds all runs together; a number bounds each run.
///
/// # Cost
///
/// Each step is a boxed stream: an allocation when a run begins, and a virtual call for each poll. Inside a stage
/// nothing is slower. Everything in one [`Flow::new`] is a single step.
///
/// # `!Send` and borrowed data
///
/// Streams and functions in a flow are `Send + 'static`, so that a flow works on every executor. For other data,
/// write a function from stream to stream, and pass it to [`through`](crate::FlowExt::through) in the same way:
///
/// ```
/// use flowlet::prelude::*;
/// use std::rc::Rc;
///
/// fn long_words<'a>(lines: impl Stream<Item = Rc<str>> + 'a) -> impl Stream<Item = usize> + 'a {
///     lines
///         .map_concurrent(8, async |line| line.split(' ').filter(|word| word.len() > 4).count())
///         .filter(|n| *n > 0)
/// }
///
/// # futures_lite::future::block_on(async {
/// let lines = [Rc::from("all are short"), Rc::from("none")];
/// let counts: Vec<usize> = pipe(lines).through(long_words).collect().await;
/// assert_eq!(counts, [1]);
/// # });
/// ```
///
/// # Examples
///
/// [`Debug`](fmt::Debug) lists the steps, [`Display`](fmt::Display) draws them, and
/// [`to_mermaid`](Self::to_mermaid) makes a graph for documents:
///
/// ```
/// use flowlet::{Flow, ordered};
///
/// let clean = Flow::<String>::identity().filter(|s| !s.is_empty()).map(|s| s.to_lowercase());
/// let flow = Flow::<u32>::identity()
///     .map_concurrent(ordered(20), async |id| format!("Page {id}"))
///     .then(clean.named("clean"))
///     .batched(50);
///
/// assert_eq!(
///     format!("{flow:?}"),
///     r#"Flow [map_concurrent(ordered(20)), "clean" [filter, map], batched(50)]"#
/// );
/// assert_eq!(
///     flow.to_string(),
///     "\
/// │
/// ├─ map_concurrent(ordered(20))
/// ├─ clean
/// │  ├─ filter
/// │  └─ map
/// ├─ batched(50)
/// ▼"
/// );
/// ```
#[must_use = "a flow does nothing unless applied"]
pub struct Flow<T, U = T> {
    apply: Arc<Apply<T, U>>,
    steps: Steps,
}

/// A closure from stream to stream.
type Apply<T, U> = dyn Fn(Boxed<T>) -> Boxed<U> + Send + Sync;

impl<T: 'static, U: 'static> Flow<T, U> {
    /// Creates a flow from a function from stream to stream. It is one step, whatever is in it.
    ///
    /// `f` is called once per run. All runs share what it captures; clone what a stage has to own.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::Flow;
    /// use flowlet::prelude::*;
    ///
    /// # futures_lite::future::block_on(async {
    /// let factor = std::sync::Arc::new(10);
    /// let multiply: Flow<u32> = Flow::new(move |numbers| {
    ///     let factor = factor.clone();
    ///     numbers.map_concurrent(4, move |n| {
    ///         let factor = factor.clone();
    ///         async move { n * *factor }
    ///     })
    /// });
    ///
    /// let numbers: Vec<u32> = pipe([1, 2]).through(&multiply).collect().await;
    /// assert_eq!(numbers, [10, 20]);
    /// # });
    /// ```
    pub fn new<F, S>(f: F) -> Self
    where
        F: Fn(Boxed<T>) -> S + Send + Sync + 'static,
        S: Stream<Item = U> + Send + 'static,
    {
        Self { apply: Arc::new(move |stream| f(stream).boxed()), steps: Step::function().into() }
    }

    /// Returns this flow followed by `next`. The same as `self | next`.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::Flow;
    /// use flowlet::prelude::*;
    ///
    /// # futures_lite::future::block_on(async {
    /// let parse: Flow<&str, u32> = Flow::new(|s| s.filter_map(|text: &str| text.parse().ok()));
    /// let double: Flow<u32> = Flow::new(|s| s.map(|n| 2 * n));
    ///
    /// let both: Flow<&str, u32> = parse.then(double);
    /// let numbers: Vec<u32> = pipe(["4", "x", "5"]).through(both).collect().await;
    /// assert_eq!(numbers, [8, 10]);
    /// # });
    /// ```
    pub fn then<V: 'static>(self, next: Flow<U, V>) -> Flow<T, V> {
        let (first, second) = (self.apply, next.apply);
        Flow {
            apply: Arc::new(move |stream| second(first(stream))),
            steps: self.steps.then(next.steps),
        }
    }

    /// Names the flow. Its steps are shown under that name.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::Flow;
    ///
    /// let flow = Flow::<&str>::identity().map(str::len).named("measure").filter(|n| *n > 0);
    /// assert_eq!(format!("{flow:?}"), r#"Flow ["measure" [map], filter]"#);
    /// ```
    pub fn named(self, name: impl Into<Cow<'static, str>>) -> Self {
        Self { steps: Step::Flow(name.into(), self.steps).into(), ..self }
    }

    /// Starts a run: returns `stream` sent through the flow.
    ///
    /// The same as [`stream.through(&flow)`](crate::FlowExt::through), for where the flow comes first.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::Flow;
    /// use flowlet::prelude::*;
    ///
    /// # futures_lite::future::block_on(async {
    /// let pairs: Flow<u32, Vec<u32>> = Flow::new(|s| s.batched(2));
    /// for _ in 0..2 {
    ///     let batches: Vec<_> = pairs.apply(pipe([1, 2, 3])).collect().await;
    ///     assert_eq!(batches, [vec![1, 2], vec![3]]);
    /// }
    /// # });
    /// ```
    pub fn apply<S>(&self, stream: S) -> Boxed<U>
    where
        S: Stream<Item = T> + Send + 'static,
    {
        (self.apply)(stream.boxed())
    }

    /// Draws the flow as a [Mermaid] graph. GitHub, rustdoc themes and many other tools render a `mermaid` block
    /// as a picture.
    ///
    /// Named flows are subgraphs.
    ///
    /// [Mermaid]: https://mermaid.js.org
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::Flow;
    ///
    /// let clean = Flow::<String>::identity().filter(|s| !s.is_empty()).map(|s| s.to_lowercase());
    /// let flow = clean.named("clean").batched(50);
    ///
    /// assert_eq!(
    ///     flow.to_mermaid(),
    ///     r#"flowchart TD
    ///     subgraph flow1["clean"]
    ///         step1["filter"]
    ///         step2["map"]
    ///     end
    ///     step3["batched(50)"]
    ///     step1 --> step2
    ///     step2 --> step3
    /// "#
    /// );
    /// ```
    pub fn to_mermaid(&self) -> String {
        picture::mermaid(&self.steps, picture::NO_NOTES)
    }

    /// Draws the flow with the numbers that a [`Monitor`](crate::Monitor) has recorded for its stages.
    ///
    /// [`Display`](fmt::Display) draws the same picture as for the flow itself, and
    /// [`to_mermaid`](FlowNumbers::to_mermaid) the same graph, both with numbers.
    ///
    /// Stages are found by the names that the monitor has for them. A stage whose name is missing there, or occurs
    /// more than once, is drawn without numbers.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::{Flow, Monitor};
    /// use flowlet::prelude::*;
    ///
    /// # futures_lite::future::block_on(async {
    /// let monitor = Monitor::new();
    /// let flow = Flow::<u32>::identity()
    ///     .map_concurrent(monitor.stage("double", 4), async |n| 2 * n)
    ///     .batched(50);
    /// pipe(0..100).through(&flow).drain().await;
    ///
    /// let picture = flow.with_numbers(&monitor.snapshot()).to_string();
    /// assert!(picture.starts_with("│\n├─ map_concurrent(4)  double: "));
    /// # });
    /// ```
    #[cfg(feature = "monitor")]
    pub fn with_numbers<'a>(&'a self, seen: &'a crate::monitor::Snapshot) -> FlowNumbers<'a> {
        FlowNumbers::new(&self.steps, seen)
    }

    /// Adds a stage, described by the name of its method and its arguments.
    pub(crate) fn step<V, S>(
        self,
        name: &'static str,
        arguments: Vec<Argument>,
        stage: impl Fn(Boxed<U>) -> S + Send + Sync + 'static,
    ) -> Flow<T, V>
    where
        V: 'static,
        S: Stream<Item = V> + Send + 'static,
    {
        let above = self.apply;
        Flow {
            apply: Arc::new(move |stream| stage(above(stream)).boxed()),
            steps: self.steps.then(Step::stage(name, arguments).into()),
        }
    }
}

impl<T: 'static> Flow<T> {
    /// Creates the flow that passes items on unchanged: a start for the stages, and for [`then`](Self::then).
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::Flow;
    /// use flowlet::prelude::*;
    ///
    /// # futures_lite::future::block_on(async {
    /// let steps: Vec<Flow<u32>> = vec![Flow::new(|s| s.map(|n| n + 1)), Flow::new(|s| s.take(2))];
    /// let all = steps.into_iter().fold(Flow::identity(), Flow::then);
    ///
    /// let numbers: Vec<u32> = pipe([1, 2, 3]).through(&all).collect().await;
    /// assert_eq!(numbers, [2, 3]);
    /// # });
    /// ```
    pub fn identity() -> Self {
        Self { apply: Arc::new(|stream| stream), steps: Steps::default() }
    }
}

impl<T, U> Clone for Flow<T, U> {
    fn clone(&self) -> Self {
        Self { apply: self.apply.clone(), steps: self.steps.clone() }
    }
}

impl<T: 'static> Default for Flow<T> {
    fn default() -> Self {
        Self::identity()
    }
}

impl<T, U> fmt::Debug for Flow<T, U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Flow ")?;
        self.steps.fmt(f)
    }
}

impl<T, U> fmt::Display for Flow<T, U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        picture::tree(&self.steps, picture::NO_NOTES, f)
    }
}
