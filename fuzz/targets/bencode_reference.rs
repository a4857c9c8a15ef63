//! The libFuzzer shell of [`unchoke_fuzz::bencode_reference`].
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| unchoke_fuzz::bencode_reference(data));

#[cfg(not(fuzzing))]
fn main() {}
