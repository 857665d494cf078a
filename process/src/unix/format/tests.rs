use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::marker::PhantomData;

use serde::de::{DeserializeOwned, Error as _};
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::*;

fn encoded<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(value, &mut bytes, Limits::NONE).unwrap();
    bytes
}

/// Checks that a value is written as postcard writes it, comes back, and is missed where it is cut.
#[track_caller]
fn check<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: T) {
    let bytes = encoded(&value);
    assert_eq!(bytes, postcard::to_stdvec(&value).unwrap());
    assert_eq!(decode::<T>(&bytes, Limits::NONE).unwrap(), value);
    for length in 0..bytes.len() {
        let error = decode::<T>(&bytes[..length], Limits::NONE).unwrap_err();
        assert_eq!(error, Trouble::Short, "{length} of {bytes:?}");
    }
    let excess = decode::<T>(&[&bytes[..], &[0; 3]].concat(), Limits::NONE).unwrap_err();
    assert_eq!(excess, Trouble::Excess(3));
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Unit;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Newtype(f32);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Pair(i8, String);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Any {
    Unit,
    Newtype(Newtype),
    Tuple(u16, char),
    Struct { left: bool, right: Vec<Any> },
}

#[test]
fn it_is_postcards() {
    check(());
    check(Unit);
    check(PhantomData::<u8>);
    check((true, false, f32::NAN.to_bits(), f64::MIN, -0.5f32));
    check("text, \u{1f980} and so on".to_owned());
    check(['a', '\u{e9}', '\u{20ac}', '\u{1f980}']);
    check(serde_bytes::ByteBuf::from((0..=255).cycle().take(1000).collect::<Vec<u8>>()));
    check((0..=255u8).collect::<Vec<u8>>());
    check((Some(Some(1u8)), Some(None::<u8>), None::<Option<u8>>));
    check(Pair(i8::MIN, String::new()));
    check(BTreeMap::from([(1u8, vec![Unit, Unit]), (2, vec![])]));
    check(HashMap::from([("key".to_owned(), Newtype(1.5))]));
    let all = [Any::Unit, Any::Newtype(Newtype(0.0)), Any::Tuple(300, 'x')];
    check(Any::Struct { left: true, right: all.into() });
    check(Ok::<u8, String>(1));
    check(Err::<u8, String>("text".to_owned()));
    check(vec![(); 1000]);
}

#[test]
fn numbers_are_postcards() {
    macro_rules! numbers {
        ($($type:ty)*) => { $(
            check([0, 1, 63, 64, 100, <$type>::MAX / 2, <$type>::MAX - 1, <$type>::MAX, <$type>::MIN]);
            for shift in 0..<$type>::BITS {
                check([1 << shift, <$type>::MAX >> shift, !(<$type>::MAX >> shift)]);
            }
        )* };
    }
    numbers! { u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize }
}

#[test]
fn garbage_is_refused() {
    fn garbage<T: DeserializeOwned + Debug>(bytes: &[u8]) {
        let error = decode::<T>(bytes, Limits::NONE).unwrap_err();
        assert!(matches!(error, Trouble::Garbage(_)), "{error:?}");
    }
    garbage::<bool>(&[2]);
    garbage::<Option<u8>>(&[2, 0]);
    garbage::<String>(&[1, 0xff]);
    garbage::<char>(&[2, b'a', b'b']);
    garbage::<char>(&[0]);
    garbage::<u16>(&[0xff, 0xff, 0x04]);
    garbage::<u32>(&[0x80, 0x80, 0x80, 0x80, 0x10]);
    garbage::<u64>(&[0xff; 11]);
    garbage::<u128>(&[0xff; 20]);
    assert!(matches!(decode::<Any>(&[9], Limits::NONE), Err(Trouble::Said(_))));
    assert_eq!(
        decode::<serde::de::IgnoredAny>(&[0], Limits::NONE).err(),
        Some(Trouble::Undescribed)
    );
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Node(Option<Box<Node>>);

fn nest(depth: usize) -> Node {
    (1..depth).fold(Node(None), |node, _| Node(Some(Box::new(node))))
}

#[test]
fn depth_is_bounded_both_ways() {
    // Each but the innermost is a newtype and an option.
    for depth in [1, 2, 10] {
        let (node, levels) = (nest(depth), 2 * depth - 1);
        let limits = |depth| Limits { depth, bytes: usize::MAX };
        let mut bytes = Vec::new();
        encode(&node, &mut bytes, limits(levels)).unwrap();
        assert_eq!(decode::<Node>(&bytes, limits(levels)).unwrap(), node);
        let deep = Trouble::Deep(levels - 1);
        assert_eq!(encode(&node, &mut Vec::new(), limits(levels - 1)).unwrap_err(), deep);
        assert_eq!(decode::<Node>(&bytes, limits(levels - 1)).unwrap_err(), deep);
    }
    // It is depth, not how much there is.
    let wide = vec![(Some(1), 0.5); 1000];
    let mut bytes = Vec::new();
    encode(&wide, &mut bytes, Limits { depth: 3, bytes: usize::MAX }).unwrap();
    let limits = Limits { depth: 3, bytes: 1 };
    assert_eq!(decode::<Vec<(Option<i32>, f64)>>(&bytes, limits).unwrap(), wide);
}

#[test]
fn length_is_bounded() {
    let limits = |bytes| Limits { depth: 9, bytes };
    let text = "x".repeat(100);
    let mut bytes = b"before".to_vec();
    assert_eq!(encode(&text, &mut bytes, limits(100)).unwrap_err(), Trouble::Long(100));
    bytes.truncate(6);
    encode(&text, &mut bytes, limits(101)).unwrap();
    assert_eq!(bytes.len(), 107);

    // What takes no bytes takes time.
    let endless = encoded(&u64::MAX);
    assert_eq!(decode::<Vec<()>>(&endless, limits(1000)).unwrap_err(), Trouble::Long(1000));
    assert_eq!(decode::<Vec<u8>>(&endless, limits(1000)).unwrap_err(), Trouble::Short);
}

/// Has something to say.
#[derive(Debug)]
struct Talker;

impl Serialize for Talker {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(S::Error::custom("not today"))
    }
}

impl<'de> Deserialize<'de> for Talker {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(D::Error::custom("not tomorrow"))
    }
}

#[test]
fn what_a_type_says_is_kept() {
    let error = encode(&(1, Talker), &mut Vec::new(), Limits::NONE).unwrap_err();
    assert!(error.of::<Talker>().ends_with("Talker`: not today"));
    let error = decode::<(u8, Talker)>(&[1], Limits::NONE).unwrap_err();
    assert!(error.of::<Talker>().ends_with("Talker`: not tomorrow"));
}
