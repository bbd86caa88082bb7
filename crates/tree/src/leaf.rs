//! A leaf: everything of a znode but its children, in one allocation that never changes.
//!
//! ```text
//! count:8  czxid:8  ctime:6 parts:1 pad:1  acl:4 name_len:4  length:8  | bytes of that length
//!
//! bytes =  [owner:8] [aversion:4] [ctime:8] [mzxid:8 mtime:8 version:4]  name  data  [crc:4]
//!           OWNER     AVERSION     CTIME     CHANGED                                  SEAL
//! ```
//!
//! The 40 bytes in front hold what every znode has. What most znodes do not have is there only if
//! its part is: an owner that is not 0, an aversion that is not 0, a ctime that does not fit into
//! 48 bits, and a last change that is not the creation. Numbers among the bytes are little-endian.
//! Without these, names and data of up to 72 bytes together fill an allocation of 112, up to 120
//! bytes one of 160, and so on with the allocator's classes.
//!
//! Large data carry their CRC-32 behind them, so that a digest need not read a megabyte again for
//! each child that is created below them.

use alloc::vec::Vec;
use core::str;

use ostler_wire::ids::{WallMs, Zxid};
use triomphe::ThinArc;

use crate::acl_table::AclId;

/// What a client or a log says of a znode besides its children; see the module.
#[derive(Clone)]
pub(crate) struct Leaf(ThinArc<Head, u8>);

/// What every znode has.
struct Head {
    czxid: Zxid,
    ctime: [u8; 6],
    parts: u8,
    acl: AclId,
    name_len: u32,
}

const _: () = assert!(size_of::<Leaf>() == 8);
const _: () = assert!(size_of::<Option<Leaf>>() == 8);
const _: () = assert!(size_of::<Head>() == 24);

/// The numbers of a leaf.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Numbers {
    pub(crate) czxid: Zxid,
    pub(crate) mzxid: Zxid,
    pub(crate) ctime: WallMs,
    pub(crate) mtime: WallMs,
    pub(crate) owner: i64,
    pub(crate) version: i32,
    pub(crate) aversion: i32,
    pub(crate) acl: AclId,
}

/// A bit of `parts`, and how many bytes it stands for; lower bits come first.
type Part = (u8, usize);

const OWNER: Part = (1, 8);
const AVERSION: Part = (2, 4);
const CTIME: Part = (4, 8);
const CHANGED: Part = (8, 20);
/// The data are null, which is not the same as empty.
const NULL: Part = (16, 0);
const SEAL: Part = (32, 4);
/// All parts in front of the name.
const FIELDS_LEN_MAX: usize = OWNER.1 + AVERSION.1 + CTIME.1 + CHANGED.1;

/// Data of more bytes than this carry their checksum.
const SEALED_ABOVE: usize = 2048;
/// Leaves up to so many bytes are put together on the stack.
const ON_STACK_MAX: usize = 512;

/// About what a processor loads at a time.
const CACHE_LINE_BYTES: usize = 64;
/// Behind so many lines it knows by itself which are next.
const TOUCHED_MAX: usize = 4;

impl Leaf {
    pub(crate) fn new(name: &[u8], data: Option<&[u8]>, numbers: &Numbers) -> Self {
        let Numbers { czxid, mzxid, ctime, mtime, owner, version, aversion, acl } = *numbers;
        let [a, b, c, d, e, f, high @ ..] = ctime.0.to_le_bytes();
        let mut fields = Fields { bytes: [0; FIELDS_LEN_MAX], len: 0, parts: 0 };
        if owner != 0 {
            fields.put(OWNER, &owner.to_le_bytes());
        }
        if aversion != 0 {
            fields.put(AVERSION, &aversion.to_le_bytes());
        }
        if high != [0, 0] {
            fields.put(CTIME, &ctime.0.to_le_bytes());
        }
        if mzxid != czxid || mtime != ctime || version != 0 {
            fields.put(CHANGED, &mzxid.0.to_le_bytes());
            fields.put(CHANGED, &mtime.0.to_le_bytes());
            fields.put(CHANGED, &version.to_le_bytes());
        }
        let mut seal = None;
        match data {
            None => fields.parts |= NULL.0,
            Some(data) if data.len() > SEALED_ABOVE => {
                fields.parts |= SEAL.0;
                seal = Some(crc32fast::hash(data).to_le_bytes());
            }
            Some(_) => {}
        }
        let name_len = u32::try_from(name.len()).expect("a name is shorter than a frame");
        let parts = fields.parts;
        let head = Head { czxid, ctime: [a, b, c, d, e, f], parts, acl, name_len };
        let fields = &fields.bytes[..fields.len];
        let seal = seal.as_ref().map_or(&[][..], |seal| seal);
        Self::put_together(head, [fields, name, data.unwrap_or_default(), seal])
    }

