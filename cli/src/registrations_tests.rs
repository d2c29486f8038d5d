//! Files of factories, and everything that can be wrong with them.

use rcgen::{KeyPair, PublicKeyData as _};

use super::*;

fn mistakes(text: &str) -> Vec<String> {
    parse(text, "pump").1.iter().map(ToString::to_string).collect()
}

#[test]
fn a_key_in_each_of_its_forms() {
    let pair = KeyPair::generate().unwrap();
    let der = pair.subject_public_key_info();
    let (base64, id) = (BASE64.encode(&der), slipway_trust::Sha256::of(&der).to_string());
    let (pem, upper) = (pair.public_key_pem(), id.to_uppercase());
    assert_eq!(key(&base64), Ok(Key::PublicKeyDer(der.clone())));
    assert_eq!(key(&pem), Ok(Key::PublicKeyDer(der.clone())));
    assert_eq!(digest(key(&id).ok().as_ref()), id);
    let other = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    assert_eq!(key(&BASE64.encode(other.subject_public_key_info())).map(drop), Ok(()));
    let p384 = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    for bad in ["", "hello!", &id[1..], &upper[..10], &p384.public_key_pem(), &pair.serialize_pem()] {
        assert!(key(bad).is_err(), "{bad}");
    }
    assert!(key(&pair.serialize_pem()).unwrap_err().contains("private key"));
    // However it is written, it is one key.
    let text = format!("device_id,public_key,hardware\na,{base64},gw-a\nb,\"{pem}\",gw-a\n");
    assert_eq!(mistakes(&text), ["3:3: public_key: it stands in line 2 already"]);
}

#[test]
fn a_good_file() {
    let (one, two) = ("ab".repeat(32), "cd".repeat(32));
    let text = format!(
        "hardware,device_id,public_key,product,label:site,label:line\ngw-a,pump-1,{one},,north,\n\
                        gw-b,pump-2,{two},valve,\"south, hall 3\",7\n"
    );
    let (lines, mistakes) = parse(&text, "pump");
    assert!(mistakes.is_empty(), "{mistakes:?}");
    let [first, second] = &lines[..] else { panic!("{lines:?}") };
    assert_eq!(
        (first.registration.product.as_str(), second.registration.product.as_str()),
        ("pump", "valve")
    );
    assert_eq!(first.registration.labels, [("site".to_owned(), "north".to_owned())].into());
    assert_eq!(second.registration.labels["site"], "south, hall 3");
    assert_eq!(second.place("hardware"), Place { line: 3, column: 1 });
    assert_eq!(second.place("labels.line"), Place { line: 3, column: 100 });
    assert_eq!(second.place("anything"), Place { line: 3, column: 1 });
}

#[test]
fn every_mistake_with_its_line_and_column() {
    let (one, two) = ("ab".repeat(32), "cd".repeat(32));
    assert_eq!(
        mistakes(""),
        ["1:1: there is no header; the first line names the columns: device_id,public_key,hardware"]
    );
    assert_eq!(
        mistakes("device_id,key,hardware,hardware\n"),
        [
            "1:11: there is no column \"key\"; there are device_id, public_key, hardware, product, label:KEY",
            "1:24: the column hardware is there twice",
            "1:1: the column public_key is missing",
        ]
    );
    assert_eq!(
        mistakes("device_id,public_key,hardware,label:site,label:label:site\n"),
        [
            "1:42: there is no column \"label:label:site\"; there are device_id, public_key, hardware, product, \
             label:KEY"
        ]
    );
    let header = "device_id,public_key,hardware\n";
    assert_eq!(mistakes(header), ["2:1: there is no machine in it, only the header"]);
    let text = format!("{header}Pump,{one},gw-a\npump-1,{two},gw a\npump-1,hello,gw-a\npump-3,{one}\n\"pump");
    assert_eq!(mistakes(&text), ["6:1: this quote is never closed"]);
    let text = text.trim_end_matches("\"pump");
    assert_eq!(
        mistakes(text),
        [
            "2:1: device_id: \"Pump\" cannot be the id of a device: use 1 to 63 of a-z, 0-9, '-', '_' and '.', the first a \
             letter or digit",
            "3:73: hardware: \"gw a\" cannot be the name of a hardware model",
            "4:1: device_id: it stands in line 3 already",
            "4:8: public_key: it is neither a public key in PEM or base64, nor 64 digits of hex",
            "5:1: 2 fields, where the header has 3",
        ]
    );
    let failure = read(Path::new("line.csv"), text, "pump").unwrap_err().to_string();
    assert!(failure.contains("\n  line.csv:5:1: 2 fields"), "{failure}");
    assert!(failure.ends_with("see docs/errors/REGISTRATION_INVALID.md"), "{failure}");
    let many = format!("{header}{}", "x\n".repeat(30));
    assert!(read(Path::new("line.csv"), &many, "pump").unwrap_err().to_string().contains("and 10 more"));
}

#[test]
fn a_file_without_commas_or_without_a_header_is_one_mistake() {
    let key = "ab".repeat(32);
    let semicolons = "1:1: a ';' stands between the columns; separate them by commas";
    for header in [
        "device_id;public_key;hardware",
        "\"device_id\";\"public_key\";\"hardware\"",
        "\u{feff}hardware;label:a,b",
    ] {
        assert_eq!(
            mistakes(&format!("{header}\npump-1;{key};gw-a\npump-2;{key};gw-a\n")),
            [semicolons],
            "{header}"
        );
    }
    assert_eq!(
        mistakes(&format!("device_id\tpublic_key\thardware\npump-1\t{key}\tgw-a\n")),
        ["1:1: a tab stands between the columns; separate them by commas"]
    );
    assert_eq!(
        mistakes(&format!("pump-1,{key},gw-a\npump-2,{key},gw-a\n")),
        ["1:1: this is no header, for it names no column; the first line names the columns: \
          device_id,public_key,hardware"]
    );
    assert_eq!(mistakes("a\"b,c\n"), ["1:2: a field with a quote in it has to be quoted as a whole"]);
}
