//! The walls of the house, as tests: what may call what, how long a file may be, and that the
//! documents tell the truth about the tree.

mod documents;
mod lengths;
mod machine_paths;
mod migrations;
mod source;
mod threats;
mod walls;
