//! The open connections: unauthenticated ones in the order of their arrival, and authenticated
//! ones.
//!
//! Each token may have only a share of all connections, so that workers leave room for people and
//! people for workers.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use rheo_proto::access::Role;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::OpenFiles;
use crate::throttle::Throttle;

/// The connections of one listener; clones share them.
#[derive(Debug, Clone)]
pub(crate) struct ConnectionTable(Arc<SharedTable>);

#[derive(Debug)]
struct SharedTable {
    /// The largest number of connections.
    max: usize,
    /// The largest number of unauthenticated connections.
    max_unauthenticated: usize,
    /// The largest number of connections per token.
    max_per_token: usize,
    connections: Mutex<OpenConnections>,
}

/// Counts and lists of open connections.
#[derive(Debug, Default)]
struct OpenConnections {
    open: usize,
    /// Connections with the admin token, and with the worker token.
    admins: usize,
    workers: usize,
    /// Oldest first; may contain closed and authenticated connections.
    unauthenticated: VecDeque<Weak<ConnectionState>>,
    /// Limits the log of refused connections.
    throttle: Throttle,
}

/// A connection as its calls see it.
#[derive(Debug, Clone)]
pub(crate) struct ConnectionHandle(Arc<ConnectionState>);

#[derive(Debug)]
struct ConnectionState {
    table: ConnectionTable,
    address: IpAddr,
    /// Role of the first valid token.
    role: OnceLock<Role>,
    /// Whether the connection is closed; calls may outlive it. Written with the lock held.
    is_closed: AtomicBool,
    closing: CancellationToken,
}

/// The entry of an open connection in the table; removed on drop.
#[derive(Debug)]
pub(crate) struct ConnectionPermit {
    handle: ConnectionHandle,
}

/// A token has its largest number of connections, given here.
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

    /// Registers a new connection. If the table is full, the oldest unauthenticated connection is
    /// closed; if all are authenticated, the new one is refused.
    pub(crate) fn register(&self, address: IpAddr) -> Option<ConnectionPermit> {
        let mut connections = self.connections();
        connections.prune();
        // All users of this machine have the same address.
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

    /// Closes the oldest unauthenticated connection.
    pub(crate) fn close_oldest(&self) {
        let mut connections = self.connections();
        connections.prune();
        let oldest = connections.unauthenticated.pop_front();
        drop(connections);
        close(oldest);
    }

    /// Returns the number of open connections.
    pub(crate) fn open_count(&self) -> usize {
        self.connections().open
    }

    fn connections(&self) -> MutexGuard<'_, OpenConnections> {
        self.0.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OpenConnections {
    /// Removes closed and authenticated connections from the list.
    fn prune(&mut self) {
        self.unauthenticated
            .retain(|state| state.upgrade().is_some_and(|state| state.is_unauthenticated()));
    }

    /// Returns the number of connections with the token of a role.
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
    /// Marks the connection as authenticated after a call with the token of this role, unless the
    /// token has its largest number of connections.
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
        // Another call on the same connection may have set the role.
        if self.0.role.set(role).is_ok() {
            *connections.count_of(role) += 1;
        }
        Ok(())
    }

    pub(super) fn is_authenticated(&self) -> bool {
        self.0.role.get().is_some()
    }

    /// Returns the token that is cancelled when the connection must close.
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
    fn the_oldest_unauthenticated_connection_is_replaced() {
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
    fn a_table_full_of_authenticated_connections_refuses_more() {
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
    fn one_address_cannot_crowd_out_others() {
        let table = ConnectionTable::with(100, 4, 100);
        let other = table.register(IpAddr::from([10, 0, 0, 1])).unwrap();
        let many: Vec<ConnectionPermit> =
            (0..10).map(|_| table.register(IpAddr::from([10, 0, 0, 2])).unwrap()).collect();
        assert!(stays_open(&other));
        assert_eq!(many.iter().filter(|permit| stays_open(permit)).count(), 2);
    }

    #[test]
    fn one_token_cannot_crowd_out_the_other() {
        let table = ConnectionTable::with(8, 2, 3);
        let worker = || table.register(LOCAL).unwrap();
        let workers = [worker(), worker(), worker()];
        for permit in &workers {
            // Several calls count once.
            for _ in 0..3 {
                permit.handle().authenticate(Role::Worker).unwrap();
            }
        }
        let late = worker();
        assert_eq!(late.handle().authenticate(Role::Worker), Err(ConnectionLimit(3)));
        assert!(
            !late.handle().is_authenticated(),
            "it keeps the deadline of an unauthenticated connection"
        );
        let person = worker();
        person.handle().authenticate(Role::Admin).unwrap();
        let [one, ..] = workers;
        let calling = one.handle().clone();
        drop(one);
        late.handle().authenticate(Role::Worker).unwrap();
        // A call that outlives its connection is not counted.
        calling.authenticate(Role::Worker).unwrap();
        drop(calling);
        assert_eq!(worker().handle().authenticate(Role::Worker), Err(ConnectionLimit(3)));
    }
}
