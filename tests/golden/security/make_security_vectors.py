#!/usr/bin/env python3
"""Makes the test vectors of security/ with another implementation: the Python package `cryptography` (OpenSSL).

  keys/*.pem        private keys in the forms that others write, and what is no P-256 key
  signed.hex        "= NAME STATUS what", then a COSE_Sign1 message; the signer is keys/signer-sec1.pem
  certificates.hex  "= NAME what", then a certificate in DER; unit/security/test_peer_policy.c says what is made of each

Keys come from fixed seeds and signatures are deterministic (RFC 6979), so the files are the same each time.
Run it in this folder: python3 make_security_vectors.py
"""
import datetime
import hashlib
import ipaddress
import pathlib
import sys

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, utils
from cryptography.x509.oid import ExtendedKeyUsageOID as Eku, NameOID

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "wire"))
sys.dont_write_bytecode = True
from deterministic_cbor import Tag, dump  # noqa: E402


def key_of(seed, curve=ec.SECP256R1()):
    return ec.derive_private_key(int.from_bytes(hashlib.sha256(seed.encode()).digest(), "big") >> 1, curve)


def point(key):
    return key.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)


def es256(key, data):
    der = key.sign(data, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
    r, s = utils.decode_dss_signature(der)
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def write_hex(path, entries):
    lines = ["# made by make_security_vectors.py"]
    for title, data in entries:
        digits = data.hex()
        lines += [f"= {title}", *(digits[i:i + 96] for i in range(0, len(digits), 96))]
    path.write_text("\n".join(lines) + "\n")


# ---- keys

SIGNER = key_of("signer")


def private_pem(key, form):
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def write_keys():
    folder = HERE / "keys"
    folder.mkdir(exist_ok=True)
    public = SIGNER.public_key().public_bytes(serialization.Encoding.PEM,
                                              serialization.PublicFormat.SubjectPublicKeyInfo)
    files = {
        "signer-sec1.pem": private_pem(SIGNER, serialization.PrivateFormat.TraditionalOpenSSL),
        "signer-pkcs8.pem": private_pem(SIGNER, serialization.PrivateFormat.PKCS8),
        "signer-public.pem": public,
        "p384.pem": private_pem(key_of("p384", ec.SECP384R1()), serialization.PrivateFormat.PKCS8),
        "p384-public.pem": key_of("p384", ec.SECP384R1()).public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
        "ed25519.pem": private_pem(ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32))),
                                   serialization.PrivateFormat.PKCS8),
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)


# ---- signed messages

PROTECTED, PAYLOAD = dump({1: -7}), b"This is the content."


def sign1(key=SIGNER, protected=PROTECTED, payload=PAYLOAD, context="Signature1", aad=b"", kid=None, change=None):
    signature = es256(key, dump([context, protected, aad, payload]))
    if change:
        protected, payload, signature = change(protected, payload, signature)
    return dump(Tag(18, [protected, {4: kid or hashlib.sha256(point(key)).digest()[:16]}, payload, signature]))


def write_signed():
    other = key_of("other")
    signer_kid = hashlib.sha256(point(SIGNER)).digest()[:16]
    write_hex(HERE / "signed.hex", [
        ("good OK by the signer", sign1()),
        ("long OK the longest payload", sign1(payload=bytes(i & 255 for i in range(1920)))),
        ("empty OK an empty payload", sign1(payload=b"")),
        ("more-protected OK a protected header with something more", sign1(protected=dump({1: -7, 99: "x"}))),
        ("payload DENIED a changed payload", sign1(change=lambda p, c, s: (p, b"that is the content.", s))),
        ("protected DENIED a changed protected header", sign1(change=lambda p, c, s: (dump({1: -7, 99: 0}), c, s))),
        ("signature DENIED a changed signature", sign1(change=lambda p, c, s: (p, c, s[:63] + bytes([s[63] ^ 1])))),
        ("zero DENIED r = s = 0", sign1(change=lambda p, c, s: (p, c, bytes(64)))),
        ("swapped DENIED s || r", sign1(change=lambda p, c, s: (p, c, s[32:] + s[:32]))),
        ("context DENIED signed as another structure", sign1(context="Signature")),
        ("aad DENIED signed with external data", sign1(aad=b"x")),
        ("unknown DENIED by a key that nobody trusts", sign1(key=other)),
        ("borrowed-id DENIED by another key under the signer's id", sign1(key=other, kid=signer_kid)),
    ])


# ---- certificates

