//! Recovery of the spool of a dead worker: its commits are delivered to the coordinator of their
//! own state, and to no other.

use std::collections::BTreeSet;
use std::sync::Arc;

use rheo_core::id::{AttemptId, StateId};
use rheo_proto::refusal::Reason;

use crate::link::{LeaveReason, Link, pauses};
use crate::outbox::send_with_retry;
use crate::spool::Spool;
use crate::spooled_commit::SpooledCommit;

/// Delivers the commits of a dead worker of `state` and reports the worker as dead. Commits of
/// another state stay on disk.
pub(crate) async fn deliver_orphan(orphan: Spool, link: Arc<Link>, state: StateId) {
    let commits = orphan.commits();
    if is_foreign(&orphan, &commits, state) {
        return;
    }
    deliver(&orphan, &link, commits).await;
    for pause in pauses() {
        match link.leave(orphan.worker, LeaveReason::Found).await {
            Err(refusal) if refusal.transient => tokio::time::sleep(pause).await,
            _ => break,
        }
    }
    orphan.close();
}

/// Whether a spool belongs to another state than `state`, which is logged, or to an older version
/// that did not record the state.
fn is_foreign(orphan: &Spool, commits: &[SpooledCommit], state: StateId) -> bool {
    let of = |commit: &SpooledCommit| commit.claim.origin.map(|origin| origin.state);
    let owners = commits.iter().map(of).chain(orphan.owner().map(Some));
    let Some(owner) = owners.into_iter().find(|owner| *owner != Some(state)) else { return false };
    let owner = owner.map_or_else(|| "unknown".to_owned(), |owner| owner.to_string());
    tracing::warn!(
        directory = %orphan.directory().display(), commits = commits.len(), of = owner, here = %state,
        "a dead worker of another state left its spool here; it stays until a worker joins the coordinator of that state"
    );
    true
}

/// Delivers the commits; after a refusal, the remaining commits of that attempt stay on disk.
async fn deliver(orphan: &Spool, link: &Link, commits: Vec<SpooledCommit>) {
    let mut kept: BTreeSet<AttemptId> = BTreeSet::new();
    for commit in commits {
        let attempt = &commit.claim.attempt;
        if kept.contains(attempt) {
            continue;
        }
        match send_with_retry(link, &commit).await {
            Ok(_) => orphan.remove(&commit.claim),
            Err(refusal) if refusal.has_reason(&Reason::StaleAttempt) => {
                tracing::info!(%attempt, %refusal, "a commit of a dead worker is outdated");
                orphan.remove(&commit.claim);
            }
            Err(refusal) => {
                tracing::warn!(
                    %attempt, %refusal, directory = %orphan.directory().display(),
                    "a commit of a dead worker was refused and stays on disk"
                );
                kept.insert(attempt.clone());
            }
        }
    }
}
