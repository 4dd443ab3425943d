//! Host names of this machine: all are in its certificate, and one is in the address for clients.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

/// The timeout for resolving this machine's name.
const RESOLVER: Duration = Duration::from_secs(2);

/// The host names and addresses of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostNames {
    /// Names given by `--advertise`; they come first.
    advertised: Vec<String>,
    /// The system's own name.
    node: Option<String>,
    /// The source addresses of outgoing connections.
    outgoing: Vec<IpAddr>,
    /// The address that the listener is bound to.
    bound: IpAddr,
}

impl HostNames {
    /// Asks the system for its names; sends nothing on the network.
    pub(crate) fn of_this_machine(advertised: &[String], bound: IpAddr) -> Self {
        let node = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let node = Some(node).filter(|node| is_name(node));
        let outgoing = ["0.0.0.0:0 192.0.2.1:9", "[::]:0 [2001:db8::1]:9"];
        let outgoing = outgoing.iter().filter_map(|pair| outgoing_address(pair)).collect();
        Self { advertised: advertised.to_vec(), node, outgoing, bound }
    }

    /// Returns all names for the certificate.
    pub(crate) fn all(&self) -> Vec<String> {
        let mut names = self.advertised.clone();
        names.extend(["localhost", "127.0.0.1", "::1"].map(str::to_owned));
        if let Some(node) = &self.node {
            names.push(node.clone());
            names.extend(node.split_once('.').map(|(short, _)| short.to_owned()));
        }
        names.extend(self.outgoing.iter().map(ToString::to_string));
        if !self.bound.is_unspecified() {
            names.push(self.bound.to_string());
        }
        let mut seen = std::collections::BTreeSet::new();
        names.retain(|name| seen.insert(name.clone()));
        names
    }

    /// Returns the main name of this machine, for the subject of its certificate.
    pub(crate) fn first(&self) -> &str {
        let advertised = self.advertised.first().map(String::as_str);
        advertised.or(self.node.as_deref()).unwrap_or("localhost")
    }
}

/// Returns the host for the address that clients read.
pub(crate) async fn host(names: &HostNames) -> String {
    if let Some(host) = names.advertised.first() {
        return bracketed(host);
    }
    if !names.bound.is_unspecified() {
        return bracketed(&names.bound.to_string());
    }
    // A name that this machine cannot resolve is useless to others.
    if let Some(node) = &names.node {
        let found = tokio::time::timeout(RESOLVER, tokio::net::lookup_host((node.as_str(), 0)));
        if found.await.is_ok_and(|found| found.is_ok_and(|mut found| found.next().is_some())) {
            return node.clone();
        }
    }
    let outgoing = names.outgoing.first().map(ToString::to_string);
    bracketed(&outgoing.unwrap_or_else(|| "localhost".to_owned()))
}

fn bracketed(host: &str) -> String {
    let is_v6 = host.parse::<std::net::Ipv6Addr>().is_ok();
    if is_v6 { format!("[{host}]") } else { host.to_owned() }
}

/// Returns the source address of a route, for a pair of the address to bind and the address to
/// reach. Connecting a datagram socket chooses a route and sends nothing.
fn outgoing_address(pair: &str) -> Option<IpAddr> {
    let (bind, to) = pair.split_once(' ')?;
    let socket = UdpSocket::bind(bind).ok()?;
    socket.connect(to.parse::<SocketAddr>().ok()?).ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_unspecified()).then_some(address)
}

/// Whether a text is valid as a host name in a certificate.
fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    !text.is_empty() && text.bytes().all(allowed)
}

/// Parses a host name or an IP address of `--advertise`.
pub(crate) fn parse_host(text: &str) -> Result<String, String> {
    if text.parse::<IpAddr>().is_ok() || is_name(text) {
        return Ok(text.to_owned());
    }
    Err("not a host name or an IP address (without a port)".to_owned())
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    fn names(advertised: &[&str], bound: IpAddr) -> HostNames {
        HostNames {
            advertised: advertised.iter().map(|name| (*name).to_owned()).collect(),
            node: Some("login1.cluster.example".to_owned()),
            outgoing: vec![IpAddr::from([10, 0, 0, 5])],
            bound,
        }
    }

    #[test]
    fn a_certificate_has_every_name_of_the_machine_once() {
        let all = names(&["gateway", "localhost"], Ipv4Addr::UNSPECIFIED.into()).all();
        let expected = [
            "gateway",
            "localhost",
            "127.0.0.1",
            "::1",
            "login1.cluster.example",
            "login1",
            "10.0.0.5",
        ];
        assert_eq!(all, expected);
        let bound = names(&[], IpAddr::from([192, 168, 7, 7])).all();
        assert!(bound.contains(&"192.168.7.7".to_owned()));
    }

    #[tokio::test]
    async fn the_host_is_advertised_bound_or_resolvable() {
        let any = Ipv4Addr::UNSPECIFIED.into();
        assert_eq!(host(&names(&["gateway", "other"], any)).await, "gateway");
        assert_eq!(host(&names(&["fd00::1"], any)).await, "[fd00::1]");
        assert_eq!(host(&names(&[], IpAddr::from([10, 0, 0, 9]))).await, "10.0.0.9");
        assert_eq!(host(&names(&[], Ipv6Addr::LOCALHOST.into())).await, "[::1]");
        let unknown = HostNames { node: None, ..names(&[], any) };
        assert_eq!(host(&unknown).await, "10.0.0.5");
        let alone = HostNames { outgoing: Vec::new(), ..unknown };
        assert_eq!(host(&alone).await, "localhost");
    }

    #[test]
    fn only_hosts_are_advertised() {
        for good in ["login1", "a.b-c.example", "10.0.0.1", "fd00::1"] {
            assert!(parse_host(good).is_ok(), "{good}");
        }
        for bad in ["", "https://a", "a:7070", "[::1]", "a b", "ä"] {
            assert!(parse_host(bad).is_err(), "{bad}");
        }
    }
}
