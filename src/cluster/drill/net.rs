//! Networks of their own: each node in a namespace with one address, all of them and the clients on one bridge.
//!
//! Nothing outside can reach them, nor they anything, and no rule or device outside is touched. Namespaces have no names: they
//! are gone with the processes and the open files that are in them, and so are their devices. A link is broken where it ends:
//! the receiver's firewall drops what comes from the sender.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::process::{Command, Stdio};

use nix::sched::{CloneFlags, setns, unshare};

/// The port on which every node listens.
const PORT: u16 = 7400;
/// Nodes per third number of an address.
const PER_NETWORK: usize = 250;
/// Where the clients are.
const CLIENTS: Ipv4Addr = Ipv4Addr::new(10, 77, 255, 254);

/// One direction of a way between two machines.
pub(super) type Link = (u32, u32);

/// What is wrong with some links, because of one fault or, without one, always.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Harm {
    /// The fault, by its number.
    pub(super) fault: Option<usize>,
    /// From whom to whom.
    pub(super) links: Vec<Link>,
    /// To whom nothing comes from clients.
    pub(super) shut: Vec<u32>,
    /// Which part of the packets is lost, 0 to 1.
    pub(super) rate: f64,
}

/// The networks of a drill. Dropping them brings the thread back to where it was.
#[derive(Debug)]
pub(super) struct Net {
    before: File,
    home: File,
    nodes: Vec<File>,
    /// The rules that each of them has.
    rules: Vec<String>,
    harms: Vec<Harm>,
}

/// Why nodes cannot have networks of their own here, if they cannot.
pub fn networks_lack() -> Option<String> {
    if !nix::unistd::geteuid().is_root() {
        return Some("you are not root".to_owned());
    }
    let lacks = |program: &&str| tool(program, &["-V"]).is_err();
    ["ip", "nft"].into_iter().find(lacks).map(|program| format!("there is no {program}"))
}

impl Net {
    /// Networks for `count` nodes. This thread and those that it starts are where the clients are.
    pub(super) fn new(count: usize) -> io::Result<Net> {
        let before = present()?;
        unshare(CloneFlags::CLONE_NEWNET)?;
        let mut net =
            Net { home: present()?, before, nodes: Vec::new(), rules: Vec::new(), harms: Vec::new() };
        tool("ip", &["link", "set", "lo", "up"])?;
        tool("ip", &["link", "add", "bridge", "type", "bridge"])?;
        tool("ip", &["address", "add", &format!("{CLIENTS}/16"), "dev", "bridge"])?;
        tool("ip", &["link", "set", "bridge", "up"])?;
        for number in 0..count {
            net.add(number)?;
        }
        Ok(net)
    }

    fn add(&mut self, number: usize) -> io::Result<()> {
        // Dropped on an error it leaves the thread where it is, which Net's own end makes good.
        unshare(CloneFlags::CLONE_NEWNET)?;
        let node = present()?;
        let home = format!("/proc/{}/fd/{}", std::process::id(), self.home.as_raw_fd());
        let port = format!("port{number}");
        tool("ip", &["link", "set", "lo", "up"])?;
        tool("ip", &["link", "add", "eth0", "type", "veth", "peer", "name", &port, "netns", &home])?;
        tool("ip", &["address", "add", &format!("{}/16", address(number)), "dev", "eth0"])?;
        tool("ip", &["link", "set", "eth0", "up"])?;
        setns(&self.home, CloneFlags::CLONE_NEWNET)?;
        tool("ip", &["link", "set", &port, "master", "bridge", "up"])?;
        self.nodes.push(node);
        self.rules.push(String::new());
        Ok(())
    }

    /// Where nodes listen.
    pub(super) fn places(&self) -> Vec<SocketAddr> {
        (0..self.nodes.len()).map(|number| (address(number), PORT).into()).collect()
    }

    /// Does something in the network of a node: what is started then stays in there.
    pub(super) fn within<T>(&self, machine: u32, run: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        setns(&self.nodes[machine as usize], CloneFlags::CLONE_NEWNET)?;
        let done = run();
        setns(&self.home, CloneFlags::CLONE_NEWNET)?;
        done
    }

    /// Breaks links.
    pub(super) fn harm(&mut self, harm: Harm) -> io::Result<()> {
        self.harms.push(harm);
        self.enforce()
    }

    /// Mends what a fault broke.
    pub(super) fn heal(&mut self, fault: usize) -> io::Result<()> {
        self.harms.retain(|harm| harm.fault != Some(fault));
        self.enforce()
    }

    /// Gives every node the rules that it shall have, each in one go.
    fn enforce(&mut self) -> io::Result<()> {
        for machine in 0..self.nodes.len() {
            let rules = rules(&self.harms, machine as u32);
            if self.rules[machine] != rules {
                self.within(machine as u32, || fed("nft", &["-f", "-"], &rules))?;
                self.rules[machine] = rules;
            }
        }
        Ok(())
    }

