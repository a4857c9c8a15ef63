//! The libFuzzer shell of [`unchoke_fuzz::dht_node`].
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| unchoke_fuzz::dht_node(data));

#[cfg(not(fuzzing))]
fn main() {}
