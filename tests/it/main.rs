//! Tests of the whole: the shape of the code, and the command as people use it.

mod command;
mod tidy;
