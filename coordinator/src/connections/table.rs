//! Who is connected: strangers in the order in which they came, and those whose calls are admitted.
//!
//! Each token has a share of the connections that is smaller than all of them, so that programs with
//! the token of workers leave room for people, and the other way round.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use rheo_proto::access::Role;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::OpenFiles;
use crate::throttle::Throttle;

/// The connections of one listener; all clones are one.
#[derive(Debug, Clone)]
pub(crate) struct ConnectionTable(Arc<SharedTable>);

#[derive(Debug)]
struct SharedTable {
    /// The most connections.
    max: usize,
    /// The most strangers.
    max_unauthenticated: usize,
    /// The most connections that show the same token.
    max_per_token: usize,
    connections: Mutex<OpenConnections>,
}

/// The connections that are open.
#[derive(Debug, Default)]
struct OpenConnections {
    open: usize,
    /// Connections that have shown the token of people, and the one of workers.
    admins: usize,
    workers: usize,
    /// The oldest first. Some have gone or become known meanwhile.
    unauthenticated: VecDeque<Weak<ConnectionState>>,
    /// How often it is logged that a token has no connection left.
    throttle: Throttle,
}

/// One connection, as its calls see it.
#[derive(Debug, Clone)]
pub(crate) struct ConnectionHandle(Arc<ConnectionState>);

#[derive(Debug)]
struct ConnectionState {
    table: ConnectionTable,
    address: IpAddr,
    /// The role of the first token that it showed.
    role: OnceLock<Role>,
    /// Whether the connection is closed; a call may end after it. Written with the lock held.
    is_closed: AtomicBool,
    closing: CancellationToken,
}

/// The place of an open connection; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct ConnectionPermit {
    handle: ConnectionHandle,
}

/// The most connections that one token may have, all of which are open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ConnectionLimit(pub(crate) usize);

impl ConnectionTable {
    pub(crate) fn new(files: OpenFiles) -> Self {
        Self::with(files.connections(), files.unauthenticated(), files.per_token())
    }

    fn with(max: usize, max_unauthenticated: usize, max_per_token: usize) -> Self {
        let connections = Mutex::default();
        Self(Arc::new(SharedTable { max, max_unauthenticated, max_per_token, connections }))
    }

    /// Gives a new connection a place, at the cost of the oldest stranger if there is none left;
    /// refuses it if all places belong to those who are known.
    pub(crate) fn register(&self, address: IpAddr) -> Option<ConnectionPermit> {
        let mut connections = self.connections();
        connections.prune();
        // Everybody on this machine has the same address.
        let is_same = |state: &Weak<ConnectionState>| {
            !address.is_loopback() && state.upgrade().is_some_and(|state| state.address == address)
        };
        let unauthenticated = &mut connections.unauthenticated;
        let of_address = unauthenticated.iter().filter(|state| is_same(state)).count();
        let is_full = unauthenticated.len() >= self.0.max_unauthenticated;
        let leaving = if of_address >= (self.0.max_unauthenticated / 2).max(1) {
            unauthenticated
                .iter()
                .position(is_same)
                .and_then(|oldest| unauthenticated.remove(oldest))
        } else if is_full || connections.open >= self.0.max {
            let oldest = connections.unauthenticated.pop_front();
            if !is_full {
                oldest.as_ref()?;
            }
            oldest
        } else {
            None
        };
        let state = Arc::new(ConnectionState {
            table: self.clone(),
            address,
            role: OnceLock::new(),
            is_closed: AtomicBool::new(false),
            closing: CancellationToken::new(),
        });
        connections.unauthenticated.push_back(Arc::downgrade(&state));
        connections.open += 1;
        drop(connections);
        close(leaving);
        Some(ConnectionPermit { handle: ConnectionHandle(state) })
    }

    /// Makes room: the oldest stranger has to go.
    pub(crate) fn close_oldest(&self) {
        let mut connections = self.connections();
        connections.prune();
        let oldest = connections.unauthenticated.pop_front();
        drop(connections);
        close(oldest);
    }

    /// How many connections are open.
    pub(crate) fn open_count(&self) -> usize {
        self.connections().open
    }

