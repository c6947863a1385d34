//! The libFuzzer target for [`afterword_fuzz::long_list`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| afterword_fuzz::long_list(bytes));
