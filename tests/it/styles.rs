//! Every stage can be written in every style: as a method of streams, as a method of `Flow`, as an `op` and
//! as a transformer.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use flowlet::prelude::*;
use flowlet::{Flow, chain, functional, op, ordered};
use futures_lite::future::{block_on, yield_now};

// The adaptors of `ResultStreamExt` are in no style but their own: `map` takes what a `Result` has,
// as in `map(|result| result.map_err(Error::from))`.

/// The methods of streams that are no method of `Flow` and no `op`, and why.
const NO_STEPS: [(&str, &str); 4] = [
    ("through", "flows are joined with `then` and `|`"),
    ("driven", "it is for the consumer; a flow gives a boxed stream, which has no `alongside`"),
    ("drain", "it ends a pipeline, and a flow is what is in the middle"),
    ("try_drain", "it ends a pipeline, as `drain` does"),
];

/// Those that are no function of `functional`, and why.
const NO_TRANSFORMERS: [(&str, &str); 1] =
    [("through", "a flow, or any function of streams, stands in a `chain!` as it is")];

fn source(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The names after `keyword`, where it begins a line.
fn names(source: &str, keyword: &str) -> BTreeSet<String> {
    let name = |line: &str| {
        let rest = line.strip_prefix(keyword)?;
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_')?;
        Some(rest[..end].to_owned())
    };
    source.lines().filter_map(name).collect()
}

/// The stages that have a row of `styles!`, which makes all but the method of streams.
fn rows() -> BTreeSet<String> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/stage");
    let gathered = source("stage/mod.rs");
    let (_, gathered) = gathered.split_once("\nrows! {").unwrap();
    let mut rows = BTreeSet::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let file = fs::read_to_string(&path).unwrap();
        if let Some((_, of_file)) = file.split_once("\nstyles! {") {
            let stage = path.file_stem().unwrap().to_str().unwrap();
            assert!(gathered.contains(&format!(" {stage},")), "{stage} is not in `rows!`");
            rows.extend(names(of_file, "    fn "));
        }
    }
    rows
}

fn without(all: &BTreeSet<String>, exceptions: &[(&str, &str)]) -> BTreeSet<String> {
    let mut rest = all.clone();
    for (name, _) in exceptions {
        assert!(rest.remove(*name), "{name} is no method of streams");
    }
    rest
}

#[test]
fn no_style_lacks_a_stage() {
    let mut methods = names(&source("ext.rs"), "    fn ");
    methods.extend(names(&source("try_ext.rs"), "    fn "));
    assert!(methods.len() > 15);

    let steps = rows();
    let adaptors = ["map", "filter", "filter_map", "flat_map", "inspect", "take"];
    let adaptors = BTreeSet::from(adaptors.map(str::to_owned));
    let expected = &without(&methods, &NO_STEPS) | &adaptors;
    assert_eq!(expected, steps);

    let mut transformers = steps;
    transformers.extend(names(&source("functional.rs"), "pub fn "));
    assert!(transformers.remove("collect"));
    let expected = &without(&methods, &NO_TRANSFORMERS) | &adaptors;
    assert_eq!(expected, transformers);
}

fn results() -> impl Stream<Item = Result<u32, String>> + Send + 'static {
    pipe(0..14).map(|n| if n == 11 { Err("eleven".to_owned()) } else { Ok(n) })
}

/// Checks that a stage is the same in every style, in each of two runs.
macro_rules! same {
    ($source:expr => $method:ident($($argument:expr),*)) => {
        same!($source => $method($($argument),*) = $method($($argument),*));
    };
    ($source:expr => $method:ident($($argument:expr),*) = $like:ident($($like_argument:expr),*)) => {
        let collected = |stream| block_on(StreamExt::collect::<Vec<_>>(stream));
        let expected = block_on($source.$like($($like_argument),*).collect::<Vec<_>>());
        assert!(!expected.is_empty());
        let (by_method, by_operator) = (Flow::identity().$method($($argument),*), op::$method($($argument),*));
        let by_chain = chain!(functional::$method($($argument),*));
        for _ in 0..2 {
            assert_eq!(collected($source.through(&by_method)), expected);
            assert_eq!(collected($source.through(&by_operator)), expected);
            assert_eq!(block_on($source.through(&by_chain).collect::<Vec<_>>()), expected);
        }
    };
}

