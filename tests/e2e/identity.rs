//! Who a device is, over real TLS: what a thief can try, and how a device that lay in a drawer comes back.
//! Rows are those of the list of threats.

mod agent;
mod attacks;
mod lines;
