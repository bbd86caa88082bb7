//! Runs the corpus of every fuzz target through the target's body, on a stable compiler.
//!
//! An input that once made a decoder fail belongs into the corpus, and is tried here ever after.

mod fuzz_bodies;

use std::fs;
use std::path::Path;

#[test]
fn every_corpus_file_passes_its_body() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let mut names = Vec::new();
    for corpus in fs::read_dir(&corpora).expect("the corpora") {
        let corpus = corpus.expect("a directory entry");
        let name = corpus.file_name().into_string().expect("a plain name");
        let mut files = 0;
        for file in fs::read_dir(corpus.path()).expect("a corpus") {
            let path = file.expect("a directory entry").path();
            fuzz_bodies::run(&name, &fs::read(&path).expect("a readable file"));
            files += 1;
        }
        assert!(files > 0, "the corpus {name} is empty");
        names.push(name);
    }
    names.sort();
    let known: Vec<_> = fuzz_bodies::BODIES.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, known);
}
