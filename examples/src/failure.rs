//! Why a program ends early.

use std::error::Error;
use std::fmt;

/// Why a program does not do its work to the end.
#[derive(Debug)]
pub enum Failure {
    /// It was asked how to call it.
    Help,
    /// It was called wrongly, or its input is no torrent.
    Usage(String),
    /// It could not do what it was asked to.
    Failed(String),
}

impl Failure {
    /// A failure with all its causes.
    #[must_use]
    pub fn failed(error: &dyn Error) -> Self {
        Self::Failed(chain(error))
    }

    /// Bad input, with all its causes.
    #[must_use]
    pub fn usage(error: &dyn Error) -> Self {
        Self::Usage(chain(error))
    }
}

fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let next_text = next.to_string();
        if !text.contains(&next_text) {
            text = format!("{text}: {next_text}");
        }
        cause = next.source();
    }
    text
}

impl From<lexopt::Error> for Failure {
    fn from(error: lexopt::Error) -> Self {
        Self::Usage(error.to_string())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Help => f.write_str("help was asked for"),
            Self::Usage(text) | Self::Failed(text) => f.write_str(text),
        }
    }
}
