//! [`PrivacyProtocol`]: encrypted PDUs (RFC 3414 §8, RFC 3826).

use aes::{Aes128, Aes192, Aes256};
use cbc::cipher::block_padding::NoPadding;
use cbc::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use des::Des;
use jackfield_plugin_api::options;

options! {
    /// How PDUs of version 3 are encrypted.
    pub enum PrivacyProtocol {
        /// They are not.
        None,
        /// CBC-DES; needs `danger_weak_algorithms`.
        Des,
        /// CFB-AES-128 (RFC 3826).
        Aes128,
        /// CFB-AES-192; a key that is too short is made longer as net-snmp does (draft-blumenthal-aes-usm-04).
        Aes192,
        /// CFB-AES-256, likewise.
        Aes256,
        /// CFB-AES-192, the key as Cisco makes it longer (draft-reeder-snmpv3-usm-3desede-00).
        Aes192c,
        /// CFB-AES-256, likewise.
        Aes256c,
    }
}

/// Bytes of the parameter that goes with each encrypted PDU.
pub(crate) const SALT: usize = 8;

impl PrivacyProtocol {
    /// Bytes of its key; of DES with those that its vectors are made of.
    pub(crate) fn key_size(self) -> usize {
        match self {
            PrivacyProtocol::None => 0,
            PrivacyProtocol::Des | PrivacyProtocol::Aes128 => 16,
            PrivacyProtocol::Aes192 | PrivacyProtocol::Aes192c => 24,
            PrivacyProtocol::Aes256 | PrivacyProtocol::Aes256c => 32,
        }
    }

    /// Encrypts. `key` has [`PrivacyProtocol::key_size`] bytes.
    pub(crate) fn encrypt(
        self,
        key: &[u8],
        times: (i32, i32),
        salt: [u8; SALT],
        mut data: Vec<u8>,
    ) -> Vec<u8> {
        macro_rules! aes {
            ($cipher:ty) => {
                if let Ok(cipher) =
                    cfb_mode::Encryptor::<$cipher>::new_from_slices(key, &vector(times, salt))
                {
                    cipher.encrypt(&mut data);
                }
            };
        }
        match self {
            PrivacyProtocol::None => {}
            PrivacyProtocol::Des => {
                let length = data.len().next_multiple_of(8);
                data.resize(length, 0);
                let Some((key, vector)) = des_parts(key, salt) else { return Vec::new() };
                if let Ok(cipher) = cbc::Encryptor::<Des>::new_from_slices(key, &vector) {
                    // Whole blocks, as they are now, always fit.
                    let _ = cipher.encrypt_padded::<NoPadding>(&mut data, length);
                }
            }
            PrivacyProtocol::Aes128 => aes!(Aes128),
            PrivacyProtocol::Aes192 | PrivacyProtocol::Aes192c => aes!(Aes192),
            PrivacyProtocol::Aes256 | PrivacyProtocol::Aes256c => aes!(Aes256),
        }
        data
    }

    /// Decrypts; `None` where the salt or the length are none that can be.
    pub(crate) fn decrypt(
        self,
        key: &[u8],
        times: (i32, i32),
        salt: &[u8],
        data: &[u8],
    ) -> Option<Vec<u8>> {
        let salt: [u8; SALT] = salt.try_into().ok()?;
        let mut data = data.to_vec();
        macro_rules! aes {
            ($cipher:ty) => {
                cfb_mode::Decryptor::<$cipher>::new_from_slices(key, &vector(times, salt))
                    .ok()?
                    .decrypt(&mut data)
            };
        }
        match self {
            PrivacyProtocol::None => return None,
            PrivacyProtocol::Des => {
                let (key, vector) = des_parts(key, salt)?;
                let cipher = cbc::Decryptor::<Des>::new_from_slices(key, &vector).ok()?;
                cipher.decrypt_padded::<NoPadding>(&mut data).ok()?;
            }
            PrivacyProtocol::Aes128 => aes!(Aes128),
            PrivacyProtocol::Aes192 | PrivacyProtocol::Aes192c => aes!(Aes192),
            PrivacyProtocol::Aes256 | PrivacyProtocol::Aes256c => aes!(Aes256),
        }
        Some(data)
    }
}

/// The first vector of AES: boots, time and salt (RFC 3826 §3.1.2.1).
fn vector((boots, time): (i32, i32), salt: [u8; SALT]) -> [u8; 16] {
    let mut vector = [0; 16];
    vector[..4].copy_from_slice(&boots.to_be_bytes());
    vector[4..8].copy_from_slice(&time.to_be_bytes());
    vector[8..].copy_from_slice(&salt);
    vector
}

/// The key of DES and its first vector (RFC 3414 §8.1.1).
fn des_parts(key: &[u8], salt: [u8; SALT]) -> Option<(&[u8], [u8; SALT])> {
    let (key, before) = key.split_at_checked(8)?;
    let before: [u8; SALT] = before.try_into().ok()?;
    Some((key, std::array::from_fn(|at| before[at] ^ salt[at])))
}
