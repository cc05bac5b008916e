"""What containerd's child leaves out of `cryptography`, and that whatever asks for it gets what it asked for."""

import os
import subprocess
import sys

_BEGIN = f"""
import sys
sys.path.insert(0, {os.getcwd()!r})
from agent.modes import lean
lean.load_less()
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
"""


def done(script: str) -> list[str]:
    """The lines that a process prints that has left these things out."""
    words = [sys.executable, "-I", "-W", "ignore", "-c", _BEGIN + script]
    return subprocess.run(words, capture_output=True, text=True, check=True, env={}).stdout.splitlines()


def test_a_signature_by_a_key_alone_needs_neither_certificates_nor_ciphers() -> None:
    script = """
from agent.trust import publickeys
from agent.formats import cosign_bundle, cosign_steps
key = ec.generate_private_key(ec.SECP256R1())
mine = publickeys.load(key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
print(mine.made(key.sign(b"x", ec.ECDSA(hashes.SHA256())), b"x"), mine.made(b"x", b"x"))
slow = ("cryptography.x509", "cryptography.hazmat.primitives.ciphers", "threading", "dataclasses", "inspect")
print([name for name in slow if name in sys.modules])
"""
    assert done(script) == ["True False", "[]"]


def test_what_the_backend_is_asked_for_is_the_librarys_own_answer() -> None:
    script = """
ec.ECDSA(hashes.SHA256())
print("cryptography.hazmat.primitives.ciphers" in sys.modules)
ec.ECDSA(hashes.SHA256(), deterministic_signing=True)
print("cryptography.hazmat.primitives.ciphers" in sys.modules)
from cryptography.hazmat.backends import default_backend
print(type(default_backend()).__name__, default_backend().hash_supported(hashes.SHA256()))
"""
    assert done(script) == ["False", "True", "Backend True"]


def test_names_are_read_as_ever_and_their_patterns_compiled_then() -> None:
    script = """
import re
from cryptography.x509 import Name, name
late = [each for each in vars(name._RFC4514NameParser).values() if isinstance(each, lean._LatePattern)]
print(len(late) >= 4, isinstance(re.compile("x"), re.Pattern))
print(Name.from_rfc4514_string(r"CN=a\\,b\\C3\\A4,O=#78,1.2.3=x").rfc4514_string())
"""
    assert done(script) == ["True True", "CN=a\\,bä,O=x,1.2.3=x"]