SERVER_CA, DEVICE_CA, OTHER_CA = key_of("server ca"), key_of("device ca"), key_of("other ca")
BEGIN, END = datetime.datetime(2026, 1, 1), datetime.datetime(2027, 1, 1)
LEAF_USAGE = dict(digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False,
                  key_agreement=False, key_cert_sign=False, crl_sign=False, encipher_only=False, decipher_only=False)


def name_of(*common_names):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, n, _validate=False) for n in common_names])


def certificate(subject, issuer_key, purposes=(), names=(), issuer="Test CA", begin=BEGIN, end=END, ca=False,
                serial=0x1234567890abcdef, usage=LEAF_USAGE, key=None):
    builder = (x509.CertificateBuilder().subject_name(name_of(*subject)).issuer_name(name_of(issuer))
               .public_key((key or key_of("leaf")).public_key()).serial_number(serial)
               .not_valid_before(begin).not_valid_after(end)
               .add_extension(x509.BasicConstraints(ca, 0 if ca else None), critical=True))
    if usage:
        builder = builder.add_extension(x509.KeyUsage(**usage), critical=True)
    if purposes:
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=True)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    signed = builder.sign(issuer_key, hashes.SHA256(), ecdsa_deterministic=True)
    return signed.public_bytes(serialization.Encoding.DER)


def dns(name):
    return x509.DNSName(name)


def ip(text):
    return x509.IPAddress(ipaddress.ip_address(text))


def device(subject=("sensor-1",), **changes):
    return certificate(subject, DEVICE_CA, **{"purposes": [Eku.CLIENT_AUTH], "issuer": "Test device CA", **changes})


def server(names=(), subject=("localhost",), **changes):
    return certificate(subject, SERVER_CA, names=names,
                       **{"purposes": [Eku.SERVER_AUTH], "issuer": "Test server CA", **changes})


def write_certificates():
    good_names = [dns("fl.example.org"), dns("*.edge.example.org"), ip("192.0.2.1"), ip("2001:db8::1")]
    write_hex(HERE / "certificates.hex", [
        ("device a device's", device()),
        ("device-serial-20 a serial of 20 bytes", device(serial=(1 << 159) - 1)),
        ("device-serial-high a serial that needs a zero in front", device(serial=0xf0 << 120)),
        ("device-both serverAuth and clientAuth", device(purposes=[Eku.CLIENT_AUTH, Eku.SERVER_AUTH])),
        ("device-any anyExtendedKeyUsage", device(purposes=[Eku.ANY_EXTENDED_KEY_USAGE])),
        ("device-code code signing", device(purposes=[Eku.CODE_SIGNING])),
        ("device-no-purpose no extended key usage", device(purposes=[])),
        ("device-ca an authority's, with clientAuth", device(ca=True)),
        ("device-no-signing a key usage without digitalSignature",
         device(usage={**LEAF_USAGE, "digital_signature": False, "key_agreement": True})),
        ("device-two-names two common names", device(subject=("sensor-1", "sensor-2"))),
        ("device-no-name no common name", device(subject=())),
        ("device-slash a path as its name", device(subject=("../sensor-1",))),
        ("device-space a space in its name", device(subject=("sensor 1",))),
        ("device-newline a newline in its name", device(subject=("sensor-1\nroot",))),
        ("device-utf8 a letter that is not ASCII", device(subject=("s\u00e9nsor-1",))),
        ("device-long a name of 64 characters", device(subject=("s" * 64,))),
        ("device-63 a name of 63 characters", device(subject=("s" * 63,))),
        ("device-p384 a key on P-384", device(key=key_of("p384", ec.SECP384R1()))),
        ("device-forever valid until 9999", device(end=datetime.datetime(9999, 12, 31, 23, 59, 59))),
        ("server a server's", server(good_names)),
        ("server-common-name a name in the common name only", server()),
        ("server-address-as-name an address as a DNS name", server([dns("192.0.2.1")])),
        ("server-wild-tld a wildcard under a top-level domain", server([dns("*.org")])),
        ("server-wild-all a wildcard alone", server([dns("*")])),
        ("server-wild-part a wildcard inside a label", server([dns("f*.example.org")])),
        ("server-many 20 names, the wanted one last",
         server([dns(f"n{i}.example.org") for i in range(19)] + [dns("fl.example.org")])),
        ("server-zero a zero inside a name", server([dns("fl.example.org\0.example.com")])),
        ("server-other-kinds a URI and a mail address beside the name",
         server([x509.UniformResourceIdentifier("coaps://a.example.org"), x509.RFC822Name("a@example.org"),
                 dns("fl.example.org")])),
    ])


def main():
    write_keys()
    write_signed()
    write_certificates()


if __name__ == "__main__":
    main()
