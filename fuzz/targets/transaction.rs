//! The libFuzzer shell of [`unchoke_fuzz::transaction`].
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| unchoke_fuzz::transaction(data));

#[cfg(not(fuzzing))]
fn main() {}
