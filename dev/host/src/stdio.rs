//! Prints components' output to standard error: whole lines, each after the component's name.

use std::io::{self, Write};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

/// The standard output or standard error of one instance. Clones write to the same line.
#[derive(Clone, Debug)]
pub(crate) struct Lines(Arc<Mutex<Line>>);

#[derive(Debug)]
struct Line {
    /// The component's name and a separator.
    prefix: String,
    /// The bytes since the last line break.
    pending: Vec<u8>,
}

impl Lines {
    /// An empty line of `component`.
    pub(crate) fn new(component: &str) -> Self {
        Self(Arc::new(Mutex::new(Line {
            prefix: format!("{component}: "),
            pending: Vec::new(),
        })))
    }

    fn write(&self, bytes: &[u8]) {
        let mut line = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        print(&line.push(bytes));
    }
}

impl Line {
    /// Adds `bytes` and removes the complete lines.
    fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.pending.extend_from_slice(bytes);
        let Some(end) = self.pending.iter().rposition(|byte| *byte == b'\n') else {
            return Vec::new();
        };
        let rest = self.pending.split_off(end + 1);
        let complete = std::mem::replace(&mut self.pending, rest);
        let lines = complete.split_inclusive(|byte| *byte == b'\n');
        lines
            .flat_map(|line| [self.prefix.as_bytes(), line])
            .collect::<Vec<_>>()
            .concat()
    }
}

impl Drop for Line {
    /// Prints the unfinished line of an instance that ends or traps.
    fn drop(&mut self) {
        if !self.pending.is_empty() {
            print(&self.push(b"\n"));
        }
    }
}

/// Prints in one write call, so that lines of several instances do not mix. Ignores a closed
/// standard error: the application keeps serving.
fn print(lines: &[u8]) {
    let _ = io::stderr().lock().write_all(lines);
}

impl IsTerminal for Lines {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Lines {
    /// A synchronous stream: the output before a trap is printed when the instance is dropped.
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }

    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }
}

#[async_trait]
impl Pollable for Lines {
    async fn ready(&mut self) {}
}

impl OutputStream for Lines {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        Lines::write(self, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(64 * 1024)
    }
}

impl AsyncWrite for Lines {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Lines::write(&self, bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> Line {
        Line {
            prefix: "articles: ".to_owned(),
            pending: Vec::new(),
        }
    }

    #[test]
    fn a_line_is_printed_when_it_is_complete() {
        let mut line = line();
        assert_eq!(line.push(b"sending "), b"");
        assert_eq!(
            line.push(b"response\nnext"),
            b"articles: sending response\n"
        );
        assert_eq!(line.push(b"\n"), b"articles: next\n");
    }

    #[test]
    fn each_line_of_a_write_gets_the_prefix() {
        assert_eq!(
            line().push(b"a\n\nb\n"),
            b"articles: a\narticles: \narticles: b\n"
        );
    }
}
