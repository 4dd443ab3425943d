//! Conformance tests of [`Journal`] that every implementation passes.
//!
//! `open` reopens the same journal at each call, as a restarted coordinator does. The journal of the
//! previous call has been dropped by then.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod snapshots;
pub mod test_coordinator;

use std::ops::ControlFlow;

use bytes::Bytes;
use rheo_core::id::{Digest, RequestId, SweepName, TrialId, WorkerId};
use rheo_core::machine::{Event, RequestNoted, State, WorkerInfo, WorkerJoined};
use rheo_core::name::TableName;
use rheo_core::part::{Part, Retraction, TrialRanges};
use rheo_core::rows::RowBatch;
use rheo_core::schema::WorkloadRegistry;
use rheo_core::time::Timestamp;

use crate::journal::{
    Journal, JournalEntry, JournalView, PartChange, PartIndex, PendingBlob, PendingFilter,
    PendingKey, PendingRows, RowBlob,
};

/// Opens the journal under test.
pub type JournalOpener<'a> = &'a dyn Fn() -> Box<dyn Journal>;

/// Runs all tests, each on a new journal.
pub fn check_journal(new: &dyn Fn() -> Box<dyn Fn() -> Box<dyn Journal>>) {
    for test in [
        a_new_journal_is_empty,
        events_are_loaded_in_order,
        positions_continue_after_reopening,
        a_snapshot_replaces_earlier_events,
        snapshots::ended_trials_are_restored,
        snapshots::suggestions_are_restored_in_order,
        snapshots::trials_of_stored_chunks_can_be_retried,
        snapshots::a_snapshot_in_steps_is_stored_although_the_state_changes,
        snapshots::a_sweep_inherits_nothing_from_a_deleted_namesake,
        snapshots::a_new_state_replaces_a_stored_one,
        rows_are_pending_until_a_part_has_them,
        pending_rows_are_filtered_and_visited_until_a_break,
        a_view_is_unaffected_by_later_changes,
        a_pending_row_of_a_retried_trial_is_removed,
        a_row_in_a_part_of_a_retried_trial_is_retracted,
        a_restarted_trial_loses_all_rows_and_the_damaged_part,
        a_deleted_sweep_has_only_parts_to_remove,
    ] {
        test(&*new());
    }
}

fn a_new_journal_is_empty(open: JournalOpener<'_>) {
    let loaded = open().load(&WorkloadRegistry::default()).unwrap();
    assert_eq!((loaded.state, loaded.position, loaded.replayed), (State::default(), 0, 0));
    assert_eq!(open().index().unwrap(), PartIndex::default());
    assert_eq!(pending(&*open()), []);
}

fn events_are_loaded_in_order(open: JournalOpener<'_>) {
    let events: Vec<Event> = (0..5).map(joined).collect();
    let entries: Vec<JournalEntry> = events.iter().cloned().map(JournalEntry::from).collect();
    assert_eq!(open().append(&entries[..2]).unwrap(), 0);
    assert_eq!(open().append(&[]).unwrap(), 2);
    assert_eq!(open().append(&entries[2..]).unwrap(), 2);
    let loaded = open().load(&WorkloadRegistry::default()).unwrap();
    assert_eq!(loaded.state, state_of(&events));
    assert_eq!((loaded.position, loaded.replayed), (5, 5));
}

fn positions_continue_after_reopening(open: JournalOpener<'_>) {
    for position in 0..4 {
        assert_eq!(open().append(&[joined(position).into()]).unwrap(), position);
    }
}

