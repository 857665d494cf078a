use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_lite::Stream;

use super::entry::{Entry, Shared};
use super::fused::fused;
use crate::size_hint::SizeHint;

/// Begins a pipeline that finds more items on its way, and ends when all of them are done: a crawl, a walk
/// through directories, pages that name the next one, tasks that others wait for.
///
/// Each item comes with an [`Entry`]. Pass it on with what becomes of the item, to where the next items are
/// found, and hand them to it: [`entry.expand(items)`](Entry::expand). An item is done when its entry is
/// dropped: after it was expanded, or by a filter, an error, a panic, a cancelled call. The stream ends when no
/// item waits and no entry is alive. So the end is never missed. And as only an entry can add items, it never
/// comes too early.
///
/// For a single stage that finds its own items there is
/// [`expand_concurrent`](crate::FlowExt::expand_concurrent).
///
/// # Order
///
/// Items are yielded in the order in which they were added: breadth first.
/// [`depth_first`](Frontier::depth_first) is the other way, in which fewer items wait.
///
/// # Bound
///
/// The limits of the stages bound how many items are worked on. Nothing bounds how many wait. Those who find
/// items are those who take them, so if they waited for room, they would wait for themselves.
/// [`Entry::try_push`] gives an item back where too many wait.
///
/// The frontier does not know which items there were before. Where one can be found twice, keep a set.
///
/// # Where an entry must not stay
///
/// In whatever waits for more items or for the end: a batch that is not full, a `collect`, a variable outside of
/// the pipeline. The stream waits for the entry, and the entry for the stream. Neither can tell: an entry in a
/// batch looks like one whose call is slow. So expand the entry, or drop it, before the batch.
/// [`expand`](Entry::expand) takes the entry for this reason.
///
/// # Drop
///
/// Dropping the stream, as [`take_until_stopped`](crate::FlowExt::take_until_stopped) does, drops the items
/// that wait. What is added later is dropped at once.
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
/// Directories, the files of which are read while others are still being looked for:
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
/// drop(entry); // or the next line would wait for ever
/// assert!(numbers.next().await.is_none());
/// # });
/// ```
#[must_use = "streams do nothing unless polled"]
pub struct Frontier<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Frontier<T> {
    /// Yields the items that were added last first.
    ///
    /// Of those that were added together, the first one comes first. About as many items wait as there are
    /// between the first item and the deepest one, times the number that one expands to, times the limit of the
    /// stage. Breadth first, it is as many as there are at one depth.
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

    /// Makes an entry that belongs to no item, to add items from elsewhere.
    ///
    /// As long as it lives the stream does not end. Once the stream has ended, the entry adds nothing.
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
