//! Signals that ask this process to stop.

use std::future::poll_fn;
use std::io;
use std::task::Poll;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals of schedulers and of closing terminals.
const STOP_SIGNALS: [SignalKind; 3] =
    [SignalKind::terminate(), SignalKind::hangup(), SignalKind::user_defined1()];

/// The origin of a request to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StopSignal {
    /// An interrupt by a person at the terminal.
    Interrupt,
    /// A signal of a scheduler, an operator, or a closed terminal.
    End,
}

/// Resolves when this process is asked to stop. A signal that was ignored at its start, such as
/// SIGHUP under `nohup`, stays ignored.
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

/// Resolves at the next interrupt. Other signals do not count, because schedulers, `timeout` and
/// closing terminals send several in a row.
pub(crate) fn second_interrupt() -> io::Result<impl Future<Output = ()> + Send> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        interrupt.recv().await;
    })
}

/// Whether a signal was ignored at the start of this process.
fn is_ignored(kind: SignalKind) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignored_mask(&status).is_some_and(|mask| mask & (1 << (kind.as_raw_value() - 1)) != 0)
}

/// Parses the mask of ignored signals in the status of a process.
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
