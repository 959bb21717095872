//! Faults of the database: at every statement of every write, on full disks, with I/O errors, locks and lost
//! connections. What was acknowledged must be there after a SIGKILL, service must come back by itself, and `/readyz`
//! must tell whether writes succeed.

mod commands;
mod files;
mod full_disk;
mod postgres;
mod random;
mod server;
mod sqlite;
mod world;
