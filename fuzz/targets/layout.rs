//! The libFuzzer shell of [`unchoke_fuzz::layout`].
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| unchoke_fuzz::layout(data));

#[cfg(not(fuzzing))]
fn main() {}
