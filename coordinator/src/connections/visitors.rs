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
pub(crate) struct Visitors(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// The most connections.
    most: usize,
    /// The most strangers.
    most_strangers: usize,
    /// The most connections that show the same token.
    most_of_token: usize,
    guests: Mutex<Guests>,
}

/// The connections that are open.
#[derive(Debug, Default)]
struct Guests {
    open: usize,
    /// Connections that have shown the token of people, and the one of workers.
    admins: usize,
    workers: usize,
    /// The oldest first. Some have gone or become known meanwhile.
    strangers: VecDeque<Weak<Place>>,
    /// How often it is logged that a token has no connection left.
    throttle: Throttle,
}

/// One connection, as its calls see it.
#[derive(Debug, Clone)]
pub(crate) struct Visitor(Arc<Place>);

#[derive(Debug)]
struct Place {
    visitors: Visitors,
    address: IpAddr,
    /// The role of the first token that it showed.
    role: OnceLock<Role>,
    /// Whether the connection is closed; a call may end after it. Written with the lock held.
    has_left: AtomicBool,
    sent_away: CancellationToken,
}

/// The place of an open connection; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    visitor: Visitor,
}

/// The most connections that one token may have, all of which are open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooMany(pub(crate) usize);

impl Visitors {
    pub(crate) fn new(files: OpenFiles) -> Self {
        Self::with(files.connections(), files.strangers(), files.of_token())
    }

    fn with(most: usize, most_strangers: usize, most_of_token: usize) -> Self {
        let guests = Mutex::default();
        Self(Arc::new(Shared { most, most_strangers, most_of_token, guests }))
    }

    /// Gives a new connection a place, at the cost of the oldest stranger if there is none left;
    /// refuses it if all places belong to those who are known.
    pub(crate) fn enter(&self, address: IpAddr) -> Option<Seat> {
        let mut guests = self.guests();
        guests.forget_gone();
        // Everybody on this machine has the same address.
        let is_same = |place: &Weak<Place>| {
            !address.is_loopback() && place.upgrade().is_some_and(|place| place.address == address)
        };
        let strangers = &mut guests.strangers;
        let of_address = strangers.iter().filter(|place| is_same(place)).count();
        let is_full = strangers.len() >= self.0.most_strangers;
        let leaving = if of_address >= (self.0.most_strangers / 2).max(1) {
            strangers.iter().position(is_same).and_then(|oldest| strangers.remove(oldest))
        } else if is_full || guests.open >= self.0.most {
            let oldest = guests.strangers.pop_front();
            if !is_full {
                oldest.as_ref()?;
            }
            oldest
        } else {
            None
        };
        let place = Arc::new(Place {
            visitors: self.clone(),
            address,
            role: OnceLock::new(),
            has_left: AtomicBool::new(false),
            sent_away: CancellationToken::new(),
        });
        guests.strangers.push_back(Arc::downgrade(&place));
        guests.open += 1;
        drop(guests);
        send_away(leaving);
        Some(Seat { visitor: Visitor(place) })
    }

    /// Makes room: the oldest stranger has to go.
    pub(crate) fn send_oldest_away(&self) {
        let mut guests = self.guests();
        guests.forget_gone();
        let oldest = guests.strangers.pop_front();
        drop(guests);
        send_away(oldest);
    }

    /// How many connections are open.
    pub(crate) fn open(&self) -> usize {
        self.guests().open
    }

