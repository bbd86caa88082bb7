//! See `tests/hostile/scene.rs`.
#![no_main]

#[path = "../../tests/common/mod.rs"]
mod common;
#[path = "../../tests/hostile/scene.rs"]
mod scene;
#[path = "../../../sim/src/workload.rs"]
mod workload;

libfuzzer_sys::fuzz_target!(|script: &[u8]| scene::run(script));
