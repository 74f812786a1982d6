//! Texts of `/proc`: pure functions.

use super::Rights;

/// A line of `/proc/PID/maps`, which is also the first of a mapping's lines in `/proc/PID/smaps`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    /// The first address.
    pub(super) start: u64,
    /// The first address behind it.
    pub(super) end: u64,
    pub(super) rights: Rights,
    pub(super) offset: u64,
    /// Major and minor number.
    pub(super) device: (u32, u32),
    pub(super) inode: u64,
    /// What is mapped; empty for anonymous memory. A newline in it is written as `\012`.
    pub(super) path: &'a str,
}

impl<'a> Line<'a> {
    /// `None` for what is no such line.
    pub(super) fn parse(line: &'a str) -> Option<Self> {
        let (range, rest) = line.split_once(' ')?;
        let (rights, rest) = rest.split_once(' ')?;
        let (offset, rest) = rest.split_once(' ')?;
        let (device, rest) = rest.split_once(' ')?;
        // The number is followed by spaces and the path, or by nothing (older kernels leave a space).
        let (inode, path) = rest.split_once(' ').unwrap_or((rest, ""));
        let (start, end) = range.split_once('-')?;
        let (major, minor) = device.split_once(':')?;
        let (start, end) = (hexadecimal(start)?, hexadecimal(end)?);
        (start < end).then_some(())?;
        Some(Self {
            start,
            end,
            rights: self::rights(rights)?,
            offset: hexadecimal(offset)?,
            device: (hexadecimal(major)?.try_into().ok()?, hexadecimal(minor)?.try_into().ok()?),
            inode: inode.parse().ok()?,
            path: path.trim_start_matches(' '),
        })
    }

    /// The key that a System V segment was created with, 0 for a private one, if this can be a mapping of one.
    pub(super) fn segment_key(&self) -> Option<u32> {
        let digits = self.path.strip_prefix("/SYSV")?.strip_suffix(" (deleted)")?;
        (digits.len() == 8 && digits.bytes().all(|digit| digit.is_ascii_hexdigit())).then_some(())?;
        u32::from_str_radix(digits, 16).ok()
    }
}

/// `from_str_radix` takes a sign.
fn hexadecimal(digits: &str) -> Option<u64> {
    digits.bytes().all(|digit| digit.is_ascii_hexdigit()).then_some(())?;
    u64::from_str_radix(digits, 16).ok()
}

fn rights(letters: &str) -> Option<Rights> {
    let [read, write, execute, sharing] = letters.as_bytes() else { return None };
    let is = |letter: u8, set: u8| match letter {
        b'-' => Some(false),
        letter if letter == set => Some(true),
        _ => None,
    };
    let shared = match sharing {
        b's' => true,
        b'p' => false,
        _ => return None,
    };
    Some(Rights { read: is(*read, b'r')?, write: is(*write, b'w')?, execute: is(*execute, b'x')?, shared })
}

