//! Transcripts: what clients say and what they hear, as text.
//!
//! Each file under `transcripts/` is a row of blocks: commands, a line `----`, and everything that
//! any client received because of them. `UPDATE_EXPECT=1` writes the files anew; then read the
//! difference. The commands are described in [`script`].

mod common;
mod script;

use std::path::Path;

#[test]
fn transcripts_are_as_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .expect("the folder of transcripts")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    assert!(!files.is_empty());
    for file in files {
        let text = std::fs::read_to_string(&file).expect("a transcript");
        expect_test::expect_file![&file].assert_eq(&script::play(&text));
    }
}
