//! Jobs between stores in memory that see what is in flight, and the program between folders.

use std::collections::BTreeMap;
use std::env::temp_dir;
use std::fmt;
use std::future::pending;
use std::process::{self, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use async_trait::async_trait;
use cookbook::objects::{Error, Job, Report};
use futures_lite::{StreamExt, stream};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use tokio::task::yield_now;
use tokio::time::timeout;

/// How many objects a page of the list has.
const PAGE: usize = 4;

/// A limit on objects.
const OBJECTS: usize = 8;

/// A limit on bytes.
const BYTES: usize = 3000;

/// What is seen of a job.
#[derive(Debug, Default)]
struct Flight {
    /// No object is got until so many are in flight at a time.
    at_least: usize,

    objects: AtomicUsize,
    bytes: AtomicUsize,
    most_objects: AtomicUsize,
    most_bytes: AtomicUsize,

    pages: AtomicUsize,
    listed: AtomicUsize,
    /// How many objects were listed and not put, at most.
    most_listed: AtomicUsize,
    begun: AtomicUsize,
    put: AtomicUsize,
}

impl Flight {
    fn begin(&self, bytes: usize) {
        self.begun.fetch_add(1, SeqCst);
        self.most_objects.fetch_max(self.objects.fetch_add(1, SeqCst) + 1, SeqCst);
        self.most_bytes.fetch_max(self.bytes.fetch_add(bytes, SeqCst) + bytes, SeqCst);
    }

    fn end(&self, bytes: usize) {
        self.objects.fetch_sub(1, SeqCst);
        self.bytes.fetch_sub(bytes, SeqCst);
        self.put.fetch_add(1, SeqCst);
    }

    fn list(&self) {
        let listed = self.listed.fetch_add(1, SeqCst) + 1;
        self.most_listed.fetch_max(listed - self.put.load(SeqCst), SeqCst);
    }

    async fn is_full(&self) {
        while self.most_objects.load(SeqCst) < self.at_least {
            yield_now().await;
        }
    }
}

/// A store that is slow, lists objects in pages, and refuses one that is called `refused`.
#[derive(Clone, Debug)]
struct Watched {
    store: Arc<InMemory>,
    flight: Arc<Flight>,
}

impl fmt::Display for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.store.fmt(f)
    }
}

/// Lets others go on.
async fn some_time() {
    for _ in 0..100 {
        yield_now().await;
    }
}

#[async_trait]
impl ObjectStore for Watched {
    fn list(&self, prefix: Option<&Path>) -> stream::Boxed<Result<ObjectMeta>> {
        assert!(prefix.is_none());
        let flight = self.flight.clone();
        stream::unfold((self.clone(), None), async |(watched, last): (Self, Option<Path>)| {
            some_time().await;
            let rest = match &last {
                Some(last) => watched.store.list_with_offset(None, last),
                None => watched.store.list(None),
            };
            let page: Vec<_> = rest.take(PAGE).collect().await;
            watched.flight.pages.fetch_add(1, SeqCst);
            let last = page.last()?.as_ref().unwrap().location.clone();
            Some((stream::iter(page), (watched, Some(last))))
        })
        .flatten()
        .inspect(move |_| flight.list())
        .boxed()
    }

    async fn get_opts(&self, name: &Path, options: GetOptions) -> Result<GetResult> {
        let got = self.store.get_opts(name, options).await?;
        self.flight.begin(got.meta.size as usize);
        self.flight.is_full().await;
        some_time().await;
        Ok(got)
    }

    async fn put_opts(&self, name: &Path, bytes: PutPayload, how: PutOptions) -> Result<PutResult> {
        if name.as_ref() == "refused" {
            return Err(object_store::Error::Generic { store: "watched", source: "no".into() });
        }
        some_time().await;
        self.flight.end(bytes.content_length());
        self.store.put_opts(name, bytes, how).await
    }

    async fn put_multipart_opts(
        &self,
        name: &Path,
        how: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.store.put_multipart_opts(name, how).await
    }

    fn delete_stream(&self, names: stream::Boxed<Result<Path>>) -> stream::Boxed<Result<Path>> {
        self.store.delete_stream(names)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.store.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, how: CopyOptions) -> Result<()> {
        self.store.copy_opts(from, to, how).await
    }
}

/// Turns a text round, unless it is broken.
fn reversed(text: &[u8]) -> Result<Vec<u8>, Error> {
    if text == b"broken" {
        return Err("it is broken".into());
    }
    Ok(text.iter().rev().copied().collect())
}

type Objects = BTreeMap<String, Vec<u8>>;

/// Objects of these sizes, with names in their order.
fn sized(sizes: &[usize]) -> Objects {
    let text = |n, size| (0..size).map(|byte| (byte * n + byte / 7) as u8).collect();
    sizes.iter().enumerate().map(|(n, size)| (format!("{n:03}"), text(n, *size))).collect()
}

