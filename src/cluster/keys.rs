//! A cluster's secret, and what is derived from it: the certificates by which nodes and clients know each other.
//!
//! Whoever holds the secret can derive the authority and any certificate. That a node's certificate names it guards against
//! mistakes, such as an address that another node has taken over, and not against those who hold the secret.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ED25519, SerialNumber,
};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::base::NodeId;

/// What a key file begins with; the secret follows as 64 hexadecimal digits.
const PREFIX: &str = "idunno-key-1-";
/// No key file is longer than this.
const FILE_BYTES_MAX: u64 = 1024;
/// The name that every node's certificate has beside its own, for those who do not know yet whom they will meet.
const ANY_NODE: &str = "node.idunno";
/// The name of every client.
const CLIENT: &str = "client.idunno";
/// What both sides of a connection say that they speak; the version is settled afterwards, where it can be explained.
const PROTOCOL: &[u8] = b"idunno";
/// Everything of a PKCS #8 document of an Ed25519 key before its 32 bytes (RFC 8410, section 7).
const PKCS8_HEAD: [u8; 16] = [48, 46, 2, 1, 0, 48, 5, 6, 3, 43, 101, 112, 4, 34, 4, 32];

/// A cluster's secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Key([u8; 32]);

/// It does not show itself.
impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(…)")
    }
}

/// Why a key cannot be had. Nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or written.
    #[error("the key file {path}: {error}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// Others than its owner can get at the file.
    #[error(
        "the key file {path} can be read by others (its mode is {mode:04o}); whoever reads it can join and command the \
         cluster: chmod 600 {path}, and make a new key if someone may have read it",
        path = path.display()
    )]
    Open {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The file holds something else.
    #[error("{path} holds no key of idunno; wanted a line of {PREFIX} and 64 hexadecimal digits, as \"idunno key new\" writes it", path = path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// The machine has no randomness to give.
    #[error("no randomness for a new key: {0}")]
    NoRandomness(getrandom::Error),
}

impl Key {
    /// A new secret.
    pub fn random() -> Result<Key, KeyError> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).map_err(KeyError::NoRandomness)?;
        Ok(Key(secret))
    }

    /// Reads a key file, which nobody but its owner may be able to read.
    pub fn read(path: &Path) -> Result<Key, KeyError> {
        let bad = |error| KeyError::File { path: path.to_owned(), error };
        let file = OpenOptions::new().read(true).open(path).map_err(bad)?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = file.metadata().map_err(bad)?.permissions().mode() & 0o7777;
            if mode & 0o077 != 0 {
                return Err(KeyError::Open { path: path.to_owned(), mode });
            }
        }
        let mut bytes = Vec::new();
        file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(bad)?;
        let text = String::from_utf8(bytes).ok();
        text.and_then(|text| Key::parse(text.trim())).ok_or_else(|| KeyError::NoKey { path: path.to_owned() })
    }

    /// Writes a key file that only its owner can read. A file that is there already is left alone.
    pub fn write(&self, path: &Path) -> Result<(), KeyError> {
        let bad = |error| KeyError::File { path: path.to_owned(), error };
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt;
            options.mode(0o600);
        }
        let mut file = options.open(path).map_err(bad)?;
        let written = file.write_all(format!("{}\n", self.text()).as_bytes()).and_then(|()| file.sync_all());
        written.map_err(|error| {
            // Half a key is none.
            let _ = fs::remove_file(path);
            bad(error)
        })
    }

    /// The key as its file holds it.
    pub fn text(&self) -> String {
        let digit = |value: u8| char::from_digit(u32::from(value), 16).expect("it is less than 16");
        let digits = self.0.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]);
        PREFIX.chars().chain(digits).collect()
    }

    fn parse(text: &str) -> Option<Key> {
        let digits = text.strip_prefix(PREFIX)?.as_bytes();
        if digits.len() != 64 {
            return None;
        }
        let mut secret = [0; 32];
        for (byte, pair) in secret.iter_mut().zip(digits.chunks(2)) {
            let digit = |digit: u8| char::from(digit).to_digit(16);
            *byte = (digit(pair[0])? * 16 + digit(pair[1])?) as u8;
        }
        Some(Key(secret))
    }

    /// 32 bytes for one purpose and one holder; the purposes are told apart by `context`.
    fn derive(&self, context: &str, holder: &[u8]) -> [u8; 32] {
        blake3::derive_key(context, &[&self.0, holder].concat())
    }

    /// By what a node that was restarted tells others that their connections to its earlier process are void.
    pub(super) fn reset_key(&self, me: NodeId) -> [u8; 32] {
        self.derive("idunno 2026 stateless reset", &me.bits().to_le_bytes())
    }

    /// The certificate of `holder`, and the authority that signed it.
    fn papers(&self, holder: Holder) -> Papers {
        let names = holder.names();
        let authority_key = key_pair(self.derive("idunno 2026 certificate authority", b""));
        let mut authority = params(&[], "idunno cluster");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let root = authority.self_signed(&authority_key).expect("a derived key signs");
        let key = key_pair(self.derive("idunno 2026 certificate of a holder", names[0].as_bytes()));
        let mut leaf = params(&names, &names[0]);
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let issuer = Issuer::from_params(&authority, &authority_key);
        let leaf = leaf.signed_by(&key, &issuer).expect("a derived key signs");
        Papers {
            root: root.der().clone(),
            leaf: leaf.der().clone(),
            key: PrivatePkcs8KeyDer::from(key.serialize_der()),
        }
    }
}

