use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_lite::Stream;

use super::entry::{Entry, Shared};
use super::fused::fused;
use crate::size_hint::SizeHint;

/// Creates a stream of items that lead to more items, which ends when all of them are done: a crawl, a directory walk,
/// pagination, tasks with dependencies.
///
/// Use this when it takes **several stages** to find the next items, as in a crawl that fetches, parses and stores with
/// a limit for each. When a **single function** does the work and also returns the new items, use
/// [`expand_concurrent`](crate::FlowExt::expand_concurrent), which needs no entries.
///
/// Each item comes with an [`Entry`]. Pass it along with the item, up to the stage that knows the next items, and add
/// them there: [`entry.expand(items)`](Entry::expand). An item is done when its entry is dropped: after it was
/// expanded, or by a filter, an error, a panic or a cancelled call. The stream ends when no item is waiting and no
/// entry is alive. So the end is never missed, and never comes too early, because only entries can add items.
///
/// # Order
///
/// Items are yielded in the order in which they were added: breadth first. With
/// [`depth_first`](Frontier::depth_first) the last ones are yielded first, and fewer items wait.
///
/// # Bound
///
/// The limits of the stages bound how many items are in progress. Nothing bounds how many are waiting: the calls that
/// add items are the ones that free room, so if they waited for room, they would wait for themselves. Where too many
/// wait, [`Entry::try_push`] returns the item instead of adding it.
///
/// The frontier does not remember items. If an item can be found twice, keep a set.
///
/// # Where an entry must not stay
///
/// Do not keep an entry in anything that waits for more items or for the end: a batch that is not full, a `collect`, a
/// variable outside the pipeline. The stream would wait for the entry, and the entry for the stream. This cannot be
/// detected, because an entry in a batch looks like one whose call is slow. So expand or drop the entry before the
/// batch. That is why [`expand`](Entry::expand) consumes it.
///
/// # Drop
///
/// Dropping the stream, as [`take_until_stopped`](crate::FlowExt::take_until_stopped) does, drops the items that are
/// waiting. Items that are added later are dropped at once.
///
/// # Examples
///
/// A crawl, with a limit for each kind of work:
///
/// ```
/// use flowlet::frontier;
/// use flowlet::prelude::*;
/// use std::collections::HashSet;
///
/// struct Page {
///     links: Vec<u32>,
/// }
///
/// async fn fetch(url: u32) -> String {
///     format!("{} {}", url + 1, url / 2)
/// }
/// fn parse(source: String) -> Page {
///     Page { links: source.split(' ').map(|link| link.parse().unwrap()).collect() }
/// }
/// async fn store(pages: Vec<Page>) {}
///
/// # futures_lite::future::block_on(async {
/// let mut seen = HashSet::from([1]);
///
/// frontier([1])
///     .map_concurrent(16, async |(url, entry)| (fetch(url).await, entry))
///     .map(|(source, entry)| {
///         let page = parse(source);
///         entry.expand(page.links.iter().copied().filter(|link| *link < 99 && seen.insert(*link)));
///         page
///     })
///     .batched(50) // holds pages, and no entries
///     .map_concurrent(1, store)
///     .drain() // ends when all that was found is stored
///     .await;
///
/// assert_eq!(seen.len(), 99);
/// # });
/// ```
///
/// A directory walk, in which files are read while others are still being found:
///
#[cfg_attr(feature = "threads", doc = "```")]
#[cfg_attr(not(feature = "threads"), doc = "```ignore")]
/// use flowlet::prelude::*;
/// use flowlet::{frontier, in_thread};
/// use std::{fs, io, path::PathBuf};
///
/// /// Lists the directories and the files in a directory.
/// fn list(directory: PathBuf) -> io::Result<(Vec<PathBuf>, Vec<PathBuf>)> {
///     let paths = fs::read_dir(directory)?.map(|entry| Ok(entry?.path()));
///     Ok(paths.collect::<io::Result<Vec<_>>>()?.into_iter().partition(|path| path.is_dir()))
/// }
///
/// # fn main() -> io::Result<()> { futures_lite::future::block_on(async {
/// let sizes: Vec<usize> = frontier([PathBuf::from("src")])
///     .depth_first()
///     .map_concurrent(4, in_thread(|(directory, entry)| Ok((list(directory)?, entry))))
///     .try_flat_map_concurrent(1, async |((directories, files), entry)| {
///         entry.expand(directories);
///         Ok::<_, io::Error>(pipe(files).map(Ok))
///     })
///     .try_map_concurrent(8, in_thread(|file| Ok(fs::read(file)?.len())))
///     .try_collect()
///     .await?;
/// # assert!(sizes.len() > 50);
/// # Ok(()) }) }
/// ```
pub fn frontier<I>(items: I) -> Frontier<I::Item>
where
    I: IntoIterator,
{
    Frontier { shared: Shared::new(items.into_iter().collect()) }
}

