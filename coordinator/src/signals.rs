//! Signals that ask this process to end in good order.

use std::future::poll_fn;
use std::io;
use std::task::Poll;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals of schedulers and of terminals that close.
const STOP_SIGNALS: [SignalKind; 3] =
    [SignalKind::terminate(), SignalKind::hangup(), SignalKind::user_defined1()];

/// What asks this process to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StopSignal {
    /// A person at the terminal.
    Interrupt,
    /// A scheduler, an operator, or a terminal that was closed.
    End,
}

/// Resolves when this process is asked to end. A signal that it was started to ignore, such as
/// SIGHUP by `nohup`, stays ignored.
pub(crate) fn stop_signal() -> io::Result<impl Future<Output = StopSignal> + Send> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let kinds = STOP_SIGNALS.into_iter().filter(|kind| !is_ignored(*kind));
    let mut ends = kinds.map(signal).collect::<io::Result<Vec<Signal>>>()?;
    Ok(async move {
        let ended = poll_fn(move |context| {
            let asked = ends.iter_mut().any(|end| end.poll_recv(context).is_ready());
            if asked { Poll::Ready(()) } else { Poll::Pending }
        });
        tokio::select! {
            _ = interrupt.recv() => StopSignal::Interrupt,
            () = ended => StopSignal::End,
        }
    })
}

/// Resolves when a person insists. Schedulers, `timeout` and a closing terminal send several signals in
/// a row, which says nothing.
pub(crate) fn second_interrupt() -> io::Result<impl Future<Output = ()> + Send> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        interrupt.recv().await;
    })
}

/// Whether this process ignores a signal, as whatever started it wanted.
fn is_ignored(kind: SignalKind) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignored_mask(&status).is_some_and(|mask| mask & (1 << (kind.as_raw_value() - 1)) != 0)
}

/// The mask of ignored signals in the status of a process.
fn ignored_mask(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_of_ignored_signals_is_read() {
        assert_eq!(ignored_mask("Name:\trheo\nSigIgn:\t0000000000001001\n"), Some(0x1001));
        assert_eq!(ignored_mask("Name:\trheo\n"), None);
    }
}
