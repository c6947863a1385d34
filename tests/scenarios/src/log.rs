//! Assertions on the log.

use crate::afterword::Afterword;

impl Afterword {
    /// How often the log contains `text`.
    pub fn count_in_log(&self, text: &str) -> usize {
        self.log().matches(text).count()
    }

    /// Asserts that the log contains none of these texts.
    ///
    /// # Panics
    /// It contains one.
    pub fn assert_not_in_log(&self, texts: &[&str]) {
        let log = self.log();
        for text in texts {
            assert!(!log.contains(text), "{text:?} is in the log: {log}");
        }
    }
}