// What `flow_builder` does not compare, which looks at concurrent stages call by call.

#[test]
fn batches_are_the_same_in_every_style() {
    same!(pipe(0..14) => batched_by_weight(7, |n: &u32| *n as usize));
    same!(results() => try_batched_by_weight(7, |n: &u32| *n as usize));
    same!(results() => try_batched(4));
    #[cfg(feature = "time")]
    {
        let hour = std::time::Duration::from_secs(3600);
        same!(pipe(0..14) => batched_within(4, hour));
        same!(results() => try_batched_within(4, hour));
        let flow = Flow::<u32>::identity().batched_within(4, hour);
        assert_eq!(format!("{flow:?}"), "Flow [batched_within(4, 3600s)]");
    }
    let flow = op::batched_by_weight(7, |n: &u32| *n as usize).then(op::prefetch(3, smol::spawn));
    assert_eq!(format!("{flow:?}"), "Flow [batched_by_weight(7), prefetch(3)]");
}

#[test]
fn looks_at_items_are_the_same_in_every_style() {
    async fn look(n: &u32) {
        for _ in 0..n * 5 % 4 {
            yield_now().await;
        }
    }
    async fn check(n: &u32) -> Result<(), String> {
        look(n).await;
        if *n == 9 { Err("nine".to_owned()) } else { Ok(()) }
    }
    same!(pipe(0..14) => inspect_concurrent(3, look));
    same!(pipe(0..14) => inspect_concurrent(ordered(3), async |n: &u32| look(n).await));
    same!(results() => try_inspect_concurrent(3, check));
    same!(results() => try_inspect_concurrent(ordered(3), check));
    let checked = pipe(0..14).map(Ok).try_inspect_concurrent(ordered(3), check);
    let checked: Vec<_> = block_on(checked.collect());
    assert_eq!(checked.len(), 10);
    assert_eq!(checked[9], Err("nine".to_owned()));
}

#[test]
fn expansions_are_the_same_in_every_style() {
    async fn halve(n: u32) -> (u32, Vec<u32>) {
        for _ in 0..n * 5 % 4 {
            yield_now().await;
        }
        (n, if n > 1 { vec![n / 2, n - n / 2] } else { vec![] })
    }
    async fn check(n: u32) -> Result<(u32, Vec<u32>), String> {
        if n == 9 { Err("nine".to_owned()) } else { Ok(halve(n).await) }
    }
    same!(pipe(0..14) => expand_concurrent(3, halve));
    same!(pipe(0..14) => expand_concurrent(ordered(3), async |n| halve(n).await));
    same!(results() => try_expand_concurrent(3, check));
    same!(results() => try_expand_concurrent(ordered(3), check));
}

#[test]
fn a_task_of_its_own_is_the_same_in_every_style() {
    same!(pipe(0..14) => prefetch(3, smol::spawn));
}

#[test]
fn each_run_has_a_stop_of_its_own() {
    same!(pipe(0..14) => take_until_stopped(yield_now) = take_until_stopped(yield_now()));
    assert_eq!(
        op::take_until_stopped::<u32, _, _>(yield_now).to_string(),
        "│\n├─ take_until_stopped\n▼"
    );
}

#[test]
fn a_chain_can_end_for_its_consumer() {
    let pages = chain!(functional::map_concurrent(2, async |n: u32| n), functional::driven());
    let sum = block_on(async {
        let (mut pages, mut sum) = (pages(1..4), 0);
        while let Some(n) = pages.next().await {
            pages.alongside(yield_now()).await;
            sum += n;
        }
        sum
    });
    assert_eq!(sum, 6);

    let stored = chain!(functional::map_ok_concurrent(2, async |n: u32| Ok::<_, String>(n)));
    let failed = block_on(functional::try_drain(stored(results())));
    assert_eq!(failed, Err("eleven".to_owned()));
}
