//! libFuzzer's way into [`afterword_fuzz::webhook`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| afterword_fuzz::webhook(bytes));
