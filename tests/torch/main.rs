//! Tests of real networks on libtorch. `networks.txt` and `prepared.txt` were made with torchvision 0.26 on `PyTorch` 2.11, by
//! `reference.py`.

#[cfg(target_os = "linux")]
mod cluster;
#[cfg(target_os = "linux")]
mod costs;
#[cfg(target_os = "linux")]
mod faults;
#[cfg(target_os = "linux")]
mod models;
mod networks;
mod prepare;
#[cfg(target_os = "linux")]
mod serve;
mod train;
