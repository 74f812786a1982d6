//! Tables for people: columns and nothing else, so that other programs can cut them.

use comfy_table::{CellAlignment, Table, presets};
use std::ops::Range;

/// A table with a header; the columns in `numbers` are flush right.
pub(crate) fn with_header<const N: usize>(
    header: [&str; N],
    rows: impl Iterator<Item = [String; N]>,
    numbers: Range<usize>,
) -> String {
    let mut table = plain();
    table.set_header(header);
    table.add_rows(rows);
    for column in table.column_iter_mut().skip(numbers.start).take(numbers.len()) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    finished(table)
}

/// A table of names and values.
pub(crate) fn of_pairs(rows: Vec<[String; 2]>) -> String {
    let mut table = plain();
    table.add_rows(rows);
    finished(table)
}

fn plain() -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table
}

fn finished(mut table: Table) -> String {
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let lines = table.lines().map(|line| line.trim_end().to_owned() + "\n");
    lines.collect()
}