    fn put_together(head: Head, pieces: [&[u8]; 4]) -> Self {
        let len = pieces.iter().map(|piece| piece.len()).sum();
        let mut on_stack = [0; ON_STACK_MAX];
        if let Some(room) = on_stack.get_mut(..len) {
            let mut rest = &mut *room;
            for piece in pieces {
                let (to, behind) = rest.split_at_mut(piece.len());
                to.copy_from_slice(piece);
                rest = behind;
            }
            return Self(ThinArc::from_header_and_slice(head, room));
        }
        let mut bytes = Vec::with_capacity(len);
        pieces.iter().for_each(|piece| bytes.extend_from_slice(piece));
        Self(ThinArc::from_header_and_slice(head, &bytes))
    }

    /// The same with other numbers.
    pub(crate) fn with_numbers(&self, change: impl FnOnce(&mut Numbers)) -> Self {
        let mut numbers = self.numbers();
        change(&mut numbers);
        Self::new(self.name_bytes(), self.data(), &numbers)
    }

    /// The same with other data and numbers.
    pub(crate) fn with_data(&self, data: Option<&[u8]>, change: impl FnOnce(&mut Numbers)) -> Self {
        let mut numbers = self.numbers();
        change(&mut numbers);
        Self::new(self.name_bytes(), data, &numbers)
    }

    pub(crate) fn name(&self) -> &str {
        str::from_utf8(self.name_bytes()).expect("a name is made of a str")
    }

    #[inline]
    pub(crate) fn name_bytes(&self) -> &[u8] {
        let start = fields_len(self.head().parts);
        &self.0.slice[start..start + self.head().name_len as usize]
    }

    pub(crate) fn data(&self) -> Option<&[u8]> {
        self.sealed_data().map(|(data, _)| data)
    }

    /// The data, and their CRC-32 if they carry it.
    #[inline]
    pub(crate) fn sealed_data(&self) -> Option<(&[u8], Option<u32>)> {
        if self.has(NULL) {
            return None;
        }
        let head = self.head();
        let data = &self.0.slice[fields_len(head.parts) + head.name_len as usize..];
        if !self.has(SEAL) {
            return Some((data, None));
        }
        let (data, seal) = data.split_last_chunk().expect("sealed data are longer than the seal");
        Some((data, Some(u32::from_le_bytes(*seal))))
    }

    pub(crate) fn czxid(&self) -> Zxid {
        self.head().czxid
    }

    pub(crate) fn acl(&self) -> AclId {
        self.head().acl
    }

    pub(crate) fn owner(&self) -> i64 {
        self.part(OWNER).map_or(0, |at| i64::from_le_bytes(self.bytes_at(at)))
    }

    pub(crate) fn numbers(&self) -> Numbers {
        let Head { czxid, ctime: [a, b, c, d, e, f], acl, .. } = *self.head();
        let int = |at| i32::from_le_bytes(self.bytes_at(at));
        let long = |at| i64::from_le_bytes(self.bytes_at(at));
        let ctime = i64::from_le_bytes([a, b, c, d, e, f, 0, 0]);
        let ctime = WallMs(self.part(CTIME).map_or(ctime, long));
        let (mzxid, mtime, version) = match self.part(CHANGED) {
            Some(at) => (Zxid(long(at)), WallMs(long(at + 8)), int(at + 16)),
            None => (czxid, ctime, 0),
        };
        let (owner, aversion) = (self.owner(), self.part(AVERSION).map_or(0, int));
        Numbers { czxid, mzxid, ctime, mtime, owner, version, aversion, acl }
    }

    /// How many hold it.
    #[inline]
    pub(crate) fn holder_count(&self) -> usize {
        ThinArc::strong_count(&self.0)
    }

    /// Looks at all of it, as far as a processor would not load it anyway.
    pub(crate) fn touch(&self) -> usize {
        let bytes = self.0.slice.iter().step_by(CACHE_LINE_BYTES).take(TOUCHED_MAX);
        bytes.chain(self.0.slice.last()).fold(0, |seen, byte| seen ^ usize::from(*byte))
    }

    #[inline]
    fn head(&self) -> &Head {
        &self.0.header.header
    }

    #[inline]
    fn has(&self, part: Part) -> bool {
        self.head().parts & part.0 != 0
    }

    /// Where a part begins, if it is there.
    #[inline]
    fn part(&self, part: Part) -> Option<usize> {
        // In front of it are the parts with lower bits.
        self.has(part).then(|| fields_len(self.head().parts & (part.0 - 1)))
    }

    fn bytes_at<const N: usize>(&self, at: usize) -> [u8; N] {
        let bytes = self.0.slice[at..].first_chunk();
        *bytes.expect("a part that is marked is there")
    }
}

