//! Elections of whole ensembles, on a virtual clock.
//!
//! `transcripts/election_*.txt` are rows of blocks: commands, a line `----`, and everything that
//! was said because of them. `UPDATE_EXPECT=1` writes the files anew; then read the difference.
//! [`random`] plays whatever a seed says.

mod dice;
mod java;
mod net;
mod random;
mod script;
mod world;

use std::path::Path;

#[test]
fn transcripts_are_as_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .expect("the folder of transcripts")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| {
            let name = path.file_name().and_then(|name| name.to_str());
            name.is_some_and(|name| name.starts_with("election_"))
        })
        .collect();
    files.sort();
    assert!(!files.is_empty());
    for file in files {
        let text = std::fs::read_to_string(&file).expect("a transcript");
        expect_test::expect_file![&file].assert_eq(&script::play(&text));
    }
}
