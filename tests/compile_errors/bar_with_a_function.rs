use flowlet::op;

fn main() {
    let _ = op::map(str::len) | |n: usize| n + 1;
}

// says: not a `Flow<usize, _>`
// says: use `Flow::new` to turn a function of streams into a flow
