//! Stories, each on a real server: one file a story.

mod access;
