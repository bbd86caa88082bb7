//! Notes when the server was built, for the version that it tells of itself.
//!
//! `SOURCE_DATE_EPOCH` takes the place of the clock where builds have to be reproducible.

// Printing is how a build script speaks to cargo.
#![allow(clippy::print_stdout)]

use std::time::{SystemTime, UNIX_EPOCH};

fn main() {
    println!("cargo::rerun-if-changed=src");
    println!("cargo::rerun-if-changed=Cargo.toml");
    println!("cargo::rerun-if-env-changed=SOURCE_DATE_EPOCH");
    let given = std::env::var("SOURCE_DATE_EPOCH").ok().and_then(|text| text.parse::<u64>().ok());
    let built_s = given.unwrap_or_else(|| {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
    });
    println!("cargo::rustc-env=OSTLER_BUILT_AT_S={built_s}");
}
