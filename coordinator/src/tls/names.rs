//! The names by which clients may know this machine: all are in its certificate, and one of them is
//! in the address that they read.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

/// How long the resolver may take to know our own name.
const RESOLVER: Duration = Duration::from_secs(2);

/// What this machine is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostNames {
    /// What a person said, first.
    advertised: Vec<String>,
    /// The name that the system has.
    node: Option<String>,
    /// The address from which this machine reaches others.
    outgoing: Vec<IpAddr>,
    /// The address that is listened on.
    bound: IpAddr,
}

impl HostNames {
    /// Asks the system; nothing is sent to anybody.
    pub(crate) fn of_this_machine(advertised: &[String], bound: IpAddr) -> Self {
        let node = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let node = Some(node).filter(|node| is_name(node));
        let outgoing = ["0.0.0.0:0 192.0.2.1:9", "[::]:0 [2001:db8::1]:9"];
        let outgoing = outgoing.iter().filter_map(|pair| outgoing_address(pair)).collect();
        Self { advertised: advertised.to_vec(), node, outgoing, bound }
    }

    /// Everything that the certificate is for.
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

    /// The name of this machine, for people who look at its certificate.
    pub(crate) fn first(&self) -> &str {
        let advertised = self.advertised.first().map(String::as_str);
        advertised.or(self.node.as_deref()).unwrap_or("localhost")
    }
}

/// The host in the address that clients read.
pub(crate) async fn host(names: &HostNames) -> String {
    if let Some(host) = names.advertised.first() {
        return bracketed(host);
    }
    if !names.bound.is_unspecified() {
        return bracketed(&names.bound.to_string());
    }
    // A name that not even this machine knows is of no use to others.
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

/// The address from which a machine is reached that the first of a pair binds and the second names:
/// connecting a datagram socket chooses a route and sends nothing.
fn outgoing_address(pair: &str) -> Option<IpAddr> {
    let (bind, to) = pair.split_once(' ')?;
    let socket = UdpSocket::bind(bind).ok()?;
    socket.connect(to.parse::<SocketAddr>().ok()?).ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_unspecified()).then_some(address)
}

/// Whether a text can be a host's name in a certificate.
fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    !text.is_empty() && text.bytes().all(allowed)
}

/// A host name or an IP address, as `--advertise` takes it.
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
    fn a_certificate_is_for_every_name_of_the_machine_once() {
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
    async fn clients_read_what_was_advertised_or_what_is_bound_or_a_name_that_resolves() {
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
