//! The server's tests: each speaks to a real server on a real port, over SQLite, or over PostgreSQL when
//! `PARLOR_TEST_POSTGRES_URL` names a cluster on which databases may be created.

mod support;

mod answers;
mod assistant;
mod asyncapi;
mod authentication;
mod bounds;
mod chats;
mod clock;
mod commands;
mod compatibility;
mod connections;
mod create_chat;
mod cross_origin;
mod demo;
mod design;
mod document;
mod documentation;
mod faults;
mod idempotency;
mod limits;
mod listening;
mod lists;
mod live;
mod live_bounds;
mod live_recovery;
mod live_sdk;
mod messages;
mod model;
mod model_servers;
mod observability;
mod operations;
mod outage;
mod parameters;
mod problems;
mod protocol;
mod recovery;
mod released;
mod sdk;
mod shutdown;
mod tenancy;
mod tickets;
mod unanswered;
mod upgrade;
mod writing;
