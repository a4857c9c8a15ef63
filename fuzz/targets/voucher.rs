//! The libFuzzer shell of [`unchoke_fuzz::voucher`].
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| unchoke_fuzz::voucher(data));

#[cfg(not(fuzzing))]
fn main() {}
