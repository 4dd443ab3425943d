//! Owners of loopback listeners. All users of a machine share loopback, so a client sends its token
//! only to a program of a trusted user.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// The state of a listening socket in `/proc/net/tcp`.
const LISTEN: &str = "0A";

/// The loopback addresses and the port of a URL; none if its host is not on loopback. `rest` is the
/// URL without its scheme.
pub(crate) fn addresses(rest: &str) -> Option<(Vec<IpAddr>, u16)> {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    // The text before an `@` is a user name, not a host.
    let host = authority.rsplit('@').next().unwrap_or_default();
    let (host, port) = match host.strip_prefix('[') {
        Some(address) => address.split_once(']')?,
        None => host.split_once(':').unwrap_or((host, "")),
    };
    let port = port.trim_start_matches(':');
    let port = if port.is_empty() { 80 } else { port.parse().ok()? };
    if host == "localhost" {
        return Some((vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()], port));
    }
    let address: IpAddr = host.parse().ok()?;
    address.is_loopback().then(|| (vec![address], port))
}

/// The user of a program that listens at one of `addresses`, if that user is not trusted: neither
/// the owner of `token`, nor this user, nor root.
pub(crate) fn foreign_listener(addresses: &[IpAddr], port: u16, token: &Path) -> Option<u32> {
    let owner = |path: &Path| fs::metadata(path).map(|metadata| metadata.uid()).ok();
    let trusted = [owner(token), owner(Path::new("/proc/self")), Some(0)];
    let found = addresses.iter().filter_map(|address| listener(*address, port));
    found.into_iter().find(|user| !trusted.contains(&Some(*user)))
}

/// The user of the program that listens at `address` or, failing that, at the unspecified address.
fn listener(address: IpAddr, port: u16) -> Option<u32> {
    let mut at_unspecified = None;
    for table in ["/proc/self/net/tcp", "/proc/self/net/tcp6"] {
        let Ok(file) = fs::File::open(table) else { continue };
        let lines = BufReader::new(file).lines().skip(1).map_while(Result::ok);
        // The table lists listening sockets first.
        let sockets = lines.map_while(|line| parse_listening_socket(&line));
        for (at, _, user) in sockets.filter(|(_, number, _)| *number == port) {
            if at == address {
                return Some(user);
            }
            if at.is_unspecified() {
                at_unspecified = at_unspecified.or(Some(user));
            }
        }
    }
    at_unspecified
}

/// Address, port and user of a listening socket; none for a socket in another state.
fn parse_listening_socket(line: &str) -> Option<(IpAddr, u16, u32)> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (address, port) = fields.get(1)?.split_once(':')?;
    if *fields.get(3)? != LISTEN {
        return None;
    }
    let port = u16::from_str_radix(port, 16).ok()?;
    let user = fields.get(7)?.parse().ok()?;
    // Words of four bytes, each in native byte order.
    let word = |at: usize| {
        let hex = address.get(at * 8..at * 8 + 8)?;
        u32::from_str_radix(hex, 16).map(u32::to_ne_bytes).ok()
    };
    let address = if address.len() == 8 {
        IpAddr::from(word(0)?)
    } else {
        let words = [word(0)?, word(1)?, word(2)?, word(3)?].concat();
        let bytes: [u8; 16] = words.try_into().ok()?;
        IpAddr::from(bytes).to_canonical()
    };
    Some((address, port, user))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn only_loopback_hosts_have_loopback_addresses() {
        for (rest, port) in
            [("127.0.0.1:7", 7), ("[::1]:7/", 7), ("localhost:7", 7), ("127.9.9.9/x", 80)]
        {
            assert_eq!(addresses(rest).map(|(_, port)| port), Some(port), "{rest}");
        }
        for rest in ["h:1", "10.0.0.1:1", "127.0.0.1@h:1", "localhost.h:1", "h:1/127.0.0.1", "[::1"]
        {
            assert_eq!(addresses(rest), None, "{rest}");
        }
    }

    #[test]
    fn listener_finds_the_user_of_a_listening_socket() {
        let listener_here = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener_here.local_addr().unwrap().port();
        let me = fs::metadata("/proc/self").unwrap().uid();
        assert_eq!(listener(Ipv4Addr::LOCALHOST.into(), port), Some(me));
        assert_eq!(listener(IpAddr::from([127, 0, 0, 2]), port), None);
        let token = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(foreign_listener(&[Ipv4Addr::LOCALHOST.into()], port, token.path()), None);
    }

    #[test]
    fn lines_of_listening_sockets_are_parsed() {
        let v4 = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 9 1";
        let v6 = "   0: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A 0:0 00:0 0  65534        0 9 1";
        let open = v4.replace(" 0A ", " 01 ");
        if cfg!(target_endian = "little") {
            assert_eq!(parse_listening_socket(v4), Some((Ipv4Addr::LOCALHOST.into(), 8080, 1000)));
            assert_eq!(parse_listening_socket(v6), Some((Ipv6Addr::LOCALHOST.into(), 8080, 65534)));
        }
        assert_eq!(parse_listening_socket(&open), None);
        assert_eq!(parse_listening_socket(""), None);
    }
}
