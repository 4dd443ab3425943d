//! Who is connected: strangers in the order in which they came, and those whose calls are admitted.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio_util::sync::CancellationToken;

use super::OpenFiles;

/// The connections of one listener; all clones are one.
#[derive(Debug, Clone)]
pub(crate) struct Visitors(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// The most connections.
    most: usize,
    /// The most strangers.
    most_strangers: usize,
    open: AtomicUsize,
    /// The oldest first. Some have gone or become known meanwhile.
    strangers: Mutex<VecDeque<Weak<Place>>>,
}

/// One connection, as its calls see it.
#[derive(Debug, Clone)]
pub(crate) struct Visitor(Arc<Place>);

#[derive(Debug)]
struct Place {
    address: IpAddr,
    is_known: AtomicBool,
    sent_away: CancellationToken,
}

/// The place of an open connection; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    visitors: Visitors,
    visitor: Visitor,
}

impl Visitors {
    pub(crate) fn new(files: OpenFiles) -> Self {
        Self::with(files.connections(), files.strangers())
    }

    fn with(most: usize, most_strangers: usize) -> Self {
        let (open, strangers) = (AtomicUsize::new(0), Mutex::default());
        Self(Arc::new(Shared { most, most_strangers, open, strangers }))
    }

    /// Gives a new connection a place, at the cost of the oldest stranger if there is none left;
    /// refuses it if all places belong to those who are known.
    pub(crate) fn enter(&self, address: IpAddr) -> Option<Seat> {
        let mut strangers = self.strangers();
        strangers.retain(|place| place.upgrade().is_some_and(|place| place.is_stranger()));
        // Everybody on this machine has the same address.
        let is_same = |place: &Weak<Place>| {
            !address.is_loopback() && place.upgrade().is_some_and(|place| place.address == address)
        };
        let of_address = strangers.iter().filter(|place| is_same(place)).count();
        if of_address >= (self.0.most_strangers / 2).max(1) {
            if let Some(oldest) = strangers.iter().position(is_same) {
                send_away(strangers.remove(oldest));
            }
        } else if strangers.len() >= self.0.most_strangers {
            send_away(strangers.pop_front());
        } else if self.0.open.load(Ordering::Relaxed) >= self.0.most {
            let oldest = strangers.pop_front();
            oldest.as_ref()?;
            send_away(oldest);
        }
        let place = Place {
            address,
            is_known: AtomicBool::new(false),
            sent_away: CancellationToken::new(),
        };
        let place = Arc::new(place);
        strangers.push_back(Arc::downgrade(&place));
        self.0.open.fetch_add(1, Ordering::Relaxed);
        Some(Seat { visitors: self.clone(), visitor: Visitor(place) })
    }

    /// Makes room: the oldest stranger has to go.
    pub(crate) fn send_oldest_away(&self) {
        let mut strangers = self.strangers();
        strangers.retain(|place| place.upgrade().is_some_and(|place| place.is_stranger()));
        send_away(strangers.pop_front());
    }

    /// How many connections are open.
    pub(crate) fn open(&self) -> usize {
        self.0.open.load(Ordering::Relaxed)
    }

    fn strangers(&self) -> MutexGuard<'_, VecDeque<Weak<Place>>> {
        self.0.strangers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn send_away(place: Option<Weak<Place>>) {
    if let Some(place) = place.and_then(|place| place.upgrade()) {
        place.sent_away.cancel();
    }
}

impl Place {
    fn is_stranger(&self) -> bool {
        !self.is_known.load(Ordering::Relaxed) && !self.sent_away.is_cancelled()
    }
}

impl Visitor {
    /// One of its calls was admitted: it may stay.
    pub(crate) fn set_known(&self) {
        self.0.is_known.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_known(&self) -> bool {
        self.0.is_known.load(Ordering::Relaxed)
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
        self.visitors.0.open.fetch_sub(1, Ordering::Relaxed);
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
        let visitors = Visitors::with(100, 2);
        let known = visitors.enter(LOCAL).unwrap();
        known.visitor().set_known();
        let first = visitors.enter(LOCAL).unwrap();
        let second = visitors.enter(LOCAL).unwrap();
        let third = visitors.enter(LOCAL).unwrap();
        let there = [&known, &first, &second, &third].map(is_there);
        assert_eq!(there, [true, false, true, true]);
    }

    #[test]
    fn when_all_places_are_taken_by_those_who_are_known_nobody_else_enters() {
        let visitors = Visitors::with(2, 2);
        let seats = [visitors.enter(LOCAL).unwrap(), visitors.enter(LOCAL).unwrap()];
        for seat in &seats {
            seat.visitor().set_known();
        }
        assert!(visitors.enter(LOCAL).is_none());
        drop(seats);
        assert_eq!(visitors.open(), 0);
        assert!(visitors.enter(LOCAL).is_some());
    }

    #[test]
    fn one_address_cannot_take_the_places_of_all_others() {
        let visitors = Visitors::with(100, 4);
        let other = visitors.enter(IpAddr::from([10, 0, 0, 1])).unwrap();
        let many: Vec<Seat> =
            (0..10).map(|_| visitors.enter(IpAddr::from([10, 0, 0, 2])).unwrap()).collect();
        assert!(is_there(&other));
        assert_eq!(many.iter().filter(|seat| is_there(seat)).count(), 2);
    }
}