fn a_snapshot_replaces_earlier_events(open: JournalOpener<'_>) {
    let events: Vec<Event> = (0..6).map(joined).collect();
    let append = |events: &[Event]| {
        let entries: Vec<JournalEntry> = events.iter().cloned().map(JournalEntry::from).collect();
        open().append(&entries).unwrap();
    };
    append(&events[..4]);
    open().snapshot(4, &mut state_of(&events[..4])).unwrap();
    append(&events[4..]);
    let loaded = open().load(&WorkloadRegistry::default()).unwrap();
    assert_eq!(loaded.state, state_of(&events));
    assert_eq!((loaded.position, loaded.replayed), (6, 2));
    // A later, smaller snapshot replaces an earlier one completely.
    open().snapshot(6, &mut State::default()).unwrap();
    let loaded = open().load(&WorkloadRegistry::default()).unwrap();
    assert_eq!((loaded.state, loaded.position, loaded.replayed), (State::default(), 6, 0));
}

fn rows_are_pending_until_a_part_has_them(open: JournalOpener<'_>) {
    let rows = [blob(TableName::of("epochs"), 0, b"a"), blob(TableName::of("shapes"), 0, b"b")];
    open().append(&[with_rows(&rows), with_rows(&rows[..1])]).unwrap();
    let keys = [(0, 0), (0, 1), (1, 0)].map(|(position, ordinal)| PendingKey { position, ordinal });
    let pending: Vec<PendingBlob> = keys
        .iter()
        .zip([&rows[0], &rows[1], &rows[0]])
        .map(|(key, blob)| PendingBlob { key: *key, blob: blob.clone() })
        .collect();
    assert_eq!(self::pending(&*open()), pending);
    // Rows of one event stay together, even beyond the limit.
    assert_eq!(open().pending_batch(0, 0).unwrap(), (pending[..2].to_vec(), true));
    assert_eq!(open().pending_batch(1, 0).unwrap(), (pending[2..].to_vec(), false));
    assert_eq!(open().pending_batch(0, 1 << 20).unwrap(), (pending.clone(), false));
    assert_eq!(open().pending_batch(2, 1 << 20).unwrap(), (Vec::new(), false));

    let part = part(TableName::of("epochs"), 0, 1);
    let flushed = vec![keys[0], keys[2]];
    open()
        .install(&PartChange { add: vec![part.clone()], flushed, ..PartChange::default() })
        .unwrap();
    assert_eq!(open().parts().unwrap(), std::slice::from_ref(&part));
    assert_eq!(self::pending(&*open()), pending[1..2]);

    let merged = self::part(TableName::of("epochs"), 0, 7);
    let (remove, add) = (vec![part], vec![merged.clone()]);
    open().install(&PartChange { remove, add, ..PartChange::default() }).unwrap();
    assert_eq!(open().parts().unwrap(), [merged]);
    assert_eq!(open().append(&[joined(0).into()]).unwrap(), 2);
}

fn pending_rows_are_filtered_and_visited_until_a_break(open: JournalOpener<'_>) {
    let other = SweepName::parse("other").unwrap();
    let mut foreign = blob(TableName::TRIALS, 0, b"foreign");
    foreign.trial.sweep = other.clone();
    let own = [blob(TableName::of("epochs"), 0, b"a"), blob(TableName::of("epochs"), 1, b"b")];
    let all = [own[0].clone(), foreign.clone(), own[1].clone()];
    open().append(&[with_rows(&all[..2]), with_rows(&all[2..])]).unwrap();
    let visited = |filter: PendingFilter, most: usize| {
        let mut found = Vec::new();
        open()
            .pending(&filter, &mut |rows| {
                found.push(rows.to_pending().blob);
                if found.len() < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })
            .unwrap();
        found
    };
    let of = |sweep, from| PendingFilter { from, sweep };
    assert_eq!(visited(of(None, 0), 9), all);
    assert_eq!(visited(of(None, 0), 2), all[..2]);
    assert_eq!(visited(of(None, 1), 9), all[2..]);
    assert_eq!(visited(of(Some(sweep()), 0), 9), own);
    assert_eq!(visited(of(Some(sweep()), 0), 1), own[..1]);
    assert_eq!(visited(of(Some(other.clone()), 0), 9), [foreign]);
    assert_eq!(visited(of(Some(other), 1), 9), []);
}