    fn guests(&self) -> MutexGuard<'_, Guests> {
        self.0.guests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Guests {
    /// Keeps only strangers in the list of strangers.
    fn forget_gone(&mut self) {
        self.strangers.retain(|place| place.upgrade().is_some_and(|place| place.is_stranger()));
    }

    /// The number of connections that have shown the token of a role.
    fn of_token(&mut self, role: Role) -> &mut usize {
        match role {
            Role::Admin => &mut self.admins,
            Role::Worker => &mut self.workers,
        }
    }
}

fn send_away(place: Option<Weak<Place>>) {
    if let Some(place) = place.and_then(|place| place.upgrade()) {
        place.sent_away.cancel();
    }
}

impl Place {
    fn is_stranger(&self) -> bool {
        self.role.get().is_none() && !self.sent_away.is_cancelled()
    }
}

impl Visitor {
    /// Lets the connection stay, because a call with the token of this role was admitted on it. If the
    /// token has all its connections, it stays a stranger.
    pub(crate) fn show(&self, role: Role) -> Result<(), TooMany> {
        if self.is_known() {
            return Ok(());
        }
        let most_of_token = self.0.visitors.0.most_of_token;
        let mut guests = self.0.visitors.guests();
        if self.0.has_left.load(Ordering::Relaxed) {
            return Ok(());
        }
        if *guests.of_token(role) >= most_of_token {
            let open = guests.open;
            if guests.throttle.is_due(Instant::now()) {
                let name = role.token_file();
                tracing::error!(
                    "{most_of_token} of {open} open connections show the token `{name}`, the most that are allowed: more are refused. End programs that use it, or raise the limit of open files (`ulimit -n`)"
                );
            }
            return Err(TooMany(most_of_token));
        }
        // Another call on the same connection may have been first.
        if self.0.role.set(role).is_ok() {
            *guests.of_token(role) += 1;
        }
        Ok(())
    }

    pub(super) fn is_known(&self) -> bool {
        self.0.role.get().is_some()
    }

    /// Cancelled when it has to go.
    pub(super) fn sent_away(&self) -> &CancellationToken {
        &self.0.sent_away
    }
}

impl Seat {
    pub(super) fn visitor(&self) -> &Visitor {
        &self.visitor
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let Place { visitors, role, has_left, .. } = &*self.visitor.0;
        let mut guests = visitors.guests();
        guests.open -= 1;
        has_left.store(true, Ordering::Relaxed);
        if let Some(role) = role.get() {
            *guests.of_token(*role) -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn is_there(seat: &Seat) -> bool {
        !seat.visitor.0.sent_away.is_cancelled()
    }

    #[test]
    fn the_oldest_stranger_makes_room_and_nobody_who_is_known() {
        let visitors = Visitors::with(100, 2, 100);
        let known = visitors.enter(LOCAL).unwrap();
        known.visitor().show(Role::Worker).unwrap();
        let first = visitors.enter(LOCAL).unwrap();
        let second = visitors.enter(LOCAL).unwrap();
        let third = visitors.enter(LOCAL).unwrap();
        let there = [&known, &first, &second, &third].map(is_there);
        assert_eq!(there, [true, false, true, true]);
    }

    #[test]
    fn when_all_places_are_taken_by_those_who_are_known_nobody_else_enters() {
        let visitors = Visitors::with(2, 2, 2);
        let seats = [visitors.enter(LOCAL).unwrap(), visitors.enter(LOCAL).unwrap()];
        for seat in &seats {
            seat.visitor().show(Role::Admin).unwrap();
        }
        assert!(visitors.enter(LOCAL).is_none());
        drop(seats);
        assert_eq!(visitors.open(), 0);
        assert!(visitors.enter(LOCAL).is_some());
    }

    #[test]
    fn one_address_cannot_take_the_places_of_all_others() {
        let visitors = Visitors::with(100, 4, 100);
        let other = visitors.enter(IpAddr::from([10, 0, 0, 1])).unwrap();
        let many: Vec<Seat> =
            (0..10).map(|_| visitors.enter(IpAddr::from([10, 0, 0, 2])).unwrap()).collect();
        assert!(is_there(&other));
        assert_eq!(many.iter().filter(|seat| is_there(seat)).count(), 2);
    }

    #[test]
    fn one_token_cannot_take_the_places_of_the_other() {
        let visitors = Visitors::with(8, 2, 3);
        let worker = || visitors.enter(LOCAL).unwrap();
        let workers = [worker(), worker(), worker()];
        for seat in &workers {
            // However many calls it makes.
            for _ in 0..3 {
                seat.visitor().show(Role::Worker).unwrap();
            }
        }
        let late = worker();
        assert_eq!(late.visitor().show(Role::Worker), Err(TooMany(3)));
        assert!(!late.visitor().is_known(), "it has the time of a stranger");
        let person = worker();
        person.visitor().show(Role::Admin).unwrap();
        let [one, ..] = workers;
        let calling = one.visitor().clone();
        drop(one);
        late.visitor().show(Role::Worker).unwrap();
        // A call that outlives its connection takes no place.
        calling.show(Role::Worker).unwrap();
        drop(calling);
        assert_eq!(worker().visitor().show(Role::Worker), Err(TooMany(3)));
    }
}