/// Gathers what stands in front of the name.
struct Fields {
    bytes: [u8; FIELDS_LEN_MAX],
    len: usize,
    parts: u8,
}

impl Fields {
    fn put(&mut self, part: Part, bytes: &[u8]) {
        self.parts |= part.0;
        self.bytes[self.len..][..bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }
}

/// Its length.
#[inline]
fn fields_len(parts: u8) -> usize {
    let of = |part: Part| if parts & part.0 == 0 { 0 } else { part.1 };
    of(OWNER) + of(AVERSION) + of(CTIME) + of(CHANGED)
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use ostler_wire::ids::{WallMs, Zxid};
    use proptest::prelude::*;

    use super::{Leaf, Numbers};
    use crate::acl_table::AclId;

    fn zero() -> Numbers {
        Numbers {
            czxid: Zxid(0),
            mzxid: Zxid(0),
            ctime: WallMs(0),
            mtime: WallMs(0),
            owner: 0,
            version: 0,
            aversion: 0,
            acl: AclId::OPEN,
        }
    }

    fn number() -> impl Strategy<Value = i64> {
        prop_oneof![Just(0), Just(1 << 47), Just((1 << 48) - 1), Just(1 << 48), any::<i64>()]
    }

    fn numbers() -> impl Strategy<Value = Numbers> {
        let longs = (number(), number(), number(), number(), number());
        (
            longs,
            prop::bool::ANY,
            prop_oneof![Just(0), any::<i32>()],
            prop_oneof![Just(0), any::<i32>()],
        )
            .prop_map(|((czxid, mzxid, ctime, mtime, owner), fresh, version, aversion)| {
                Numbers {
                    czxid: Zxid(czxid),
                    mzxid: Zxid(if fresh { czxid } else { mzxid }),
                    ctime: WallMs(ctime),
                    mtime: WallMs(if fresh { ctime } else { mtime }),
                    owner,
                    version: if fresh { 0 } else { version },
                    aversion,
                    acl: AclId::OPEN,
                }
            })
    }

    proptest! {
        #[test]
        fn all_that_is_put_in_comes_out(
            name in "\\PC{0,20}",
            length in prop_oneof![Just(None), (0..300usize).prop_map(Some), Just(Some(5000))],
            numbers in numbers(),
            aversion: i32,
        ) {
            let data = length.map(|length| Vec::from_iter((0..length).map(|i| i.to_le_bytes()[0])));
            let leaf = Leaf::new(name.as_bytes(), data.as_deref(), &numbers);
            prop_assert_eq!(leaf.name(), &name);
            prop_assert_eq!(leaf.data(), data.as_deref());
            prop_assert_eq!(leaf.numbers(), numbers);
            prop_assert_eq!((leaf.owner(), leaf.czxid()), (numbers.owner, numbers.czxid));
            let other = leaf.with_numbers(|numbers| numbers.aversion = aversion);
            prop_assert_eq!(other.numbers(), Numbers { aversion, ..numbers });
            prop_assert_eq!((other.name(), other.data()), (leaf.name(), leaf.data()));
            let other = leaf.with_data(Some(b"other"), |_| {});
            prop_assert_eq!(other.data(), Some(&b"other"[..]));
            prop_assert_eq!((other.name(), other.numbers()), (leaf.name(), numbers));
        }
    }

    #[test]
    fn data_of_any_length_come_back_and_large_ones_with_their_checksum() {
        let numbers = zero();
        for length in [0, 1, 7, 511, 512, 2048, 2049, 2050, 2052, 2053, 1 << 20] {
            let data: Vec<u8> = (0..length).map(|i: u32| i.to_le_bytes()[0]).collect();
            let leaf = Leaf::new(b"name", Some(&data), &numbers);
            let (kept, seal) = leaf.sealed_data().expect("they are not null");
            assert_eq!(kept, data);
            assert_eq!(seal, (length > 2048).then(|| crc32fast::hash(&data)));
        }
    }

    /// What the module says about allocations.
    #[test]
    fn an_ordinary_leaf_is_forty_bytes_longer_than_its_name_and_data() {
        let bytes = |leaf: &Leaf| 16 + size_of_val(&leaf.0.header.header) + leaf.0.slice.len();
        let time = WallMs(1_700_000_000_000);
        let mut numbers = Numbers { ctime: time, mtime: time, ..zero() };
        let leaf = |numbers: &Numbers| Leaf::new(&[b'n'; 24], Some(&[0; 46]), numbers);
        assert_eq!(bytes(&leaf(&numbers)), 110);
        numbers.version = 1;
        assert_eq!(bytes(&leaf(&numbers)), 130);
        numbers.owner = 5;
        assert_eq!(bytes(&leaf(&numbers)), 138);
    }
}
