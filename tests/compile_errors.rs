//! What the compiler says about the common mistakes. Apart, because it runs the compiler.
//!
//! Each file in `tests/compile_errors` is a mistake, with what has to be said about it in its last
//! lines; beside it is all that the compiler says. Compilers differ in what they say around our own
//! words, so that is compared with one version only. To write it anew, after a change to a
//! signature or with another compiler, which is to be named here, run this test with
//! `TRYBUILD=overwrite`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// The compiler whose messages are in `tests/compile_errors`.
const COMPILER: &str = "rustc 1.95.";

#[test]
fn mistakes_are_explained() {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("--version").output().expect("a compiler was here");
    let version = String::from_utf8_lossy(&output.stdout);
    if !version.starts_with(COMPILER) || version.contains("nightly") {
        println!("skipped: the messages are those of {COMPILER}*, this is {version}");
        return;
    }
    trybuild::TestCases::new().compile_fail("tests/compile_errors/*.rs");
}

/// The guide's chapter quotes them, so that a search finds it.
#[test]
fn the_guide_quotes_the_compiler() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let stderr = |path: PathBuf| {
        path.extension()
            .is_some_and(|extension| extension == "stderr")
            .then(|| fs::read_to_string(path).unwrap())
    };
    let said: String = fs::read_dir(root.join("tests/compile_errors"))
        .unwrap()
        .filter_map(|entry| stderr(entry.unwrap().path()))
        .collect();
    let chapter = fs::read_to_string(root.join("src/guide/when_it_does_not_compile.md")).unwrap();
    let rows = chapter.lines().filter(|line| line.starts_with("| ")).skip(2);
    let mut quotes = 0;
    for quote in rows.flat_map(|row| row.split('|').nth(1).unwrap().split("; ")) {
        let quote = quote.trim();
        let of_the_language = [
            "future cannot be sent between threads safely",
            "one type is more general than the other",
        ];
        assert!(of_the_language.contains(&quote) || said.contains(quote), "{quote}");
        quotes += 1;
    }
    assert!(quotes > 10);
}

/// So that nothing is lost when the messages are written anew.
#[test]
fn the_messages_say_what_they_have_to() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compile_errors");
    let mut mistakes = 0;
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        mistakes += 1;
        let mistake = fs::read_to_string(&path).unwrap();
        let message = fs::read_to_string(path.with_extension("stderr")).unwrap();
        let says: Vec<&str> =
            mistake.lines().filter_map(|line| line.strip_prefix("// says: ")).collect();
        assert!(!says.is_empty(), "{}", path.display());
        for words in says {
            assert!(message.contains(words), "{}: {words}", path.display());
        }
    }
    assert!(mistakes > 10);
}
