//! The contract between Holdfast's processes, and nothing else.
//!
//! Domain types with their pure rules ([`job`], [`target`], [`task`], [`limit`], [`evidence`], [`compliance`],
//! [`alert`]), the wire ([`message`], [`dead_letter`], [`topology`], [`broker`]), the database ([`db`]), what interfaces over HTTP have in common ([`http`]) and what every process
//! needs to start, to be looked into and to stop ([`settings`], [`lifecycle`], [`telemetry`], [`trace`], [`admin`]). There is no business loop here.

pub mod name;

pub mod job;
pub mod limit;
pub mod target;

pub mod params;
pub mod task;
pub mod trace;
pub mod work;

pub mod dead_letter;
pub mod message;
pub mod topology;

pub mod compliance;
pub mod duration_class;
pub mod evidence;
pub mod figures;

pub mod alert;
pub mod channel;
pub mod route;

pub mod access;
pub mod admin;
pub mod broker;
pub mod db;
pub mod exit;
pub mod http;

pub mod clock;
pub mod lifecycle;
pub mod metric;
pub mod retention;
pub mod schedule;
pub mod scrape;
pub mod settings;
pub mod telemetry;
pub mod terminal;
pub mod tls;