    /// The faults that have dropped something.
    pub(super) fn effective(&self) -> io::Result<Vec<usize>> {
        let mut found = Vec::new();
        let ruled = (0..self.nodes.len() as u32).filter(|machine| !self.rules[*machine as usize].is_empty());
        for machine in ruled {
            let listed = self.within(machine, || tool("nft", &["list", "table", "ip", "drill"]))?;
            found.extend(listed.lines().filter_map(dropped));
        }
        Ok(found)
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        // It cannot fail for a namespace that was left a moment ago; and if it did, nothing more would be broken than is.
        let _ = setns(&self.before, CloneFlags::CLONE_NEWNET);
    }
}

fn address(number: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, (number / PER_NETWORK) as u8, (number % PER_NETWORK + 1) as u8)
}

/// The network that this thread is in.
fn present() -> io::Result<File> {
    File::open("/proc/thread-self/ns/net")
}

/// The firewall of one machine, as nft reads it: it replaces what was there.
fn rules(harms: &[Harm], machine: u32) -> String {
    let mut text = "table ip drill\ndelete table ip drill\ntable ip drill {\nchain input {\ntype filter hook input priority 0\n".to_owned();
    for harm in harms {
        let from =
            harm.links.iter().filter(|(_, to)| *to == machine).map(|(from, _)| address(*from as usize));
        let from: Vec<String> = from
            .chain(harm.shut.contains(&machine).then_some(CLIENTS))
            .map(|address| address.to_string())
            .collect();
        if from.is_empty() {
            continue;
        }
        // Out of ten thousand.
        let lost = (harm.rate * 1e4).round() as u32;
        let chance =
            if lost >= 10_000 { String::new() } else { format!("numgen random mod 10000 < {lost} ") };
        let fault = harm.fault.map_or_else(|| "always".to_owned(), |fault| fault.to_string());
        let from = from.join(", ");
        let _ = writeln!(text, "ip saddr {{ {from} }} {chance}counter drop comment \"{fault}\"");
    }
    text + "}\n}\n"
}

/// The fault by which a line of a listed firewall has dropped something.
fn dropped(line: &str) -> Option<usize> {
    let packets = line.split_once("counter packets ")?.1.split(' ').next()?;
    let fault = line.split_once("comment \"")?.1.trim_end().trim_end_matches('"');
    fault.parse().ok().filter(|_| packets != "0")
}

/// Runs a program that must be there, and says what it said.
pub(super) fn tool(program: &str, arguments: &[&str]) -> io::Result<String> {
    done(program, arguments, Command::new(program).args(arguments).stdin(Stdio::null()).output())
}

/// The same for one that reads `text`.
fn fed(program: &str, arguments: &[&str], text: &str) -> io::Result<()> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let ran = command.spawn().and_then(|mut child| {
        child.stdin.take().expect("it is piped").write_all(text.as_bytes())?;
        child.wait_with_output()
    });
    done(program, arguments, ran).map(drop)
}

fn done(program: &str, arguments: &[&str], ran: io::Result<std::process::Output>) -> io::Result<String> {
    let failed = |why: String| io::Error::other(format!("{program} {}: {why}", arguments.join(" ")));
    let output = ran.map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        return Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Every link between machines of which `one` says true of the first and `other` of the second.
pub(super) fn links(count: u32, is_link: impl Fn(u32, u32) -> bool) -> Vec<Link> {
    let pairs = (0..count).flat_map(|from| (0..count).map(move |to| (from, to)));
    pairs.filter(|&(from, to)| from != to && is_link(from, to)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_firewall_drops_what_comes_from_the_other_end_of_a_broken_link() {
        let cut = Harm {
            fault: Some(3),
            links: links(4, |from, to| from == 2 || to == 2),
            shut: vec![2],
            rate: 1.0,
        };
        let loss = Harm { fault: None, links: links(4, |_, _| true), shut: Vec::new(), rate: 0.01 };
        let harms = [cut, loss];
        assert_eq!(
            rules(&harms, 2).lines().skip(5).collect::<Vec<_>>(),
            [
                "ip saddr { 10.77.0.1, 10.77.0.2, 10.77.0.4, 10.77.255.254 } counter drop comment \"3\"",
                "ip saddr { 10.77.0.1, 10.77.0.2, 10.77.0.4 } numgen random mod 10000 < 100 counter drop comment \"always\"",
                "}",
                "}",
            ]
        );
        assert!(rules(&harms, 0).contains("ip saddr { 10.77.0.3 } counter drop comment \"3\""));
    }

    #[test]
    fn what_was_dropped_is_read_from_the_counters() {
        let line = "\t\tip saddr 10.77.0.3 counter packets 12 bytes 900 drop comment \"3\"";
        assert_eq!(dropped(line), Some(3));
        assert_eq!(dropped(&line.replace("packets 12", "packets 0")), None);
        assert_eq!(dropped(&line.replace("\"3\"", "\"always\"")), None);
        assert_eq!(dropped("type filter hook input priority filter; policy accept;"), None);
    }
}
