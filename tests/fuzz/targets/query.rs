//! The libFuzzer target for [`afterword_fuzz::query`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| afterword_fuzz::query(bytes));