fn a_view_is_unaffected_by_later_changes(open: JournalOpener<'_>) {
    let journal = open();
    let row = blob(TableName::of("epochs"), 0, b"a");
    journal.append(&[with_rows(std::slice::from_ref(&row))]).unwrap();
    let before = journal.view().unwrap();
    let add = vec![part(TableName::of("epochs"), 0, 0)];
    let flushed = vec![PendingKey { position: 0, ordinal: 0 }];
    journal.install(&PartChange { add: add.clone(), flushed, ..PartChange::default() }).unwrap();
    let after = journal.view().unwrap();
    let deleting = JournalEntry { deleted: Some(sweep()), ..JournalEntry::from(noted()) };
    journal.append(&[deleting]).unwrap();
    let of = |view: &dyn JournalView| {
        let mut rows = Vec::new();
        let mut collect = |found: PendingRows<'_>| {
            rows.push(found.to_pending().blob);
            ControlFlow::Continue(())
        };
        view.pending(&PendingFilter::default(), &mut collect).unwrap();
        (view.index().unwrap().parts, rows)
    };
    // A row is either pending or in a part.
    assert_eq!(of(&*before), (Vec::new(), vec![row]));
    assert_eq!(of(&*after), (add.clone(), Vec::new()));
    let index = journal.index().unwrap();
    assert_eq!((index.parts, index.removed), (Vec::new(), add));
}

fn a_pending_row_of_a_retried_trial_is_removed(open: JournalOpener<'_>) {
    let rows = [blob(TableName::TRIALS, 3, b"failed"), blob(TableName::TRIALS, 4, b"other")];
    let kept = blob(TableName::ATTEMPTS, 3, b"attempt");
    open().append(&[with_rows(&rows), with_rows(std::slice::from_ref(&kept))]).unwrap();
    open().append(&[retracting(3)]).unwrap();
    assert_eq!(blobs(&*open()), [rows[1].clone(), kept]);
    // A part with the forgotten row may be being written at this moment.
    assert_eq!(
        open().index().unwrap().retractions,
        [Retraction { trial: trial(3), before: 2, every_table: false }]
    );
}

fn a_row_in_a_part_of_a_retried_trial_is_retracted(open: JournalOpener<'_>) {
    open().append(&[with_rows(&[blob(TableName::TRIALS, 3, b"failed")])]).unwrap();
    let add = vec![part(TableName::TRIALS, 0, 0)];
    let flushed = vec![PendingKey { position: 0, ordinal: 0 }];
    open().install(&PartChange { add, flushed, ..PartChange::default() }).unwrap();
    open().append(&[retracting(3)]).unwrap();
    let retraction = Retraction { trial: trial(3), before: 1, every_table: false };
    let retractions = open().index().unwrap().retractions;
    assert_eq!(retractions, std::slice::from_ref(&retraction));
    open().install(&PartChange { retracted: vec![retraction], ..PartChange::default() }).unwrap();
    assert_eq!(open().index().unwrap().retractions, []);
}

fn a_restarted_trial_loses_all_rows_and_the_damaged_part(open: JournalOpener<'_>) {
    let rows = [blob(TableName::of("epochs"), 3, b"a"), blob(TableName::ATTEMPTS, 3, b"b")];
    let other = blob(TableName::of("epochs"), 4, b"other");
    let (damaged, whole) =
        (part(TableName::of("epochs"), 0, 0), part(TableName::of("shapes"), 0, 0));
    let add = vec![damaged.clone(), whole.clone()];
    open().install(&PartChange { add, ..PartChange::default() }).unwrap();
    open().append(&[with_rows(&rows), with_rows(std::slice::from_ref(&other))]).unwrap();
    let (erased, damaged) = (vec![trial(3)], vec![damaged]);
    open().append(&[JournalEntry { erased, damaged, ..JournalEntry::from(noted()) }]).unwrap();
    let index = open().index().unwrap();
    assert_eq!(blobs(&*open()), [other]);
    assert_eq!(index.parts, std::slice::from_ref(&whole));
    assert_eq!(open().parts().unwrap(), [whole]);
    let retraction = Retraction { trial: trial(3), before: 2, every_table: true };
    assert_eq!(index.retractions, [retraction]);
}