    fn connections(&self) -> MutexGuard<'_, OpenConnections> {
        self.0.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OpenConnections {
    /// Keeps only strangers in the list of strangers.
    fn prune(&mut self) {
        self.unauthenticated
            .retain(|state| state.upgrade().is_some_and(|state| state.is_unauthenticated()));
    }

    /// The number of connections that have shown the token of a role.
    fn count_of(&mut self, role: Role) -> &mut usize {
        match role {
            Role::Admin => &mut self.admins,
            Role::Worker => &mut self.workers,
        }
    }
}

fn close(state: Option<Weak<ConnectionState>>) {
    if let Some(state) = state.and_then(|state| state.upgrade()) {
        state.closing.cancel();
    }
}

impl ConnectionState {
    fn is_unauthenticated(&self) -> bool {
        self.role.get().is_none() && !self.closing.is_cancelled()
    }
}

impl ConnectionHandle {
    /// Lets the connection stay, because a call with the token of this role was admitted on it. If the
    /// token has all its connections, it stays a stranger.
    pub(crate) fn authenticate(&self, role: Role) -> Result<(), ConnectionLimit> {
        if self.is_authenticated() {
            return Ok(());
        }
        let max_per_token = self.0.table.0.max_per_token;
        let mut connections = self.0.table.connections();
        if self.0.is_closed.load(Ordering::Relaxed) {
            return Ok(());
        }
        if *connections.count_of(role) >= max_per_token {
            let open = connections.open;
            if connections.throttle.is_due(Instant::now()) {
                let name = role.token_file();
                tracing::error!(
                    "{max_per_token} of {open} open connections show the token `{name}`, the most that are allowed: more are refused. End programs that use it, or raise the limit of open files (`ulimit -n`)"
                );
            }
            return Err(ConnectionLimit(max_per_token));
        }
        // Another call on the same connection may have been first.
        if self.0.role.set(role).is_ok() {
            *connections.count_of(role) += 1;
        }
        Ok(())
    }

    pub(super) fn is_authenticated(&self) -> bool {
        self.0.role.get().is_some()
    }

    /// Cancelled when it has to go.
    pub(super) fn closing(&self) -> &CancellationToken {
        &self.0.closing
    }
}

impl ConnectionPermit {
    pub(super) fn handle(&self) -> &ConnectionHandle {
        &self.handle
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let ConnectionState { table, role, is_closed, .. } = &*self.handle.0;
        let mut connections = table.connections();
        connections.open -= 1;
        is_closed.store(true, Ordering::Relaxed);
        if let Some(role) = role.get() {
            *connections.count_of(*role) -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn stays_open(permit: &ConnectionPermit) -> bool {
        !permit.handle.0.closing.is_cancelled()
    }

    #[test]
    fn the_oldest_stranger_makes_room_and_nobody_who_is_known() {
        let table = ConnectionTable::with(100, 2, 100);
        let known = table.register(LOCAL).unwrap();
        known.handle().authenticate(Role::Worker).unwrap();
        let first = table.register(LOCAL).unwrap();
        let second = table.register(LOCAL).unwrap();
        let third = table.register(LOCAL).unwrap();
        let there = [&known, &first, &second, &third].map(stays_open);
        assert_eq!(there, [true, false, true, true]);
    }

    #[test]
    fn when_all_places_are_taken_by_those_who_are_known_nobody_else_enters() {
        let table = ConnectionTable::with(2, 2, 2);
        let permits = [table.register(LOCAL).unwrap(), table.register(LOCAL).unwrap()];
        for permit in &permits {
            permit.handle().authenticate(Role::Admin).unwrap();
        }
        assert!(table.register(LOCAL).is_none());
        drop(permits);
        assert_eq!(table.open_count(), 0);
        assert!(table.register(LOCAL).is_some());
    }

    #[test]
    fn one_address_cannot_take_the_places_of_all_others() {
        let table = ConnectionTable::with(100, 4, 100);
        let other = table.register(IpAddr::from([10, 0, 0, 1])).unwrap();
        let many: Vec<ConnectionPermit> =
            (0..10).map(|_| table.register(IpAddr::from([10, 0, 0, 2])).unwrap()).collect();
        assert!(stays_open(&other));
        assert_eq!(many.iter().filter(|permit| stays_open(permit)).count(), 2);
    }

    #[test]
    fn one_token_cannot_take_the_places_of_the_other() {
        let table = ConnectionTable::with(8, 2, 3);
        let worker = || table.register(LOCAL).unwrap();
        let workers = [worker(), worker(), worker()];
        for permit in &workers {
            // However many calls it makes.
            for _ in 0..3 {
                permit.handle().authenticate(Role::Worker).unwrap();
            }
        }
        let late = worker();
        assert_eq!(late.handle().authenticate(Role::Worker), Err(ConnectionLimit(3)));
        assert!(!late.handle().is_authenticated(), "it has the time of a stranger");
        let person = worker();
        person.handle().authenticate(Role::Admin).unwrap();
        let [one, ..] = workers;
        let calling = one.handle().clone();
        drop(one);
        late.handle().authenticate(Role::Worker).unwrap();
        // A call that outlives its connection takes no place.
        calling.authenticate(Role::Worker).unwrap();
        drop(calling);
        assert_eq!(worker().handle().authenticate(Role::Worker), Err(ConnectionLimit(3)));
    }
}
