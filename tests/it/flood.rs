//! A flood of beginnings of connections, from someone who never goes on with one.

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::QuicClientConfig;
use rustls::RootCertStore;

use crate::cluster::{Node, ask, folder, formed};

/// So many are under way at most; see `cluster::net::strangers`.
const STRANGERS_MAX: usize = 1024;

/// First packets of connections, each of another one, as a stranger without a key sends them.
fn beginnings(count: usize) -> Vec<Vec<u8>> {
    let sink = UdpSocket::bind("127.0.0.1:0").unwrap();
    sink.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let at = sink.local_addr().unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"idunno".to_vec()];
    let config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let begin = async {
        let mut all = Vec::new();
        for _ in 0..count {
            // Each has a port of its own, which is closed with it, so that nothing of it is sent twice.
            let endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
            let own = endpoint.local_addr().unwrap();
            let _connecting = endpoint.connect_with(config.clone(), at, "node.idunno").unwrap();
            tokio::task::yield_now().await;
            let mut bytes = [0; 2048];
            loop {
                tokio::time::sleep(Duration::from_millis(1)).await;
                let (length, from) = sink.recv_from(&mut bytes).unwrap();
                if from == own {
                    all.push(bytes[..length].to_vec());
                    break;
                }
            }
        }
        all
    };
    runtime.block_on(begin)
}

fn kib(node: &Node) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", node.process.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap().to_owned();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_flood_of_beginnings_keeps_no_client_out_and_is_complained_about_once() {
    let folder = folder();
    let folder = folder.path();
    let node = Node::start(folder, "n1", &[]);
    formed(folder, &[&node], 1, 1);
    let at: SocketAddr = node.address.parse().unwrap();
    let before = kib(&node);
    let flood = beginnings(2 * STRANGERS_MAX);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for packet in &flood {
        socket.send_to(packet, at).unwrap();
    }
    let members = ask(folder, &[&node], "key", &["members", "--timeout", "2s"]);
    assert!(members.status.success(), "{members:?}");
    assert!(kib(&node) < before + 64 * 1024, "{before} KiB have become {}", kib(&node));
    // Greetings are given up after three seconds.
    std::thread::sleep(Duration::from_secs(4));
    let said = node.said();
    assert_eq!(said.matches("someone was not let in").count(), 1, "{said}");
    formed(folder, &[&node], 1, 1);
}