/// Stream returned by [`frontier`].
///
/// # Examples
///
/// ```
/// use flowlet::{frontier, stage::Frontier};
/// use futures_lite::StreamExt;
///
/// # futures_lite::future::block_on(async {
/// let mut numbers: Frontier<u32> = frontier([1]);
/// let (number, entry) = numbers.next().await.unwrap();
/// assert_eq!(number, 1);
/// drop(entry); // or the next line would wait forever
/// assert!(numbers.next().await.is_none());
/// # });
/// ```
#[must_use = "streams do nothing unless polled"]
pub struct Frontier<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Frontier<T> {
    /// Yields the items first that were added last.
    ///
    /// Items that were added together keep their order. At most about `depth * items per expansion * limit` items wait.
    /// Breadth first, as many items wait as there are at one depth.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::frontier;
    /// use flowlet::prelude::*;
    ///
    /// # futures_lite::future::block_on(async {
    /// let names: Vec<&str> = frontier(["a", "b"])
    ///     .depth_first()
    ///     .map(|(name, entry)| {
    ///         entry.expand(if name == "a" { vec!["a/1", "a/2"] } else { vec![] });
    ///         name
    ///     })
    ///     .collect()
    ///     .await;
    /// assert_eq!(names, ["a", "a/1", "a/2", "b"]);
    /// # });
    /// ```
    pub fn depth_first(self) -> Self {
        self.shared.depth_first();
        self
    }

    /// Creates an entry that belongs to no item, for adding items from outside the pipeline.
    ///
    /// While it is alive the stream does not end. Once the stream has ended, the entry adds nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::frontier;
    /// use flowlet::prelude::*;
    ///
    /// # futures_lite::future::block_on(async {
    /// let numbers = frontier([1]);
    /// let entry = numbers.entry();
    /// entry.push(2);
    /// drop(entry); // or it would not end
    /// assert_eq!(numbers.map(|(number, _)| number).collect::<Vec<_>>().await, [1, 2]);
    /// # });
    /// ```
    pub fn entry(&self) -> Entry<T> {
        self.shared.entry()
    }
}

impl<T> Frontier<T> {
    pub(super) fn shared(&self) -> &Arc<Shared<T>> {
        &self.shared
    }
}

impl<T> Stream for Frontier<T> {
    type Item = (T, Entry<T>);

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<(T, Entry<T>)>> {
        self.shared.poll_pop(cx, false)
    }

    fn size_hint(&self) -> SizeHint {
        self.shared.size_hint()
    }
}

fused!([T] Frontier<T>: |frontier| frontier.shared.is_closed());

impl<T> Drop for Frontier<T> {
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl<T> fmt::Debug for Frontier<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (waiting, entries) = self.shared.counts();
        f.debug_struct("Frontier")
            .field("waiting", &waiting)
            .field("entries", &entries)
            .finish_non_exhaustive()
    }
}
