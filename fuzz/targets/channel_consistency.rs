//! The libFuzzer shell of [`unchoke_fuzz::channel_consistency`].
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| unchoke_fuzz::channel_consistency(data));

#[cfg(not(fuzzing))]
fn main() {}