/// All mappings that a text of `/proc/PID/maps` or `/proc/PID/smaps` tells, with the bytes that are resident where it
/// tells them.
pub(super) fn mappings(text: &str) -> Vec<(Line<'_>, Option<u64>)> {
    let mut found: Vec<(Line<'_>, Option<u64>)> = Vec::new();
    for line in text.lines() {
        if let Some(line) = Line::parse(line) {
            found.push((line, None));
        } else if let (Some((_, resident)), Some(bytes)) = (found.last_mut(), resident(line)) {
            *resident = Some(resident.unwrap_or(0).saturating_add(bytes));
        }
    }
    found
}

/// The bytes in a line of `smaps` that tells of resident pages. Huge pages do not count as `Rss` there.
fn resident(line: &str) -> Option<u64> {
    let (field, amount) = line.split_once(':')?;
    matches!(field, "Rss" | "Shared_Hugetlb" | "Private_Hugetlb").then_some(())?;
    amount.strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARED: Rights = Rights { read: true, write: true, execute: false, shared: true };

    #[test]
    fn a_line_is_read() {
        let line = "7f0c00001000-7f0c00003000 rw-s 00001000 00:1a 4242                       /dev/shm/a ring";
        let expected = Line {
            start: 0x7f0c_0000_1000,
            end: 0x7f0c_0000_3000,
            rights: SHARED,
            offset: 0x1000,
            device: (0, 0x1a),
            inode: 4242,
            path: "/dev/shm/a ring",
        };
        assert_eq!(Line::parse(line), Some(expected));
        let line = "ffffffffff600000-ffffffffff601000 --xp 00000000 103:0002 0    [vsyscall]";
        let line = Line::parse(line).unwrap();
        assert_eq!((line.end, line.device, line.path), (0xffff_ffff_ff60_1000, (0x103, 2), "[vsyscall]"));
        assert_eq!(line.rights, Rights { read: false, write: false, execute: true, shared: false });
        for anonymous in ["1000-2000 ---p 00000000 00:00 0", "1000-2000 ---p 00000000 00:00 0 "] {
            assert_eq!(Line::parse(anonymous).unwrap().path, "");
        }
    }

    #[test]
    fn what_is_no_line_is_none() {
        for text in [
            "",
            "Rss:                   4 kB",
            "VmFlags: rd wr sh mr mw me ms sd",
            "1000-2000",
            "1000-2000 rw-s 0 00:1a",
            "2000-1000 rw-s 0 00:1a 5 /x",
            "1000-+2000 rw-s 0 00:1a 5 /x",
            "1000-2000 rw-sx 0 00:1a 5 /x",
            "1000-2000 rw-t 0 00:1a 5 /x",
            "1000-2000 wr-s 0 00:1a 5 /x",
            "1000-2000 rw-s 0 001a 5 /x",
            "1000-2000 rw-s 0 00:100000000 5 /x",
            "1000-2000 rw-s 0 00:1a x /x",
            "1000-2000 rw-s 0 00:1a -5 /x",
            "10000000000000000-20000000000000000 rw-s 0 00:1a 5 /x",
        ] {
            assert_eq!(Line::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn segments_are_known_by_their_names() {
        let key =
            |path: &str| Line::parse(&format!("1000-2000 rw-s 0 00:01 7   {path}")).unwrap().segment_key();
        assert_eq!(key("/SYSV0000cafe (deleted)"), Some(0xcafe));
        assert_eq!(key("/SYSVffffffff (deleted)"), Some(u32::MAX));
        assert_eq!(key("/SYSV00000000 (deleted)"), Some(0));
        for path in [
            "",
            "/SYSV0000cafe",
            "/SYSV000cafe (deleted)",
            "/SYSV00000cafe (deleted)",
            "/SYSV+000cafe (deleted)",
            "/tmp/SYSV0000cafe (deleted)",
            "/memfd:SYSV0000cafe (deleted)",
        ] {
            assert_eq!(key(path), None, "{path:?}");
        }
    }

    #[test]
    fn resident_bytes_belong_to_the_mapping_above_them() {
        let text = "\
1000-5000 rw-s 00000000 00:1a 5    /dev/shm/one
Size:                 16 kB
KernelPageSize:        4 kB
Rss:                   8 kB
Pss:                   3 kB
Shared_Hugetlb:        0 kB
Private_Hugetlb:       0 kB
VmFlags: rd wr sh mr mw me ms sd
200000-600000 rw-s 00000000 00:0f 6    /anon_hugepage (deleted)
Rss:                   0 kB
Shared_Hugetlb:     2048 kB
Private_Hugetlb:    2048 kB
700000-701000 r--p 00000000 00:1a 5    /dev/shm/one
";
        let found: Vec<_> = mappings(text).iter().map(|(line, resident)| (line.inode, *resident)).collect();
        assert_eq!(found, [(5, Some(8192)), (6, Some(4 << 20)), (5, None)]);
        // Cut off, as when the process ends in the middle; and numbers that are none.
        assert_eq!(mappings("Rss:    4 kB\n1000-2000 r"), []);
        let odd = "1000-2000 rw-s 0 00:1a 5 /x\nRss: 18446744073709551615 kB\nRss: x kB\nRss: 4\n";
        assert_eq!(mappings(odd)[0].1, None);
    }

    #[test]
    fn a_path_does_not_make_lines_of_its_own() {
        let text = "1000-2000 rw-s 0 00:1a 5 /x\\0123000-4000 rw-s 0 00:1a 6 /y\n";
        assert_eq!(mappings(text).len(), 1);
    }
}