/// Whose certificate it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    /// A node.
    Node(NodeId),
    /// Anyone who asks nodes.
    Client,
}

impl Holder {
    /// The names in its certificate, its own first.
    fn names(self) -> Vec<String> {
        match self {
            Holder::Node(id) => vec![name_of(id), ANY_NODE.to_owned()],
            Holder::Client => vec![CLIENT.to_owned()],
        }
    }

    /// Whether a certificate that was found valid is this holder's.
    pub(super) fn owns(self, certificate: &CertificateDer<'_>) -> bool {
        let name = ServerName::try_from(self.names().remove(0)).expect("it is the name of a host");
        webpki::EndEntityCert::try_from(certificate)
            .is_ok_and(|certificate| certificate.verify_is_valid_for_subject_name(&name).is_ok())
    }
}

/// The name by which a node is dialled; `None` stands for any node.
pub(super) fn dialled(id: Option<NodeId>) -> String {
    id.map_or_else(|| ANY_NODE.to_owned(), name_of)
}

fn name_of(id: NodeId) -> String {
    format!("n{id}.idunno")
}

struct Papers {
    root: CertificateDer<'static>,
    leaf: CertificateDer<'static>,
    key: PrivatePkcs8KeyDer<'static>,
}

fn key_pair(seed: [u8; 32]) -> KeyPair {
    let document = [PKCS8_HEAD.as_slice(), &seed].concat();
    KeyPair::from_pkcs8_der_and_sign_algo(&PrivatePkcs8KeyDer::from(document), &PKCS_ED25519)
        .expect("any 32 bytes are an Ed25519 key")
}

/// Certificates with the same bytes on every node: nothing in them is drawn or depends on the day.
fn params(names: &[String], common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(names).expect("the names are names of hosts");
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.serial_number = Some(SerialNumber::from_slice(&[1]));
    params
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// What `holder` shows to those who connect, and what it asks of them.
pub(super) fn server(key: &Key, holder: Holder) -> Result<ServerConfig, rustls::Error> {
    let Papers { root, leaf, key } = key.papers(holder);
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots(root)?), provider())
        .build()
        .map_err(|error| rustls::Error::General(error.to_string()))?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![leaf], PrivateKeyDer::from(key))?;
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    Ok(config)
}

/// What `holder` shows to those it connects to, and what it asks of them.
pub(super) fn client(key: &Key, holder: Holder) -> Result<ClientConfig, rustls::Error> {
    let Papers { root, leaf, key } = key.papers(holder);
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots(root)?)
        .with_client_auth_cert(vec![leaf], PrivateKeyDer::from(key))?;
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    Ok(config)
}

fn roots(root: CertificateDer<'static>) -> Result<RootCertStore, rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(root)?;
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(bits: u64) -> NodeId {
        NodeId::new(bits)
    }

    #[test]
    fn a_key_file_comes_back_as_it_went_and_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let key = Key::random().unwrap();
        key.write(&path).unwrap();
        assert_eq!(Key::read(&path).unwrap(), key);
        assert!(matches!(Key::random().unwrap().write(&path), Err(KeyError::File { .. })));
        assert_eq!(Key::read(&path).unwrap(), key);
        assert!(!format!("{key:?}").contains(&key.text()[PREFIX.len()..]));
    }

    #[cfg(unix)]
    #[test]
    fn a_key_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        Key::random().unwrap().write(&path).unwrap();
        for mode in [0o640, 0o604, 0o620, 0o601] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let refused = Key::read(&path).unwrap_err().to_string();
            assert!(refused.contains("chmod 600"), "{mode:o}: {refused}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        Key::read(&path).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_key_is_refused() {
        use std::os::unix::fs::OpenOptionsExt;
        let folder = tempfile::tempdir().unwrap();
        let good = Key([7; 32]).text();
        for (number, text) in
            ["", PREFIX, &good[..good.len() - 1], &good.replace('7', "g")].iter().enumerate()
        {
            let path = folder.path().join(number.to_string());
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).unwrap();
            file.write_all(text.as_bytes()).unwrap();
            assert!(matches!(Key::read(&path), Err(KeyError::NoKey { .. })), "{text:?}");
        }
    }

    #[test]
    fn the_same_key_makes_the_same_authority_everywhere_and_another_key_another() {
        let (key, other) = (Key([1; 32]), Key([2; 32]));
        let papers = |key: &Key, holder| key.papers(holder);
        let (a, b) = (papers(&key, Holder::Node(id(1))), papers(&key, Holder::Client));
        assert_eq!(a.root, b.root);
        assert_ne!(a.root, papers(&other, Holder::Client).root);
        assert_ne!(a.leaf, b.leaf);
        assert_eq!(a.leaf, papers(&key, Holder::Node(id(1))).leaf);
    }

    #[test]
    fn a_certificate_belongs_to_its_holder_alone() {
        let leaf = Key([1; 32]).papers(Holder::Node(id(5))).leaf;
        assert!(Holder::Node(id(5)).owns(&leaf));
        assert!(!Holder::Node(id(6)).owns(&leaf) && !Holder::Client.owns(&leaf));
    }
}