fn a_deleted_sweep_has_only_parts_to_remove(open: JournalOpener<'_>) {
    let other = SweepName::parse("other").unwrap();
    let mut kept = blob(TableName::TRIALS, 0, b"kept");
    kept.trial.sweep = other.clone();
    let kept_part = Part { sweep: other, ..part(TableName::of("epochs"), 0, 1) };
    open().append(&[with_rows(&[blob(TableName::TRIALS, 3, b"failed"), kept.clone()])]).unwrap();
    let parts = [part(TableName::of("epochs"), 0, 1), part(TableName::TRIALS, 0, 0)];
    let add = parts.iter().chain([&kept_part]).cloned().collect();
    open().install(&PartChange { add, ..PartChange::default() }).unwrap();
    open().append(&[retracting(3)]).unwrap();
    let deleting = JournalEntry { deleted: Some(sweep()), ..JournalEntry::from(noted()) };
    // Later rows belong to the next sweep of that name.
    let next = blob(TableName::TRIALS, 0, b"next");
    open().append(&[deleting, with_rows(std::slice::from_ref(&next))]).unwrap();
    let index = open().index().unwrap();
    assert_eq!(index.parts, [kept_part]);
    assert_eq!(index.retractions, []);
    assert_eq!(blobs(&*open()), [kept, next]);
    let mut removed = parts.to_vec();
    removed.sort();
    assert_eq!(index.removed, removed);
    open().install(&PartChange { cleared: removed, ..PartChange::default() }).unwrap();
    assert_eq!(open().index().unwrap().removed, []);
}

/// All pending rows of a journal.
pub fn pending(journal: &dyn Journal) -> Vec<PendingBlob> {
    journal.pending_batch(0, usize::MAX).unwrap().0
}

fn blobs(journal: &dyn Journal) -> Vec<RowBlob> {
    pending(journal).into_iter().map(|pending| pending.blob).collect()
}

/// A small event that differs for each `n`.
pub fn joined(n: u64) -> Event {
    let worker = WorkerId(uuid(n));
    let info = WorkerInfo { host: format!("node{n}"), ..WorkerInfo::default() };
    Event::WorkerJoined(WorkerJoined { worker, info, at: Timestamp(n) })
}

/// Rows of trial `index` of the sweep `demo`.
pub fn blob(table: TableName, index: u64, ipc: &'static [u8]) -> RowBlob {
    let batch = RowBatch { table, rows: 1, ipc: Bytes::from_static(ipc) };
    RowBlob { trial: trial(index), batch }
}

/// An entry with rows.
pub fn with_rows(blobs: &[RowBlob]) -> JournalEntry {
    JournalEntry { blobs: blobs.to_vec(), ..JournalEntry::from(noted()) }
}

fn retracting(index: u64) -> JournalEntry {
    JournalEntry { retracted: vec![trial(index)], ..JournalEntry::from(noted()) }
}

fn noted() -> Event {
    Event::RequestNoted(RequestNoted { request: RequestId(uuid(0)) })
}

fn uuid(n: u64) -> uuid::Uuid {
    uuid::Uuid::from_u128(u128::from(n))
}

fn trial(index: u64) -> TrialId {
    TrialId::new(sweep(), index)
}

fn sweep() -> SweepName {
    SweepName::parse("demo").unwrap()
}

fn part(table: TableName, first: u64, last: u64) -> Part {
    let digest = Some(Digest::from_bytes([7; 32]));
    let (sweep, trials) = (sweep(), TrialRanges::default());
    Part { table, sweep, first, last, generation: 0, rows: 2, bytes: 100, digest, trials }
}

fn state_of(events: &[Event]) -> State {
    let mut state = State::default();
    for event in events {
        state.apply(event);
    }
    state
}
