//! The side of this project in `benches/peers/clustering.py`.
//!
//! Reads one request a line from stdin, does the work once and answers with one JSON line on stdout:
//!
//! ```text
//! {"key": "assign-k1000", "work": "assign", "features": "x.npy", "centroids": "c.npy", "out": "labels.npy"}
//! {"check":{"objective":51234.5},"key":"assign-k1000","seconds":0.123}
//! ```
//!
//! Arrays are read once and kept, and results are written after the clock has stopped, so that `seconds` is
//! the work alone.

mod arrays;
mod peak;
mod work;

use std::error::Error;
use std::io::{BufRead, Write};

use arrays::Arrays;
use serde_json::json;
use work::{Outcome, Request};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arrays = Arrays::default();
    let mut stdout = std::io::stdout();
    for line in std::io::stdin().lock().lines() {
        let request: Request = serde_json::from_str(&line?)?;
        let key = &request.key;
        let answer = match request.work.run(&mut arrays, &request.out) {
            Ok(Outcome { seconds, check }) => json!({"key": key, "seconds": seconds, "check": check}),
            Err(error) => json!({"key": key, "error": error.to_string()}),
        };
        writeln!(stdout, "{answer}")?;
        stdout.flush()?;
    }
    Ok(())
}
