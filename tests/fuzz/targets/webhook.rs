//! The libFuzzer target for [`afterword_fuzz::webhook`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| afterword_fuzz::webhook(bytes));
