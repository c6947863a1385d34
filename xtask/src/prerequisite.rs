//! The state of something that a command needs.

/// Whether a prerequisite is there, with a sentence for the user.
#[derive(Debug)]
pub enum Prerequisite {
    /// It is installed.
    Installed(String),
    /// `up` can fetch it.
    Fetchable(String),
    /// The user has to install it.
    Missing(String),
}