/// Runs a job on objects. Returns what became of them, what is in the other store, and what was seen.
async fn run(
    objects: &Objects,
    at_least: usize,
    stop: impl AsyncFn(&Flight),
) -> (Report, Objects, Arc<Flight>) {
    let flight = Arc::new(Flight { at_least, ..Flight::default() });
    let [from, to] = [(); 2].map(|()| Watched { store: Arc::default(), flight: flight.clone() });
    for (name, text) in objects {
        from.store.put(&Path::from(name.as_str()), text.clone().into()).await.unwrap();
    }
    let job = Job {
        from: Arc::new(from),
        to: Arc::new(to.clone()),
        objects: OBJECTS,
        bytes: BYTES,
        threads: 3,
    };
    let job = job.run(stop(&flight), |text| reversed(&text));
    let report = timeout(Duration::from_secs(60), job).await.expect("it ends").unwrap();

    let names: Vec<Path> =
        to.store.list(None).map(|object| object.unwrap().location).collect().await;
    let mut put = Objects::new();
    for name in names {
        let text = to.store.get(&name).await.unwrap().bytes().await.unwrap();
        put.insert(name.to_string(), text.to_vec());
    }
    let right = |(name, text): (&String, &Vec<u8>)| reversed(&objects[name]).unwrap() == *text;
    assert!(put.iter().all(right));
    assert_eq!(put.len(), report.put);
    (report, put, flight)
}

async fn never(_: &Flight) {
    pending().await
}

#[tokio::test]
async fn small_objects_are_limited_by_their_number() {
    let objects = sized(&[10; 5 * OBJECTS]);
    let (report, put, flight) = run(&objects, OBJECTS, never).await;
    assert_eq!((put.len(), report.errors.len(), report.stopped), (objects.len(), 0, false));
    assert_eq!(flight.most_objects.load(SeqCst), OBJECTS);
    assert_eq!(flight.most_listed.load(SeqCst), OBJECTS, "none is listed before there is room");
    assert_eq!(flight.pages.load(SeqCst), objects.len() / PAGE + 1, "the last one was empty");
}

#[tokio::test]
async fn large_objects_are_limited_by_their_bytes() {
    let (report, put, flight) = run(&sized(&[BYTES / 3; 20]), 3, never).await;
    assert_eq!((put.len(), report.errors.len()), (20, 0));
    assert_eq!(flight.most_objects.load(SeqCst), 3);
    assert_eq!(flight.most_bytes.load(SeqCst), BYTES);
}

#[tokio::test]
async fn an_object_that_is_larger_than_the_limit_is_alone() {
    let sizes = [10, 2 * BYTES, 10, 2 * BYTES, 2 * BYTES];
    let (report, put, flight) = run(&sized(&sizes), 1, never).await;
    assert_eq!((put.len(), report.errors.len()), (5, 0));
    assert_eq!(flight.most_objects.load(SeqCst), 1);
}

#[tokio::test]
async fn after_an_error_what_is_in_flight_is_put() {
    for (name, text) in [("refused", "text"), ("000", "broken")] {
        let mut objects = sized(&[10; 5 * OBJECTS]);
        objects.insert(name.to_owned(), text.into());
        // The list has this one first.
        let objects: Objects = match name {
            "refused" => objects.into_iter().map(|(n, text)| (n.replace('0', "z"), text)).collect(),
            _ => objects,
        };
        let (report, put, flight) = run(&objects, OBJECTS, never).await;
        let [error] = &report.errors[..] else { panic!("{:?}", report.errors) };
        let expected = if name == "refused" { "no" } else { "000: it is broken" };
        assert!(error.to_string().ends_with(expected), "{error}");
        assert_eq!(flight.begun.load(SeqCst), put.len() + 1);
        assert!((OBJECTS - 1..objects.len() / 2).contains(&put.len()), "{}", put.len());
    }
}

#[tokio::test]
async fn a_stop_has_it_put_what_is_in_flight() {
    let objects = sized(&[10; 5 * OBJECTS]);
    let (report, put, flight) = run(&objects, OBJECTS, Flight::is_full).await;
    assert!(report.stopped);
    assert_eq!(report.errors.len(), 0);
    assert_eq!(flight.begun.load(SeqCst), put.len());
    assert!((OBJECTS..objects.len() / 2).contains(&put.len()), "{}", put.len());
}

#[test]
fn the_program_processes_what_is_in_a_folder() {
    let folder = temp_dir().join(format!("cookbook-objects-{}", process::id()));
    std::fs::create_dir_all(folder.join("from/deep")).unwrap();
    std::fs::write(folder.join("from/two.txt"), "b\na\n").unwrap();
    std::fs::write(folder.join("from/deep/three.txt"), "c\nb\na").unwrap();
    let url = |name: &str| format!("file://{}/{name}", folder.display());

    let mut program = Command::new(env!("CARGO_BIN_EXE_objects"));
    let output = program.args([url("from"), url("to")]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "2 objects were put\n");
    assert_eq!(std::fs::read_to_string(folder.join("to/two.txt")).unwrap(), "a\nb\n");
    assert_eq!(std::fs::read_to_string(folder.join("to/deep/three.txt")).unwrap(), "a\nb\nc\n");
    std::fs::remove_dir_all(folder).unwrap();
}
